"""Raw files to conformed tables: every record is loaded, quarantined or a duplicate, and counted."""
