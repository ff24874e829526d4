"""What is the same for all customers of a shop: its clock, its kinds of customers, its products, its campaigns."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from crm_spark.sample import archetypes, bundles, campaigns, products, rates, seasons
from crm_spark.sample.archetypes import Archetype
from crm_spark.sample.process import Ints
from crm_spark.sample.seasons import Clock
from crm_spark.sample.setting import Setting
from crm_spark.sample.streams import stream


@dataclass(frozen=True)
class World:
    """What is the same for all customers of a shop."""

    setting: Setting

    @cached_property
    def clock(self) -> Clock:
        """How long each day is in shop time."""
        return seasons.clock(self.setting)

    @cached_property
    def archetypes(self) -> list[Archetype]:
        """The kinds of customers."""
        return archetypes.planted(self.setting)

    @cached_property
    def rates(self) -> Ints:
        """Hundredths of a euro by day and currency."""
        return rates.draw(stream(self.setting.seed, "rates"), self.setting.days)

    @cached_property
    def products(self) -> pd.DataFrame:
        """What is sold, cheapest first."""
        count = int(np.clip(self.setting.customers // 10, 60, 2_000))
        return products.stock(stream(self.setting.seed, "products"), count, self.setting.days)

    @cached_property
    def bundles(self) -> list[Ints]:
        """The products of each bundle."""
        return bundles.planted(self.setting, len(self.products))

    @cached_property
    def campaigns(self) -> pd.DataFrame:
        """When each campaign begins, and its channel."""
        return campaigns.plan(self.setting.days)
