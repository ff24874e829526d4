"""Campaigns: whom the shop addressed, with which variant, and who responded."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from crm_spark.sample import text
from crm_spark.sample.process import Floats, Ints

EVERY, LASTS = 30, 14
ADDRESSED = 0.3
VARIANTS = ["A", "B", "control"]
SPLIT = [0.45, 0.45, 0.1]
RESPONSES = [0.08, 0.11, 0.0]
CHANNELS, COSTS = ["email", "post", "app"], [2, 95, 1]
CONTROL = VARIANTS.index("control")
KINDS = ["open", "click"]
CONTACTS = ["contact_id", "campaign_id", "customer_no", "variant", "contacted_at", "cost"]
ANSWERS = ["response_id", "contact_id", "campaign_id", "customer_no", "responded_at", "kind"]


def plan(days: int) -> pd.DataFrame:
    """Plan one campaign a month: begins (day), channel."""
    begins = np.arange(min(EVERY // 2, days - 1), days, EVERY)
    return pd.DataFrame({"begins": begins, "channel": np.arange(len(begins)) % len(CHANNELS)})


def address(draws: np.random.Generator, campaigns: pd.DataFrame, since: Ints) -> pd.DataFrame:
    """Draw a random part of who has bought by then, each at a random variant.

    Parameters
    ----------
    since : array, one element a customer
        The day of the first purchase.

    Returns
    -------
    DataFrame
        campaign, customer, variant, day, second, cost (cents; none for those held back).
    """
    addressed = draws.random((len(campaigns), len(since))) < ADDRESSED
    campaign, customer = np.nonzero(addressed & (since < campaigns["begins"].to_numpy()[:, None]))
    variant = draws.choice(len(VARIANTS), len(campaign), p=SPLIT)
    cost = np.array(COSTS)[campaigns["channel"].to_numpy()[campaign]]
    return pd.DataFrame(
        {
            "campaign": campaign,
            "customer": customer,
            "variant": variant,
            "day": campaigns["begins"].to_numpy()[campaign],
            "second": 9 * 3600 + draws.integers(0, 3600, len(campaign)),
            "cost": np.where(variant == CONTROL, 0, cost),
        }
    )


def persuade(draws: np.random.Generator, contacts: pd.DataFrame, lift: Floats, days: int) -> pd.DataFrame:
    """Draw the orders that contacts bring, beyond those that would have come anyway: customer, day.

    Parameters
    ----------
    lift : array, one element a customer
        Orders that a contact brings while the campaign lasts; one that is held back brings none.
    """
    reached = contacts[contacts["variant"] != CONTROL]
    persuaded = reached[draws.random(len(reached)) < lift[reached["customer"]]]
    day = persuaded["day"].to_numpy() + draws.integers(1, LASTS + 1, len(persuaded))
    return persuaded[["customer"]].assign(day=day)[day < days]


def respond(draws: np.random.Generator, contacts: pd.DataFrame, days: int) -> pd.DataFrame:
    """Draw who responds, by the variant's share: contact (row), kind, day, second; at most one a contact."""
    answers = draws.random(len(contacts)) < np.array(RESPONSES)[contacts["variant"].to_numpy()]
    contact = np.flatnonzero(answers)
    day = contacts["day"].to_numpy()[contact] + draws.geometric(0.4, len(contact)) - 1
    responses = pd.DataFrame(
        {
            "contact": contact,
            "kind": draws.integers(0, len(KINDS), len(contact)),
            "day": day,
            "second": draws.integers(10 * 3600, 23 * 3600, len(contact)),
        }
    )
    return responses[responses["day"] < days].sort_values(["day", "second", "contact"], ignore_index=True)


def campaign_table(campaigns: pd.DataFrame, start: date) -> pd.DataFrame:
    """Write the campaigns as their feed has them."""
    channels = [CHANNELS[channel] for channel in campaigns["channel"]]
    return pd.DataFrame(
        {
            "campaign_id": text.ids(campaigns.index, "C", 3).to_pylist(),
            "name": [f"{channel.capitalize()} {nth}" for nth, channel in enumerate(channels, 1)],
            "channel": channels,
            "starts_on": text.dates(campaigns["begins"], start).to_pylist(),
            "ends_on": text.dates(campaigns["begins"] + LASTS, start).to_pylist(),
        }
    )


def contact_lines(contacts: pd.DataFrame, start: date, numbers: Ints) -> pa.Array:
    """Write the contacts as their feed has them."""
    return text.lines(
        ids(contacts, numbers, "K"),
        text.ids(contacts["campaign"], "C", 3),
        text.ids(numbers[contacts["customer"]]),
        text.chosen(contacts["variant"], VARIANTS),
        text.stamps(contacts["day"], contacts["second"], start, " "),
        text.money(contacts["cost"]),
        between=",",
    )


def response_lines(responses: pd.DataFrame, contacts: pd.DataFrame, start: date, numbers: Ints) -> pa.Array:
    """Write the responses as their feed has them."""
    answered = contacts.iloc[responses["contact"]]
    return text.lines(
        ids(answered, numbers, "A"),
        ids(answered, numbers, "K"),
        text.ids(answered["campaign"], "C", 3),
        text.ids(numbers[answered["customer"]]),
        text.stamps(responses["day"], responses["second"], start, " "),
        text.chosen(responses["kind"], KINDS),
        between=",",
    )


def ids(contacts: pd.DataFrame, numbers: Ints, letter: str) -> pa.Array:
    """Name contacts, and what they are answered by: there is one for a campaign and a customer."""
    return text.joined(text.ids(contacts["campaign"], letter, 3), text.ids(numbers[contacts["customer"]]))
