"""What a feature says of customers in words: a trait where they have much of it, another where they have little.

Any other numeric column can be a feature too; its words are made of its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from re import sub

APART = 0.5  # standard deviations from the mean of all, from which on a trait is one
STILL_APART = 0.25  # from which on a segment that was called by a trait is called so again
AVERAGE, EVERYBODY = "near the average", "All customers"


@dataclass(frozen=True)
class Trait:
    """The words of one feature.

    Parameters
    ----------
    much, little : str
        What customers do or are who have much, or little, of it.
    told : str
        The median in a sentence; `{}` is the number.
    is_skewed : bool, default True
        Whether few have very much of it, as of days, counts and money: its logarithm is taken.
    decimals : int, default 0
        Decimal places of the number in the sentence.
    percent : bool, default False
        Whether it is a share, told in percent.
    """

    much: str
    little: str
    told: str
    is_skewed: bool = True
    decimals: int = 0
    percent: bool = False


TRAITS = {
    "recency_days": Trait("not seen for long", "bought lately", "last purchase {} days ago"),
    "tenure_days": Trait("customers for long", "new customers", "first purchase {} days ago"),
    "purchase_days": Trait("buy often", "buy rarely", "purchases on {} days"),
    "orders": Trait("many orders", "few orders", "{} orders"),
    "orders_365d": Trait("many orders this year", "few orders this year", "{} orders in 365 days"),
    "spend": Trait("spend much", "spend little", "spent {}", decimals=2),
    "spend_365d": Trait("spend much this year", "spend little this year", "spent {} in 365 days", decimals=2),
    "basket_value": Trait("large baskets", "small baskets", "{} an order", decimals=2),
    "basket_pieces": Trait("many pieces an order", "few pieces an order", "{} pieces an order", decimals=1),
    "returned_share": Trait("return much", "return little", "{} of the money returned", is_skewed=False, percent=True),
    "discounted_share": Trait("buy at a discount", "buy at full price", "{} discount", is_skewed=False, percent=True),
    "products": Trait("many products", "few products", "{} products"),
    "categories": Trait("many categories", "few categories", "{} categories"),
    "rhythm_days": Trait("long gaps between purchases", "short gaps between purchases", "a purchase every {} days"),
    "rhythm_spread": Trait("buy irregularly", "buy regularly", "gaps that spread by {}", decimals=2),
    "trend": Trait("buy more than before", "buy less than before", "a trend of {}", is_skewed=False, decimals=2),
    "channels": Trait("many channels", "one channel", "{} channels"),
    "visits_90d": Trait("visit often", "visit rarely", "{} visits in 90 days"),
    "rating": Trait("rate high", "rate low", "a rating of {}", is_skewed=False, decimals=1),
    "complaints_365d": Trait("complain", "do not complain", "{} complaints in 365 days"),
    "contacts_90d": Trait("contacted often", "contacted rarely", "{} contacts in 90 days"),
    "responses_90d": Trait("respond", "do not respond", "{} responses in 90 days"),
}


def trait(feature: str) -> Trait:
    """The words of a feature."""
    words = feature.replace("_", " ")
    return TRAITS.get(feature, Trait(f"high {words}", f"low {words}", f"{words}: {{}}", decimals=2))


def names(
    centres: Sequence[Sequence[float]], features: Sequence[str], former: Sequence[str | None] | None = None
) -> list[str]:
    """Name each segment by what sets it most apart.

    Its traits are the features whose centre lies half a standard deviation or more from the mean of all, the
    furthest first. A name has two of them, or as many more as it takes until no two segments have one name; where
    all do not suffice, the later ones get a number. A former name stays as long as all that it tells is so, by a
    quarter of a standard deviation or more.

    Parameters
    ----------
    centres : sequence of sequence of float
        Of each segment, in the order in which equal names are numbered: its centre, in standard deviations.
    former : sequence of str, optional
        For each what it was called, or None; no two are equal.
    """
    if len(centres) == 1:
        return [EVERYBODY]
    before = former or [None] * len(centres)
    kept = [name if name and _holds(name, at, features) else None for name, at in zip(before, centres, strict=True)]
    found = [_traits(centre, features) for centre in centres]
    for most in range(2, max(len(features), 2) + 1):
        told = [(", ".join(traits[:most]) or AVERAGE).capitalize() for traits in found]
        named = [was or name for was, name in zip(kept, told, strict=True)]
        if len(set(named)) == len(named):
            break
    taken = {name for name in kept if name}
    for place, name in enumerate(named):
        if not kept[place]:
            numbered = (name if number == 1 else f"{name} ({number})" for number in count(1))
            named[place] = next(free for free in numbered if free not in taken)
            taken.add(named[place])
    return named


def _holds(name: str, centre: Sequence[float], features: Sequence[str]) -> bool:
    """Whether all that a former name tells is still so."""
    plain = sub(r" \(\d+\)$", "", name).lower()
    if plain == AVERAGE:
        return not _traits(centre, features)
    return set(plain.split(", ")) <= {told.lower() for told in _traits(centre, features, STILL_APART)}


def _traits(centre: Sequence[float], features: Sequence[str], least: float = APART) -> list[str]:
    apart = sorted(zip(centre, features, strict=True), key=lambda one: -abs(one[0]))
    return [
        trait(feature).much if value > 0 else trait(feature).little for value, feature in apart if abs(value) >= least
    ]
