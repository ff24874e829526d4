"""From conformed tables to one row per customer and day."""
