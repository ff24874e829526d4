"""Campaigns: whom the shop addressed, with which variant, and who responded."""

from datetime import date

import numpy as np
import pandas as pd

from crm_spark.sample import text
from crm_spark.sample.process import Ints

EVERY, LASTS = 30, 14
ADDRESSED = 0.3
VARIANTS = ["A", "B", "control"]
SPLIT = [0.45, 0.45, 0.1]
RESPONSES = [0.08, 0.11, 0.0]
CHANNELS, COSTS = ["email", "post", "app"], [2, 95, 1]
CONTROL = VARIANTS.index("control")
KINDS = ["open", "click"]


def plan(days: int) -> pd.DataFrame:
    """Plan one campaign a month: begins (day), channel."""
    begins = np.arange(min(EVERY // 2, days - 1), days, EVERY)
    return pd.DataFrame({"begins": begins, "channel": np.arange(len(begins)) % len(CHANNELS)})


def address(draws: np.random.Generator, campaigns: pd.DataFrame, registered: Ints) -> pd.DataFrame:
    """Draw a random part of who is registered by then, each at a random variant.

    Returns
    -------
    DataFrame
        campaign, customer, variant, day, second, cost (cents; none for those held back).
    """
    addressed = draws.random((len(campaigns), len(registered))) < ADDRESSED
    campaign, customer = np.nonzero(addressed & (registered <= campaigns["begins"].to_numpy()[:, None]))
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


def respond(draws: np.random.Generator, contacts: pd.DataFrame, days: int) -> pd.DataFrame:
    """Draw who responds, by the variant's share: contact, kind, day, second."""
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


def contact_table(contacts: pd.DataFrame, start: date) -> pd.DataFrame:
    """Write the contacts as their feed has them."""
    return pd.DataFrame(
        {
            "contact_id": text.ids(contacts.index, "K").to_pylist(),
            "campaign_id": text.ids(contacts["campaign"], "C", 3).to_pylist(),
            "customer_no": text.ids(contacts["customer"]).to_pylist(),
            "variant": text.chosen(contacts["variant"], VARIANTS).to_pylist(),
            "contacted_at": text.stamps(contacts["day"], contacts["second"], start, " ").to_pylist(),
            "cost": text.money(contacts["cost"]).to_pylist(),
        }
    )


def response_table(responses: pd.DataFrame, contacts: pd.DataFrame, start: date) -> pd.DataFrame:
    """Write the responses as their feed has them."""
    answered = contacts.iloc[responses["contact"]]
    return pd.DataFrame(
        {
            "response_id": text.ids(responses.index, "A").to_pylist(),
            "contact_id": text.ids(responses["contact"], "K").to_pylist(),
            "campaign_id": text.ids(answered["campaign"], "C", 3).to_pylist(),
            "customer_no": text.ids(answered["customer"]).to_pylist(),
            "responded_at": text.stamps(responses["day"], responses["second"], start, " ").to_pylist(),
            "kind": text.chosen(responses["kind"], KINDS).to_pylist(),
        }
    )
