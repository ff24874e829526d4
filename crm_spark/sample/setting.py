"""What a shop is made from: its size, its days, its seed, its dirt, and how strong each planted effect is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

CHUNK = 10_000  # customers that are drawn together, from streams of their own
REPEATED_DAY, MISSING_DAY = 40, 50
MOST = 4  # archetypes
EFFECTS = (
    "archetypes",  # customers of one archetype differ from those of another
    "seasons",  # weekdays and times of the year differ
    "trend",  # the shop grows from year to year
    "spikes",  # a few days are much busier than others like them
    "bundles",  # some products are bought together
    "churn",  # how readily customers leave depends on their age and household
    "paths",  # archetypes take different ways through the site
    "campaigns",  # who is addressed buys more than who is held back
    "frauds",  # a few accounts are taken over
    "doubles",  # a few people register twice
    "contracts",  # customers differ in how readily they leave at a renewal
)


@dataclass(frozen=True)
class Setting:
    """Everything that a shop follows from: equal settings give equal files.

    Parameters
    ----------
    customers, days, seed : int
    start : date
        The first day.
    dirt : float
        Share of spoiled lines that are added.
    archetypes : int
        How many of the archetypes there are, the first ones.
    effects : mapping
        The strength of an effect of `EFFECTS`, 0 (nothing is to be found) or more; 1 where it is not named.
    chunk : int
        Customers that are drawn together; the files depend on it.
    """

    customers: int
    days: int
    seed: int
    start: date
    dirt: float = 0.0
    archetypes: int = MOST
    effects: Mapping[str, float] = field(default_factory=dict)
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        least = {"customers": 1, "days": 1, "seed": 0, "archetypes": 1}
        faults = [
            f"{name} must be {low} or more, got {getattr(self, name)}"
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        if self.archetypes > MOST:
            faults.append(f"archetypes must be {MOST} or less, got {self.archetypes}")
        if not 0 <= self.dirt <= 1:
            faults.append(f"dirt must be a share from 0 to 1, got {self.dirt}")
        faults += [
            f"unknown effect '{name}': one of {', '.join(EFFECTS)}" for name in self.effects if name not in EFFECTS
        ]
        faults += [
            f"effect {name} must be 0 to 2, got {size}" for name, size in self.effects.items() if not 0 <= size <= 2
        ]
        if faults:
            raise ValueError("; ".join(faults))

    def effect(self, name: str) -> float:
        """Tell how strong an effect is."""
        return float(self.effects.get(name, 1.0))

    @property
    def chunks(self) -> int:
        """How many chunks the customers come in."""
        return -(-self.customers // self.chunk)

    def size(self, chunk: int) -> int:
        """Count the customers of a chunk."""
        return min(self.chunk, self.customers - chunk * self.chunk)
