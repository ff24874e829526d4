"""The contracts of the conformed tables."""

from crm_spark.ingest.accounts import LOOKUPS
from crm_spark.ingest.tables import CUSTOMERS


def test_what_tells_something_of_one_person_is_marked() -> None:
    assert [column.name for column in CUSTOMERS.columns if not column.personal] == [
        "region",
        "country",
        "registered_on",
    ]
    assert LOOKUPS["row_key"].personal, "the key of a look-up may be a customer's"
