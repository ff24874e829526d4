"""What every job stands on: contracts, lake, runner. Knows Spark and Delta, knows no customer."""
