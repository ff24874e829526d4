"""Who the customers are, in groups that can be acted on."""
