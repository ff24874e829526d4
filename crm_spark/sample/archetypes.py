"""The archetypes: kinds of customers that buy, spend, browse and answer campaigns each in their own way.

Each is a BG/NBD and a Gamma-Gamma process (`process`), a Markov chain of pages (`paths`) and a lift. The effect
`archetypes` draws them apart from the first one: a parameter is `first * (own / first) ** strength`.
"""

from dataclasses import asdict, astuple, dataclass, replace
from typing import TypeVar

import numpy as np

from crm_spark.sample.process import Buying, Floats, Ints, Spending
from crm_spark.sample.setting import Setting

Parameters = TypeVar("Parameters", Buying, Spending)


@dataclass(frozen=True)
class Archetype:
    """One kind of customers.

    Parameters
    ----------
    share : float
        Of all customers, before shares are made to add up to 1.
    lift : float
        Orders that a contact brings, beyond those that would have come anyway.
    """

    name: str
    share: float
    buying: Buying
    spending: Spending
    lift: float


ARCHETYPES = [
    Archetype("regulars", 0.4, Buying(1.6, 35.0, 0.7, 5.0), Spending(6.0, 4.0, 25.0), 0.04),
    Archetype("occasional", 0.3, Buying(1.1, 70.0, 0.9, 4.0), Spending(5.0, 4.0, 30.0), 0.10),
    Archetype("keen", 0.2, Buying(2.4, 28.0, 1.0, 7.0), Spending(7.0, 4.5, 18.0), 0.02),
    Archetype("grand", 0.1, Buying(1.3, 50.0, 0.5, 6.0), Spending(5.0, 3.5, 80.0), 0.06),
]


def planted(setting: Setting) -> list[Archetype]:
    """Give the archetypes of a shop, as far apart as its effects say."""
    first, strength = ARCHETYPES[0], setting.effect("archetypes")
    lift = setting.effect("campaigns")
    return [
        replace(
            own,
            buying=_apart(first.buying, own.buying, strength),
            spending=_apart(first.spending, own.spending, strength),
            lift=lift * first.lift * (own.lift / first.lift) ** strength,
        )
        for own in ARCHETYPES[: setting.archetypes]
    ]


def assigned(draws: np.random.Generator, kinds: list[Archetype], size: int) -> Ints:
    """Draw which archetype each customer is of: its number."""
    shares = np.array([kind.share for kind in kinds])
    return draws.choice(len(kinds), size, p=shares / shares.sum())


def buying(kinds: list[Archetype], archetype: Ints, churn: Floats) -> Buying:
    """Give each customer's parameters of BG/NBD; `churn` multiplies `a`, the readiness to leave."""
    r, alpha, a, b = np.array([astuple(kind.buying) for kind in kinds])[archetype].T
    return Buying(r, alpha, a * churn, b)


def spending(kinds: list[Archetype], archetype: Ints) -> Spending:
    """Give each customer's parameters of Gamma-Gamma."""
    return Spending(*np.array([astuple(kind.spending) for kind in kinds])[archetype].T)


def _apart(first: Parameters, own: Parameters, strength: float) -> Parameters:
    near, far = asdict(first), asdict(own)
    return type(first)(**{name: near[name] * (far[name] / near[name]) ** strength for name in near})
