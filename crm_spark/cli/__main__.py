"""`python -m crm_spark.cli`: the `crm` command where it is not installed."""

from crm_spark.cli import main

main()
