"""What differs between places and tenants: settings, sources and rules, all YAML."""
