"""The `crm` command: what a person or a scheduler says to the suite. The top layer: nothing imports it."""

from crm_spark.cli.app import app_for


def main() -> None:
    """Run the command line over the jobs of the suite; ends the process with an exit code."""
    app_for()(prog_name="crm")
