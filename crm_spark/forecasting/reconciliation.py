"""Forecasts that add up: of customers, of their segments, and of all.

Each is foretold by itself, and so the sum of customers is not what is foretold of their segment. `top_down` keeps what
is foretold of all and hands it down by the proportions of the forecasts below; `bottom_up` adds up customers alone.
What all these forecasts say together is told by weighted least squares over the tree of all, segments and customers:
`wls_var` weighs each by the variance that it gives itself, `wls_struct` by how many customers it is made of. In a tree
the solution needs no matrix: going up, each node weighs its own forecast against the sum of its parts, as a Kalman
filter does; going down, what a node moved by is shared out by variance.

Who comes first in the periods to come, or is not known by name, is in none of the customers' series. So all have one
part more, the others: what those brought, in each period after an origin, who had no series at that origin.

What may not lie below zero is set to zero at the customers, and added up again (Di Fonzo and Girolimetto).

References
----------
Athanasopoulos, G., Ahmed, R. A., Hyndman, R. J. (2009). Hierarchical Forecasts for Australian Domestic Tourism.
International Journal of Forecasting 25(1), 146-166: forecast proportions.
Athanasopoulos, G., Hyndman, R. J., Kourentzes, N., Petropoulos, F. (2017). Forecasting with Temporal Hierarchies.
European Journal of Operational Research 262(1), 60-74: structural scaling.
Di Fonzo, T., Girolimetto, D. (2023). Spatio-Temporal Reconciliation of Solar Forecasts. Solar Energy 251, 13-29.
Hyndman, R. J., Lee, A. J., Wang, E. (2016). Fast Computation of Reconciled Forecasts for Hierarchical and Grouped Time
Series. Computational Statistics and Data Analysis 97, 16-32: variance scaling.
Wickramasuriya, S. L., Athanasopoulos, G., Hyndman, R. J. (2019). Optimal Forecast Reconciliation for Hierarchical and
Grouped Time Series Through Trace Minimization. Journal of the American Statistical Association 114(526), 804-819.
"""

from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy import special

from crm_spark.forecasting.forecasts import CUSTOMER, FORECASTS, LIMITS, SEGMENT
from crm_spark.forecasting.series import ALL, MEANS
from crm_spark.kernels.forecasts import LEVELS

Method = Literal["top_down", "wls_var", "wls_struct", "bottom_up"]

OTHERS = "others"
LEAST = 2  # origins, from which a variance can be told
WIDTHS = [float(special.ndtri(level)) for level in LEVELS]  # of limits, in standard deviations
AT = ("measure", "ahead")


def others(series: DataFrame, forecasts: DataFrame, horizon: int, origins: int) -> DataFrame:
    """Foretell what those will bring who have no series yet: what they brought after earlier origins, on average.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
        Of one day.
    forecasts : DataFrame of FORECASTS
        Of that day.
    horizon, origins : int
        Of these forecasts.

    Returns
    -------
    DataFrame of FORECASTS
        None where the series of all are shorter than the horizon. One pass over the series of customers; sums by
        period.
    """
    told = series.where(F.col("grouping").isin(ALL, CUSTOMER) & ~F.col("measure").isin(*MEANS))
    back = F.explode(F.sequence(F.lit(1), F.lit(max(origins, LEAST) * horizon)))
    of = F.when(F.col("grouping") == ALL, F.lit(1)).otherwise(-1)
    size, origin = F.size("values"), F.ceil(F.col("back") / horizon).cast("int")
    periods = (
        told.select("grouping", "measure", "values", back.alias("back"))
        .where(size > origin * horizon)  # who had a series at that origin
        .groupBy("measure", origin.alias("origin"), (origin * horizon - F.col("back") + 1).alias("ahead"))
        .agg(
            F.sum(of * F.get("values", size - F.col("back"))).alias("brought"),
            F.max(F.col("grouping") == F.lit(ALL)).alias("is_told"),
        )
    )
    brought = F.greatest(F.avg("brought"), F.lit(0.0))
    by_ahead = periods.where("is_told").groupBy(*AT).agg(brought.alias("expected"), F.var_samp("brought").alias("one"))
    # Of two origins one variance says little: all periods to come have the same.
    spread = by_ahead.groupBy("measure").agg(F.sqrt(F.avg("one")).alias("off"))
    days = forecasts.where(F.col("grouping") == ALL).select(*AT, "as_of", "day")
    limits = [F.greatest(F.col("expected") + width * F.col("off"), F.lit(0.0)) for width in WIDTHS]
    told_of = {
        **dict(zip(LIMITS, limits, strict=True)),
        **{name: F.lit(OTHERS) for name in ("grouping", "key", "method")},
        **{name: F.lit(None).cast("string") for name in ("reconciled", "reconciled_by")},
    }
    return days.join(by_ahead, list(AT)).join(spread, "measure").withColumns(told_of).select(*FORECASTS.names)


def reconcile(forecasts: DataFrame, segments: DataFrame, method: Method = "top_down") -> DataFrame:
    """Make forecasts of customers, segments and all add up.

    Parameters
    ----------
    forecasts : DataFrame of FORECASTS
        Of one day, with the others. They are read three times.
    segments : DataFrame
        `customer_id`, `segment`, one row for each customer at most.
    method : str, default top_down

    Returns
    -------
    DataFrame of FORECASTS
        With `reconciled` of customers, the others, segments and all; what is a mean is not added up. One join by
        customer; sums by segment, which are broadcast.
    """
    is_part = F.col("grouping").isin(CUSTOMER, OTHERS) & ~F.col("measure").isin(*MEANS)
    known = segments.select(F.col("customer_id").alias("key"), "segment")
    # What a node moved by is shared out by these: by what is expected, where proportions stay.
    shares = {"top_down": F.col("expected"), "wls_struct": F.lit(1.0)}
    leaves = (
        forecasts.where(is_part)
        .join(known, "key", "left")
        .withColumns({"above": _above(), "variance": shares.get(method, _variance())})
    )
    own = forecasts.where(F.col("grouping").isin(SEGMENT, ALL)).select(
        F.struct("grouping", "key").alias("above"), *AT, F.col("expected").alias("own"), _variance().alias("doubted")
    )
    sums = leaves.groupBy("above", *AT).agg(
        F.sum("expected").alias("below"), F.sum("variance").alias("doubt"), F.count("*").alias("leaves")
    )
    parts = _met(sums, own, method)
    whole = parts.groupBy(*AT).agg(
        F.sum("met").alias("below"), F.sum("left").alias("doubt"), F.sum("leaves").alias("leaves")
    )
    top = _met(whole.withColumn("above", _node(F.lit(ALL), F.lit(ALL))), own, method)
    # Of nothing there are no proportions: what is handed down to it is shared by heads.
    is_even = (F.col("doubt") == 0) & F.lit(method == "top_down")
    doubt = F.when(is_even, F.col("leaves").cast("double")).otherwise(F.col("doubt"))
    pulls = top.select(*AT, _over(F.col("met") - F.col("below"), doubt).alias("pull"), is_even.alias("all_even"))
    target = F.col("met") + F.when(F.col("all_even"), F.col("leaves")).otherwise(F.col("left")) * F.col("pull")
    move = _over(target - F.col("below"), doubt).alias("move")
    moves = parts.join(pulls, list(AT)).select("above", *AT, move, is_even.alias("is_even"))
    weight = F.when(F.col("is_even"), F.lit(1.0)).otherwise(F.col("variance"))
    moved = F.greatest(F.col("expected") + weight * F.col("move"), F.lit(0.0))
    agreed = leaves.join(F.broadcast(moves), ["above", *AT]).withColumn("reconciled", moved)

    by_part = agreed.groupBy("above", *AT).agg(F.sum("reconciled").alias("sum"))
    of_all = by_part.groupBy(*AT).agg(F.sum("sum").alias("sum")).withColumn("above", _node(F.lit(ALL), F.lit(ALL)))
    nodes = by_part.unionByName(of_all).select("above.*", *AT, "sum")
    rest = forecasts.where(~is_part).join(F.broadcast(nodes), ["grouping", "key", *AT], "left")
    both = agreed.select(*FORECASTS.names).unionByName(
        rest.withColumn("reconciled", F.col("sum")).select(*FORECASTS.names)
    )
    return both.withColumn("reconciled_by", F.when(F.col("reconciled").isNotNull(), F.lit(method)))


def _above() -> Column:
    """Where a leaf hangs: who has no segment, and the others, hang on all by themselves."""
    is_in = F.col("segment").isNotNull()
    grouping = F.when(is_in, F.lit(SEGMENT)).otherwise(F.lit("none"))
    return _node(grouping, F.when(is_in, F.col("segment")).otherwise(F.col("grouping")))


def _node(grouping: Column, key: Column) -> Column:
    return F.struct(grouping.alias("grouping"), key.alias("key"))


def _variance() -> Column:
    """Of a forecast; where it does not tell it, as much as is expected, squared."""
    deviation = (F.col("high_95") - F.col("high_80")) / (WIDTHS[3] - WIDTHS[2])
    return F.coalesce(deviation, "expected") ** 2


def _met(sums: DataFrame, own: DataFrame, method: Method) -> DataFrame:
    """Add where nodes and the sums of their parts meet, and the variance that is left there."""
    variance = F.col("leaves").cast("double") if method == "wls_struct" else F.col("doubted")
    is_told = F.col("own").isNotNull() & F.lit(method != "bottom_up")
    gain = F.lit(1.0) if method == "top_down" else _over(F.col("doubt"), F.col("doubt") + variance)
    met = F.col("below") + F.when(is_told, gain * (F.col("own") - F.col("below"))).otherwise(0.0)
    left = F.when(is_told, F.col("own") if method == "top_down" else gain * variance).otherwise(F.col("doubt"))
    return sums.join(own, ["above", *AT], "left").select(
        "above", *AT, "below", "doubt", "leaves", met.alias("met"), left.alias("left")
    )


def _over(one: Column, other: Column | str) -> Column:
    """A ratio, 0 where there is nothing to divide by: what is certain does not move."""
    return F.coalesce(F.try_divide(one, other), F.lit(0.0))
