"""What Delta is told of a table in SQL, all of it from the contract.

Delta's parser takes no parameters in these statements: names are checked by the contract, texts are quoted.
"""

from crm_spark.core.contracts import Field, Table

VERSION_PROPERTY = "crm.contract.version"
FEED_PROPERTY = "delta.enableChangeDataFeed"
GROWING_CHECKPOINT = "100"  # commits of a table that only grows
DEFAULT_KEEP_HOURS, LEAST_LOG_HOURS = 7 * 24, 30 * 24  # as Delta itself keeps files and log


def declared(column: Field, comment: str) -> str:
    """Declare a column."""
    return f"{column.ddl} COMMENT {literal(comment)}"


def properties(table: Table) -> str:
    """Say all that follows the columns: layout, meaning and properties."""
    told = {
        VERSION_PROPERTY: str(table.version),
        FEED_PROPERTY: str(table.changes).lower(),
        # Delta would measure 32 columns of each row it writes, and put their values into its log.
        **(
            {"delta.dataSkippingStatsColumns": ",".join(table.measured)}
            if table.measured
            else {"delta.dataSkippingNumIndexedCols": "0"}
        ),
        # The run log gets two commits for each run, and Delta would sum them up at every tenth, in seconds.
        **({"delta.checkpointInterval": GROWING_CHECKPOINT} if table.owns == "batch" else {}),
    }
    listed = ", ".join(f"{literal(name)} = {literal(value)}" for name, value in told.items())
    layouts = {"PARTITIONED BY": table.partition_by, "CLUSTER BY": table.cluster_by}
    layout = "".join(f"{by} ({', '.join(columns)}) " for by, columns in layouts.items() if columns)
    return f"USING delta {layout}COMMENT {literal(table.meaning)} TBLPROPERTIES ({listed})"


def retention(keep_hours: int) -> dict[str, str]:
    """The properties that keep a table's old versions readable."""
    return {
        "delta.deletedFileRetentionDuration": f"interval {int(keep_hours)} hours",
        "delta.logRetentionDuration": f"interval {max(int(keep_hours), LEAST_LOG_HOURS)} hours",
    }


def literal(text: str) -> str:
    """Quote a contract's text: Spark's parser takes no parameters in these statements under Delta's."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
