"""What happens in the shop: who comes, when they buy, and how much, every feed from a stream of its own."""

from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from crm_spark.sample import (
    archetypes,
    bundles,
    campaigns,
    customers,
    feedback,
    frauds,
    orders,
    paths,
    process,
    products,
    rates,
    receipts,
    seasons,
)  # fmt: skip
from crm_spark.sample.archetypes import Archetype
from crm_spark.sample.orders import ANONYMOUS, CAMPAIGN, FRAUD, NOBODY, PROCESS, Receipts
from crm_spark.sample.process import Floats, Ints, Purchases
from crm_spark.sample.seasons import Clock
from crm_spark.sample.setting import EFFECTS, Setting
from crm_spark.sample.streams import stream

ZONE = "Europe/Berlin"
JOINING, UNNAMED = 0.6, 0.05


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


@dataclass(frozen=True)
class Trade:
    """All that happened to a chunk of customers, as numbers: what the files tell and what they hide.

    Parameters
    ----------
    numbers : array
        The customers' numbers in the whole shop, from 0.
    people : DataFrame
        One row per customer, its archetype and its mean order among the columns.
    first : array
        When each customer bought for the first time, in shop time.
    """

    world: World
    chunk: int
    numbers: Ints
    people: pd.DataFrame
    first: Floats
    purchases: Purchases
    versions: pd.DataFrame
    contacts: pd.DataFrame
    receipts: Receipts


def draw(world: World, chunk: int) -> Trade:
    """Draw the life of a chunk of customers from the seed."""
    setting, kinds = world.setting, world.archetypes
    days, size = setting.days, setting.size(chunk)
    draws = partial(stream, setting.seed, part=chunk)
    numbers = chunk * setting.chunk + np.arange(size)
    doubled = customers.DOUBLED * setting.effect("doubles")
    people = customers.people(draws("customers"), size, setting.start, doubled, numbers)
    people["archetype"] = archetypes.assigned(draws("archetypes"), kinds, size)
    archetype = people["archetype"].to_numpy()
    spending = archetypes.spending(kinds, archetype)
    people["mean"] = process.worth(draws("spending"), spending, size)

    first = draws("joining").uniform(0, JOINING * world.clock.ends[-1], size)
    buying = archetypes.buying(kinds, archetype, customers.churn(people, setting.effect("churn")))
    purchases = process.buy(draws("buying"), first, float(world.clock.ends[-1]), buying)
    since = world.clock.day(first)
    people = customers.registered(draws("registering"), people, since)
    contacts = campaigns.address(draws("campaigns"), world.campaigns, since)
    lift = np.array([kind.lift for kind in kinds])[archetype]
    persuaded = campaigns.persuade(draws("lift"), contacts, lift, days)
    taken = frauds.draw(draws("frauds"), setting.effect("frauds"), since, people["mean"].to_numpy(), days)
    named = named_buyers(draws("worth"), world, people, purchases, persuaded, taken)
    unnamed = round(len(named) * UNNAMED / (1 - UNNAMED))
    buyers = pd.concat([named, strangers(draws("anonymous"), world, unnamed)], ignore_index=True)
    sold = orders.sell(
        draws("orders"),
        buyers,
        world.products["price"].to_numpy(),
        world.rates,
        world.bundles,
        bundles.supports(setting),
    )
    books = receipts.number(receipts.take_back(draws("returns"), sold, days))
    versions = customers.versions(draws("moves"), people, days)
    return Trade(world, chunk, numbers, people, first, purchases, versions, contacts, books)


def named_buyers(
    draws: np.random.Generator,
    world: World,
    people: pd.DataFrame,
    purchases: Purchases,
    persuaded: pd.DataFrame,
    taken: pd.DataFrame,
) -> pd.DataFrame:
    """Put the purchases of known customers together; the British pay in pounds."""
    bought = pd.DataFrame({"customer": purchases.customer, "day": world.clock.day(purchases.at), "cause": PROCESS})
    buyers = pd.concat([bought, persuaded.assign(cause=CAMPAIGN)], ignore_index=True)
    kinds = archetypes.spending(world.archetypes, people["archetype"].to_numpy()[buyers["customer"]])
    buyers["worth"] = process.spend(draws, people["mean"].to_numpy()[buyers["customer"]], kinds.p)
    buyers = pd.concat([buyers.assign(second=NOBODY), taken.assign(cause=FRAUD)], ignore_index=True)
    return buyers.assign(british=people["country"].to_numpy()[buyers["customer"]] == customers.BRITISH)


def strangers(draws: np.random.Generator, world: World, size: int) -> pd.DataFrame:
    """Draw the purchases of buyers who give no name: on busier days more, worth what the first archetype spends."""
    spending = world.archetypes[0].spending
    factor = world.clock.factor
    return pd.DataFrame(
        {
            "customer": np.full(size, NOBODY),
            "day": draws.choice(len(factor), size, p=factor / factor.sum()),
            "cause": ANONYMOUS,
            "worth": process.spend(draws, process.worth(draws, spending, size), spending.p),
            "second": NOBODY,
            "british": draws.random(size) < customers.SHARES[customers.BRITISH],
        }
    )


def parameters(world: World) -> dict[str, Any]:
    """Give what the shop was drawn from: arguments, models, shares."""
    setting = world.setting
    chains = dict(
        zip([*(kind.name for kind in world.archetypes), "visitors", "buyers"], paths.planted(setting), strict=True)
    )
    return {
        "arguments": {
            **asdict(setting),
            "start": setting.start.isoformat(),
            "effects": {name: setting.effect(name) for name in EFFECTS},
        },
        "zone": ZONE,
        "currency": rates.CURRENCIES[rates.EUR],
        "archetypes": {
            kind.name: {
                "buying": asdict(kind.buying),
                "spending": asdict(kind.spending),
                "lift": kind.lift,
                "share": kind.share,
            }
            for kind in world.archetypes
        },
        "churn": {
            "gamma": customers.GAMMA * setting.effect("churn"),
            "age_group": dict(zip(customers.AGE_GROUPS, customers.AGE_Z, strict=True)),
            "household": dict(zip(customers.HOUSEHOLDS, customers.HOUSEHOLD_Z, strict=True)),
        },
        "paths": {
            "pages": [*paths.PAGES, "leave"],
            "chains": {name: chain.round(12).tolist() for name, chain in chains.items()},
        },
        "campaigns": {"lasts": campaigns.LASTS, "control": campaigns.VARIANTS[campaigns.CONTROL]},
        "shares": {
            "anonymous orders": UNNAMED,
            "shop time in which customers join": JOINING,
            "orders brought back": receipts.RETURNED,
            "orders over midnight": orders.MIDNIGHT,
            "lines of an order, from 1": orders.LINES,
            "moves a customer and day": customers.MOVES_A_DAY,
            "persons who register twice": customers.DOUBLED * setting.effect("doubles"),
            "accounts taken over": frauds.TAKEN * setting.effect("frauds"),
            "countries": dict(zip(customers.COUNTRIES, customers.SHARES, strict=True)),
            "sales with feedback": feedback.ANSWERS,
            "ratings, from 1": feedback.RATINGS,
            "customers a campaign addresses": campaigns.ADDRESSED,
            "variants": dict(zip(campaigns.VARIANTS, campaigns.SPLIT, strict=True)),
            "responses by variant": dict(zip(campaigns.VARIANTS, campaigns.RESPONSES, strict=True)),
        },
    }
