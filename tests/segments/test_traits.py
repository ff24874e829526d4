"""What segments are called."""

from crm_spark.segments.traits import names

FEATURES = ["recency_days", "purchase_days", "basket_value"]


def test_a_name_tells_the_two_furthest_traits_the_furthest_first() -> None:
    assert names([[-0.6, 1.5, 0.9], [0.2, 0.4, -0.5]], FEATURES) == ["Buy often, large baskets", "Small baskets"]


def test_a_third_trait_is_told_where_two_do_not_tell_segments_apart() -> None:
    assert names([[-2.0, 1.5, 0.9], [-2.0, 1.5, -0.9], [0, 0, 0]], FEATURES) == [
        "Bought lately, buy often, large baskets",
        "Bought lately, buy often, small baskets",
        "Near the average",
    ]


def test_segments_that_no_trait_tells_apart_are_numbered() -> None:
    assert names([[0.1, 0.1, 0.1], [0.2, 0.2, 0.2], [0.0, 0.9, 0.0]], FEATURES) == [
        "Near the average",
        "Near the average (2)",
        "Buy often",
    ]


def test_one_segment_is_all_customers_and_none_has_no_name() -> None:
    assert names([[0.0]], ["spend"]) == ["All customers"]
    assert names([], ["spend"]) == []


def test_any_other_column_has_words_too() -> None:
    assert names([[1.0], [-1.0]], ["shoe_size"]) == ["High shoe size", "Low shoe size"]
