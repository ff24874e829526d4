"""Rules of the groceries as published, measures as mlxtend, SciPy and statsmodels have them."""

import csv
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from mlxtend.frequent_patterns import association_rules
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from statsmodels.stats.multitest import multipletests

from crm_spark.baskets import itemsets, rules
from tests.baskets.test_itemsets import frame

DATA = Path(__file__).parents[3] / "shared" / "data" / "groceries"
THEIRS = {"zhang": "zhangs_metric"}
MEASURES = ("support", "confidence", "lift", "leverage", "conviction", "zhang", "jaccard", "kulczynski", "certainty")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the published data are not beside the checkout")


def groceries(spark: SparkSession) -> DataFrame:
    return frame(spark, [line.split(",") for line in (DATA / "groceries.csv").read_text("utf-8").splitlines()])


@pytest.fixture(scope="module")
def mined(spark: SparkSession) -> DataFrame:
    return itemsets.mine(groceries(spark), 0.001).localCheckpoint()


@pytest.fixture(scope="module")
def found(mined: DataFrame) -> pd.DataFrame:
    """All rules of the sets of 0.001, of which rarer ones are part of more frequent ones."""
    return rules.derive(mined).toPandas()


def test_there_are_as_many_itemsets_as_published_at_six_supports(mined: DataFrame) -> None:
    least = {0.1: 8, 0.05: 31, 0.02: 122, 0.01: 333, 0.005: 1_001, 0.001: 13_492}
    counts = [F.count_if(F.col("support") >= support) for support in least]
    assert list(mined.agg(*counts).collect()[0]) == list(least.values())


def test_there_are_as_many_rules_as_published_and_those_of_highest_lift_are_the_named_ones(found: pd.DataFrame) -> None:
    size = found["antecedent"].map(len) + 1
    sure = found[found["confidence"] >= 0.8]
    assert Counter(size[sure.index]) == {3: 29, 4: 229, 5: 140, 6: 12}
    assert Counter(size[found["confidence"] >= 0.5]) == {2: 11, 3: 1_461, 4: 3_211, 5: 939, 6: 46}
    frequent = found[(found["count"] >= 60) & (found["confidence"] >= 0.25)]
    assert Counter(size[frequent.index]) == {2: 150, 3: 297, 4: 16}
    assert len(found[(found["count"] >= 99) & (found["confidence"] >= 0.5)]) == 15
    for rule, antecedent, consequent, count, confidence, lift in (
        (frequent.loc[frequent["lift"].idxmax()], ["herbs"], ["root vegetables"], 69, 0.43125, 3.9565),
        (sure.loc[sure["lift"].idxmax()], ["liquor", "red/blush wine"], ["bottled beer"], 19, 0.9048, 11.2353),
    ):
        assert (list(rule["antecedent"]), list(rule["consequent"]), rule["count"]) == (antecedent, consequent, count)
        assert (round(rule["confidence"], 4), round(rule["lift"], 4)) == (pytest.approx(confidence, abs=5e-5), lift)


def test_all_rules_of_the_reference_are_found_and_no_other(found: pd.DataFrame) -> None:
    frequent = found[(found["count"] >= 60) & (found["confidence"] >= 0.25)]
    ours = {
        (frozenset(row.antecedent), row.consequent[0]): (row.count_, row.support, row.confidence, row.lift)
        for row in frequent.rename(columns={"count": "count_"}).itertuples()
    }
    with (DATA / "reference_rules_supp0.006_conf0.25.csv").open(encoding="utf-8", newline="") as file:
        theirs = {
            (frozenset(row["antecedent"].split(" | ")), row["consequent"]): tuple(
                float(row[name]) for name in ("count", "support", "confidence", "lift")
            )
            for row in csv.DictReader(file)
        }
    assert len(theirs) == 463
    assert ours.keys() == theirs.keys()
    for rule, told in theirs.items():
        assert ours[rule] == pytest.approx(told, rel=1e-9), rule


def test_measures_are_those_of_mlxtend(mined: DataFrame, found: pd.DataFrame) -> None:
    sets = mined.where("count >= 60").toPandas()
    told = pd.DataFrame({"support": sets["count"] / 9_835, "itemsets": sets["items"].map(frozenset)})
    theirs = association_rules(told, num_itemsets=9_835, min_threshold=0.25)
    theirs = theirs[theirs["consequents"].map(len) == 1]
    expected = {(row["antecedents"], *row["consequents"]): row for row in theirs.to_dict("records")}
    ours = found[(found["count"] >= 60) & (found["confidence"] >= 0.25)]
    assert len(ours) == len(expected)
    for row in ours.to_dict("records"):
        other = expected[frozenset(row["antecedent"]), row["consequent"][0]]
        for name in MEASURES:
            assert row[name] == pytest.approx(other[THEIRS.get(name, name)], rel=1e-9), (name, row)


def test_q_values_are_those_of_benjamini_and_hochberg(found: pd.DataFrame) -> None:
    expected = multipletests(found["p_value"], method="fdr_bh")[1]
    assert found["q_value"].to_numpy() == pytest.approx(expected, rel=1e-9)
    assert found["q_value"].between(0.001, 0.9).sum() > 100


def test_consequents_of_two_items_are_those_of_mlxtend(spark: SparkSession) -> None:
    baskets = [["a", "b", "c", "d"], ["a", "b", "c"], ["a", "b"], ["c", "d"], ["a", "c", "d"], ["b", "d"], ["d"], ["a"]]
    mined = itemsets.mine(frame(spark, baskets), 0.1)
    told = pd.DataFrame([(row["support"], frozenset(row["items"])) for row in mined.collect()])
    theirs = association_rules(told.set_axis(["support", "itemsets"], axis=1), num_itemsets=8, min_threshold=0)
    expected = {
        (row["antecedents"], row["consequents"]): row["confidence"]
        for row in theirs.to_dict("records")
        if len(row["consequents"]) <= 2
    }
    rows = rules.derive(mined, max_consequent=2).collect()
    found = {(frozenset(row["antecedent"]), frozenset(row["consequent"])): row["confidence"] for row in rows}
    assert len(rows) == len(found)
    assert found == pytest.approx(expected, rel=1e-9)
    assert max(len(consequent) for _, consequent in found) == 2
