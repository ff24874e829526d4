"""Raw files: what one look at a file tells, and the records that it holds.

Runs on executors, so it knows Python, NumPy and PyArrow only. A file is streamed: memory does not grow
with it, but for 20 bytes a distinct record, by which equal records are numbered.

    streams -> encoding -> lines -> grouping -> faults -> batches
    bytes      UTF-8       lines    records     refused   of Arrow

Rows of Parquet, as JSON, go the last part of the way. `fields` splits records of CSV.
"""

from crm_spark.ingest.raw.batches import records
from crm_spark.ingest.raw.fields import fields
from crm_spark.ingest.raw.form import Format, Inspection, Refused, Unreadable
from crm_spark.ingest.raw.inspection import inspect

__all__ = ["Format", "Inspection", "Refused", "Unreadable", "fields", "inspect", "records"]
