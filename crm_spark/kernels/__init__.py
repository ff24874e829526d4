"""Arithmetic on NumPy arrays: no Spark, no customers."""
