"""What `test_connect` runs on Spark Connect: an answer of every domain, kept as Parquet."""

import os
from datetime import date, timedelta
from pathlib import Path
from random import Random
from unittest.mock import patch

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.baskets import itemsets, offers, rules
from crm_spark.features import snapshot
from crm_spark.models import cart, choices, scores, trees
from crm_spark.segments import dbscan, drift, former, kmeans, rfm
from crm_spark.segments import migration as movement
from crm_spark.value import clv, concentration, drivers, forest, groups, margins, migration, models, ranks, totals
from crm_spark.value.histories import gather, prospects, weeks
from tests.anomalies import test_findings, test_learned
from tests.baskets import test_differences, test_itemsets, test_offers
from tests.features import test_snapshot
from tests.forecasting import test_forecasts
from tests.models import test_scores
from tests.segments import test_dbscan, test_kmeans
from tests.value import (
    test_bridge,
    test_clv,
    test_cohorts,
    test_contract_values,
    test_covariates,
    test_drivers,
    test_groups,
    test_margins,
)
from tests.value.test_clv import days_of, drawn

AS_OF = date(1997, 9, 30)
FOLDER = "CRM_TEST_ANSWERS"


def answers(spark: SparkSession) -> dict[str, DataFrame]:
    """Scores and values of four hundred customers, features of a random shop, segments of some more."""
    days = days_of(spark, drawn(400)).localCheckpoint()
    measures = rfm.measure(days, AS_OF)
    cuts = rfm.cut_points(measures, 5).localCheckpoint()
    histories = gather(days, AS_OF, held_out=60).localCheckpoint()
    by_week = weeks(days, AS_OF, 60)
    fitted = models.fit(histories, AS_OF, held_out=60, by_week=by_week).localCheckpoint()
    parameters = models.parameters(fitted)
    covaried = histories.selectExpr(
        "*", "concat('half=', ascii(right(customer_id, 1)) % 2) covariates"
    ).localCheckpoint()
    with_them = models.parameters(models.fit(covaried, AS_OF, models=["bg_nbd"])).localCheckpoint()
    said = test_clv.said_of(spark, ("c001", AS_OF, None), ("new", AS_OF, None))
    customers = test_kmeans.features_of(spark, test_kmeans.drawn())
    model = kmeans.fit(customers, test_kmeans.AS_OF, k=[3])
    later = test_kmeans.AS_OF + timedelta(days=9)
    then = kmeans.predict(customers, model, test_kmeans.AS_OF).localCheckpoint()
    some = customers.where(F.expr("ascii(right(customer_id, 1)) % 9 > 0"))
    again = some.withColumns({"as_of": F.lit(later), "recency_days": F.col("recency_days") * 2}).localCheckpoint()
    last = former.find(model, later)
    assert last is not None
    aligned = former.align(again, model, model, last, later, kmeans.FEATURES)
    now = kmeans.predict(again, aligned, later).localCheckpoint()
    both = customers.unionByName(again)
    sold = margins.gather(**test_margins.frames(spark, test_margins.some_shop(Random(1))), as_of=test_margins.AS_OF)
    worth = test_drivers.gathered(spark, test_drivers.drawn(120)).localCheckpoint()
    learned = forest.learn(worth, test_drivers.FEATURES)
    explained = drivers.explain(worth, learned).localCheckpoint()
    by_customer = drivers.by_customer(explained, learned, test_drivers.AS_OF)
    shop = test_snapshot.frames(spark, test_snapshot.some_shop(Random(1)))
    grouped = test_groups.gathered(spark, test_groups.shop()).localCheckpoint()
    ranked = ranks.rank(ranks.order(concentration.amounts(grouped)).localCheckpoint())
    parted = groups.add_deciles(grouped, ranked)
    named = test_groups.NAMED
    baskets = test_itemsets.frame(spark, test_itemsets.some_baskets(Random(1)))
    sets = itemsets.mine(baskets, 0.07).localCheckpoint()
    known = test_offers.frames(spark, dict(zip("klmno", "abcah", strict=True)), [test_offers.rule("a", "c", 0.5)])
    sums = totals.draw(parted, test_groups.parameters(spark), named)
    kind = "CASE WHEN recency_days > 40 THEN 'late' WHEN basket_value > 50 THEN 'dear' ELSE 'cheap' END"
    choosing = customers.withColumn("told", F.expr(kind))
    told_by = ["recency_days", "basket_value"]
    tree, _ = choices.learn(choosing, "rfm", test_kmeans.AS_OF, test_kmeans.AS_OF, told_by, [])
    decided = trees.predict(choosing, tree, [trees.Attribute(name) for name in told_by], ["customer_id"])
    people = test_scores.customers(spark, 0.9, 120).selectExpr("*", "noise * late more", "length(address) other")
    people = people.localCheckpoint()
    by_cart = cart.fit(people, "told", [trees.Attribute("noise"), trees.Attribute("channel", ("app", "web", "shop"))])
    few = scores.Grown(5, 3)
    scored, _, important = scores.learn(
        people, people, test_scores.ASKED, ["late", "noise", "more", "other"], ["channel"], few
    )
    with patch.object(dbscan, "A_BOX", 100):
        grouped_by_density = dbscan.cluster(test_dbscan.frame(spark, test_dbscan.drawn(2)), 0.25, 6, 2)
    return {
        "choice_trees": tree.drop("classes", "counts", "levels", "branches"),
        "choice_decisions": decided.select("customer_id", "decision"),
        "choice_tree_by_cart": by_cart.drop("classes", "counts", "levels", "branches"),
        "choice_scores": scored,
        "choice_importance": important,
        "customer_density": grouped_by_density,
        "behaviour_detected": test_learned.detected(spark),
        **test_forecasts.answers(spark),
        **test_findings.answers(spark),
        "value_groups": groups.describe(parted, sums, test_groups.NOW, named),
        "value_concentration": concentration.measure(ranked, grouped, test_groups.NOW),
        "value_migration": migration.migrate(*test_groups.moving(spark), test_groups.NOW),
        "value_bridge": test_bridge.compared(spark, test_bridge.bought(), period=40),
        # Pandas does not sort by lists.
        "basket_itemsets": joined(sets, "items"),
        "basket_itemsets_by_apriori": joined(itemsets.mine(baskets, 0.07, "apriori"), "items"),
        "basket_rules": joined(rules.derive(sets), "antecedent", "consequent"),
        "rule_differences": joined(
            test_differences.compared(spark, test_differences.drawn(), test_differences.told_twice()),
            "antecedent",
            "consequent",
        ),
        "rules_within": joined(
            test_differences.compared(
                spark, test_differences.drawn(), test_differences.told_twice(), wanted=test_differences.WITHIN
            ),
            "antecedent",
            "consequent",
            "mined_in",
        ),
        "next_offers": offers.offer(*known, test_offers.AS_OF),
        "cohorts": test_cohorts.followed(spark),
        **test_contract_values.answers(spark),
        "rfm_scores": rfm.score(measures, cuts, AS_OF, 5, [{"name": "Best", "when": "r >= 0.75 AND fm >= 0.75"}]),
        "rfm_cuts": rfm.listed(cuts, AS_OF),
        "clv": clv.predict(histories, parameters, AS_OF, 365),
        "clv_with_prospects": clv.predict(
            covaried,
            with_them.withColumn("is_chosen", F.col("model") != "bg_nbd"),
            AS_OF,
            90,
            prospects=prospects(said, covaried, AS_OF).withColumn("covariates", F.lit("half=1")),
        ),
        "clv_covariates": test_covariates.levelled(spark),
        "clv_parameters": parameters.unionByName(with_them.where("model = 'bg_nbd_covariates'")),
        "clv_models": models.scores(fitted),
        "clv_holdout": models.expectations(fitted),
        "customer_features": snapshot.take(**shop, as_of=test_snapshot.AS_OF),
        "customer_margins": margins.expect(sold.localCheckpoint(), test_margins.AS_OF),
        "customer_segments": kmeans.predict(customers, model, test_kmeans.AS_OF),
        "segment_model": model,
        "segment_model_later": aligned,
        "segment_migration": movement.migrate(again, now, then, later, test_kmeans.AS_OF),
        "segment_drift": drift.measure(both, now, then, model, later, test_kmeans.AS_OF, kmeans.FEATURES),
        # Pandas has no maps.
        "clv_drivers": by_customer.withColumn("contributions", F.map_values("contributions")),
        "segment_drivers": drivers.by_segment(explained, learned, test_drivers.AS_OF),
        "driver_model": forest.described(explained, learned, test_drivers.AS_OF),
    }


def joined(rows: DataFrame, *lists: str) -> DataFrame:
    return rows.withColumns({name: F.array_join(name, ",") for name in lists})


def test_answers_are_kept(spark: SparkSession) -> None:
    for name, rows in answers(spark).items():
        rows.coalesce(1).write.parquet(str(Path(os.environ[FOLDER], name)))
