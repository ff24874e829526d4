"""Raw files: what one look at a file tells, and the records that a text file holds.

Runs on executors, so it knows Python, NumPy and PyArrow only. A file is streamed: memory does not grow
with it, but for 20 bytes a distinct record, by which equal records are numbered.

    streams -> encoding -> lines -> grouping -> faults -> text
    bytes      UTF-8       lines    records     refused   batches
"""

from crm_spark.ingest.raw.form import Format, Inspection, Refused, Unreadable
from crm_spark.ingest.raw.inspection import inspect
from crm_spark.ingest.raw.text import records

__all__ = ["Format", "Inspection", "Refused", "Unreadable", "inspect", "records"]
