"""Find what is bought together, and tell it as rules: who buys this, buys that."""

from functools import reduce
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.baskets import itemsets, purchases, rules, sections
from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.errors import ConfigError
from crm_spark.core.job import job
from crm_spark.core.log import log
from crm_spark.ingest.tables import ORDER_LINES, PRODUCT_HISTORY


class Config(Settings):
    levels: Annotated[list[Annotated[str, AfterValidator(purchases.check)]], NamedOnce] = Field(
        ["product"],
        min_length=1,
        description="What an item is: product, subcategory, category, brand; each by itself, or some joined by +.",
    )
    basket: purchases.Basket = Field("order", description="What a basket is: an order, or all that a customer bought.")
    days: int = Field(365, ge=1, le=3650, description="Days of baskets, up to the day that the rules speak for.")
    method: itemsets.Method = Field("bitmaps", description="How sets are found: bitmaps, apriori or fp_growth.")
    min_support: float = Field(
        0.001,
        gt=0,
        le=1,
        description="Share of the baskets that hold a set at least; doubled, with a warning, while there are too many.",
    )
    min_baskets: int = Field(5, ge=1, description="Baskets that hold a set at least, where that share asks for fewer.")
    max_items: int | None = Field(5, ge=1, le=50, description="Items of a set at most; null for any number.")
    most: int = Field(itemsets.MOST, ge=1, le=50_000_000, description="Sets at most.")
    max_consequent: int = Field(1, ge=1, le=10, description="Items of a consequent at most.")
    min_confidence: float = Field(0.1, ge=0, le=1, description="The least confidence of a rule.")
    min_gain: float = Field(0.0, ge=0, le=1, description="The least information gain of sets and rules, in bits.")
    max_q: float = Field(0.05, ge=0, le=1, description="The greatest share of rules that are chance; 1 keeps all.")
    pruned: bool = Field(True, description="Whether rules go that a more general one is as sure as.")
    antecedents: list[str] | None = Field(None, description="Items that antecedents may be made of; null for all.")
    consequents: list[str] | None = Field(None, description="Items that consequents may be made of; null for all.")

    @model_validator(mode="after")
    def _keep_apart(self) -> "Config":
        if self.method == "fp_growth" and any(purchases.TOGETHER in level for level in self.levels):
            raise ValueError("fp_growth cannot keep items apart, as those of joined levels must be")
        return self


@job(
    reads=[ORDER_LINES, PRODUCT_HISTORY],
    writes=[rules.RULES, itemsets.ITEMSETS],
    sections=sections.SECTIONS,
)
def basket_rules(order_lines: DataFrame, product_history: DataFrame, config: Config) -> tuple[DataFrame, DataFrame]:
    levels = [_of_level(order_lines, product_history, config, level) for level in config.levels]
    told, sets = (reduce(DataFrame.unionByName, parts) for parts in zip(*levels, strict=True))
    return told, sets


def _of_level(
    order_lines: DataFrame, product_history: DataFrame, config: Config, level: str
) -> tuple[DataFrame, DataFrame]:
    if unknown := purchases.unknown(product_history, config.as_of, level):
        raise ConfigError(
            f"levels: of no product the {' or the '.join(unknown)} is known: leave it out, or map it in the source"
        )
    bought = purchases.gather(order_lines, product_history, config.as_of, config.days, level)
    baskets = purchases.baskets(bought, config.basket)
    apart = purchases.related(product_history, config.as_of, level) if purchases.TOGETHER in level else None
    # Each of these is used several times: it is computed once.
    sets = _mined(baskets, config, apart).localCheckpoint()
    all_ = rules.derive(sets, config.max_consequent).localCheckpoint()
    kept = rules.keep(all_, config.min_confidence, config.min_gain, config.max_q, config.pruned)
    kept = rules.restrict(kept, config.antecedents, config.consequents).localCheckpoint()
    told = rules.tell(kept, purchases.describe(bought, config.basket))
    known = sets.join(rules.gains(all_), "items", "left")
    known = known.where(F.coalesce("information_gain", F.lit(config.min_gain)) >= config.min_gain)
    of = {"as_of": F.lit(config.as_of), "level": F.lit(level)}
    return told.withColumns(of).select(*rules.RULES.names), known.withColumns(of).select(*itemsets.ITEMSETS.names)


def _mined(baskets: DataFrame, config: Config, apart: DataFrame | None) -> DataFrame:
    """Find sets of the support that is asked for, or of the first double of it at which there are not too many."""
    support = config.min_support
    while True:
        try:
            return itemsets.mine(
                baskets, support, config.method, config.max_items, config.most, config.min_baskets, apart
            )
        except itemsets.TooManySets as many:
            if support == 1:
                raise
            support = min(2 * support, 1.0)
            log.warning(f"{many}; now a support of {support:g} is tried")


if __name__ == "__main__":
    basket_rules.run()
