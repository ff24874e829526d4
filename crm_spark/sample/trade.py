"""What happens in the shop: who comes, when they buy, and how much, every feed from a stream of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from crm_spark.sample import archetypes, bundles, campaigns, contracts, customers, frauds, orders, process, receipts
from crm_spark.sample.orders import ANONYMOUS, CAMPAIGN, FRAUD, NOBODY, PROCESS, Receipts
from crm_spark.sample.process import Floats, Ints, Purchases
from crm_spark.sample.streams import stream
from crm_spark.sample.world import World

ZONE = "Europe/Berlin"
JOINING, UNNAMED = 0.6, 0.05

Draws = Callable[[str], np.random.Generator]  # a stream by its name


@dataclass(frozen=True)
class Trade:
    """All that happened to a chunk of customers, as numbers: what the files tell and what they hide.

    Parameters
    ----------
    numbers : array
        The customers' numbers in the whole shop, from 0.
    people : DataFrame
        One row per customer: as `persons` and `customers.registered` give it.
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
    contracts: pd.DataFrame
    receipts: Receipts


def draw(world: World, chunk: int) -> Trade:
    """Draw the life of a chunk of customers from the seed."""
    setting = world.setting
    draws = partial(stream, setting.seed, part=chunk)
    numbers = chunk * setting.chunk + np.arange(setting.size(chunk))
    people = persons(draws, world, numbers)
    first = draws("joining").uniform(0, JOINING * world.clock.ends[-1], len(people))
    churn = customers.churn(people, setting.effect("churn"))
    buying = archetypes.buying(world.archetypes, people["archetype"].to_numpy(), churn)
    purchases = process.buy(draws("buying"), first, float(world.clock.ends[-1]), buying)
    people["since"] = world.clock.day(first)
    people = customers.registered(draws("registering"), people)
    contacts = campaigns.address(draws("campaigns"), world.campaigns, people["since"].to_numpy())
    named = named_buyers(draws, world, people, purchases, contacts)
    unnamed = strangers(draws("anonymous"), world, round(len(named) * UNNAMED / (1 - UNNAMED)))
    buyers = pd.concat([named, unnamed], ignore_index=True)
    prices, shares = world.products["price"].to_numpy(), bundles.supports(setting)
    sold = orders.sell(draws("orders"), buyers, prices, world.rates, world.bundles, shares)
    books = receipts.number(receipts.take_back(draws("returns"), sold, setting.days))
    versions = customers.versions(draws("moves"), people, setting.days)
    since, renewing = people["since"].to_numpy(), setting.effect("contracts")
    agreed = contracts.draw(draws("contracts"), renewing, since, setting.start, setting.days)
    return Trade(world, chunk, numbers, people, first, purchases, versions, contacts, agreed, books)


def persons(draws: Draws, world: World, numbers: Ints) -> pd.DataFrame:
    """Draw who the customers are, their archetype and what their orders are worth on average (`mean`)."""
    setting, kinds = world.setting, world.archetypes
    doubled = customers.DOUBLED * setting.effect("doubles")
    people = customers.people(draws("customers"), numbers, setting.start, doubled)
    archetype = archetypes.assigned(draws("archetypes"), kinds, len(people))
    spending = archetypes.spending(kinds, archetype)
    return people.assign(archetype=archetype, mean=process.worth(draws("spending"), spending, len(people)))


def named_buyers(
    draws: Draws, world: World, people: pd.DataFrame, purchases: Purchases, contacts: pd.DataFrame
) -> pd.DataFrame:
    """Put the purchases of known customers together, whatever they came of; the British pay in pounds."""
    setting, since, mean = world.setting, people["since"].to_numpy(), people["mean"].to_numpy()
    archetype = people["archetype"].to_numpy()
    lift = np.array([kind.lift for kind in world.archetypes])[archetype]
    persuaded = campaigns.persuade(draws("lift"), contacts, lift, setting.days)
    bought = pd.DataFrame({"customer": purchases.customer, "day": world.clock.day(purchases.at), "cause": PROCESS})
    buyers = pd.concat([bought, persuaded.assign(cause=CAMPAIGN)], ignore_index=True)
    shape = archetypes.spending(world.archetypes, archetype[buyers["customer"]]).p
    buyers["worth"] = process.spend(draws("worth"), mean[buyers["customer"]], shape)
    taken = frauds.draw(draws("frauds"), setting.effect("frauds"), since, mean, setting.days)
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
