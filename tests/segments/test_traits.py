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


def test_a_former_name_stays_as_long_as_all_that_it_tells_is_so() -> None:
    former = ["Buy often, large baskets", "Not seen for long", None]
    now = [[-0.9, 1.0, 0.3], [0.9, -1.2, -0.9], [-0.9, 0.1, -0.9]]
    assert names(now, FEATURES, former) == [former[0], former[1], "Bought lately, small baskets"]
    assert names([[-0.9, 1.0, 0.2], *now[1:]], FEATURES, former)[0] == "Buy often, bought lately"
    assert names([[-0.9, 1.0, -0.9], *now[1:]], FEATURES, former)[0] == "Buy often, bought lately"


def test_a_name_that_another_segment_kept_is_not_given_twice() -> None:
    same = [1.0, -1.0, 0.0]
    told = "Not seen for long, buy rarely"
    assert names([same, same, same], FEATURES, [None, told, f"{told} (3)"]) == [f"{told} (2)", told, f"{told} (3)"]
    average = "Near the average"
    assert names([[0.0] * 3, same], FEATURES, [average, average.lower()]) == [average, told]
