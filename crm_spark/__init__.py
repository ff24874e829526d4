"""Data-driven CRM on Spark: raw customer data in, Delta tables to act on out."""

__version__ = "0.1.0"
