"""What a shop is drawn from, as its truth tells it: options, models, shares."""

from dataclasses import asdict
from typing import Any

from crm_spark.sample import campaigns, contracts, customers, feedback, frauds, orders, paths, rates, receipts, trade
from crm_spark.sample.setting import EFFECTS, Setting
from crm_spark.sample.world import World


def told(world: World) -> dict[str, Any]:
    """Give all parameters, as strong as their effects make them."""
    setting = world.setting
    return {
        "arguments": {
            **asdict(setting),
            "start": setting.start.isoformat(),
            "effects": {name: setting.effect(name) for name in EFFECTS},
        },
        "zone": trade.ZONE,
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
        "churn": _churn(setting),
        "paths": _paths(world),
        "campaigns": {"lasts": campaigns.LASTS, "control": campaigns.VARIANTS[campaigns.CONTROL]},
        "contracts": contracts.planted(setting.effect("contracts")),
        "shares": _shares(setting),
    }


def _churn(setting: Setting) -> dict[str, Any]:
    return {
        "gamma": customers.GAMMA * setting.effect("churn"),
        "age_group": dict(zip(customers.AGE_GROUPS, customers.AGE_Z, strict=True)),
        "household": dict(zip(customers.HOUSEHOLDS, customers.HOUSEHOLD_Z, strict=True)),
    }


def _paths(world: World) -> dict[str, Any]:
    names = [*(kind.name for kind in world.archetypes), "visitors", "buyers"]
    chains = zip(names, paths.planted(world.setting), strict=True)
    return {"pages": [*paths.PAGES, "leave"], "chains": {name: chain.round(12).tolist() for name, chain in chains}}


def _shares(setting: Setting) -> dict[str, Any]:
    return {
        "anonymous orders": trade.UNNAMED,
        "shop time in which customers join": trade.JOINING,
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
    }
