"""Load the raw files of sources into the conformed tables: `spark-submit jobs/ingest.py SOURCE --from … --lake …`."""

if __name__ == "__main__":
    import sys

    from crm_spark.cli import main

    sys.argv.insert(1, "ingest")
    main()
