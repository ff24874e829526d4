"""The shop's customers: clearly invented people who register, and move house within their country."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from crm_spark.sample import text
from crm_spark.sample.orders import NOBODY
from crm_spark.sample.process import Floats, Ints

FIRST = [
    "Aldo",
    "Berta",
    "Cosma",
    "Dario",
    "Elfi",
    "Fritzi",
    "Gundo",
    "Hedda",
    "Ilka",
    "Jörn",
    "Käthe",
    "Lumi",
]
LAST = ["Muster", "Beispiel", "Probe", "Mustermann", "Exempel", "Platzhalter", "Erfunden", "Größe-Test"]
CITIES = {
    "DE": ["Berlin", "Hamburg", "München", "Köln", "Leipzig", "Bremen", "Würzburg", "Kiel"],
    "AT": ["Wien", "Graz", "Linz", "Salzburg"],
    "CH": ["Zürich", "Basel", "Bern"],
    "GB": ["London", "Leeds", "Bristol", "York"],
}
COUNTRIES = list(CITIES)
SHARES = [0.8, 0.1, 0.06, 0.04]
BRITISH = COUNTRIES.index("GB")
AGES, AGE_GROUPS, AGE_Z = [30, 45, 60], ["under 30", "30-44", "45-59", "60 and over"], [1.0, 0.0, 0.0, -1.0]
HOUSEHOLDS, LIVING, HOUSEHOLD_Z = ["single", "couple", "family"], [0.35, 0.35, 0.3], [1.0, 0.0, -1.0]
GAMMA = 0.4
DOUBLED = 0.02
MOVES_A_DAY = 0.0008


def people(draws: np.random.Generator, numbers: Ints, start: date, doubled: float) -> pd.DataFrame:
    """Draw persons, a few of whom come a second time under another number.

    Parameters
    ----------
    numbers : array
        The customers' numbers in the whole shop, from 0.
    doubled : float
        Share of customers that are another one over again.

    Returns
    -------
    DataFrame
        One row per customer: name, mail, birth_date, age_group, household, country, city (numbers), double_of
        (row of the same person, or nobody).
    """
    size = len(numbers)
    country = draws.choice(len(COUNTRIES), size, p=SHARES)
    births = np.datetime64("1940-01-01") + draws.integers(0, 66 * 365, size)
    age = start.year - births.astype("datetime64[Y]").astype(int) - 1970
    persons = pd.DataFrame(
        {
            "name": pd.Series(draws.choice(FIRST, size)) + " " + draws.choice(LAST, size),
            "birth_date": births.astype(str),
            "age_group": np.digitize(age, AGES),
            "household": draws.choice(len(HOUSEHOLDS), size, p=LIVING),
            "country": country,
            "city": draws.integers(0, np.array([len(CITIES[name]) for name in COUNTRIES])[country]),
        }
    )
    again = draws.random(size) < doubled
    again[0] = False
    of = np.where(again, draws.choice(np.flatnonzero(~again), size), np.arange(size))
    persons = persons.iloc[of].reset_index(drop=True)
    persons["name"] = np.where(again, persons["name"].map(misspelled), persons["name"])
    ends = np.where(again, "@example.org", "@example.com")
    persons["mail"] = [f"customer{number + 1:07d}{end}" for number, end in zip(numbers[of], ends, strict=True)]
    return persons.assign(double_of=np.where(again, of, NOBODY))


def misspelled(name: str) -> str:
    """Lose a letter in the middle of a name."""
    middle = len(name) // 2
    return name[:middle] + name[middle + 1 :]


def churn(persons: pd.DataFrame, strength: float) -> Floats:
    """Tell how many times more readily than others each customer leaves: exp(gamma z), z by age and household.

    References
    ----------
    Fader, P. S., Hardie, B. G. S. (2007). Incorporating time-invariant covariates into the Pareto/NBD and
    BG/NBD models. There too it multiplies `a`.
    """
    z = np.array(AGE_Z)[persons["age_group"]] + np.array(HOUSEHOLD_Z)[persons["household"]]
    multiplied: Floats = np.exp(strength * GAMMA * z)
    return multiplied


def registered(draws: np.random.Generator, persons: pd.DataFrame) -> pd.DataFrame:
    """Add the day and second on which each person registers: that of the first purchase, or up to weeks before it."""
    waited = draws.geometric(0.3, len(persons)) - 1
    second = draws.integers(6 * 3600, 22 * 3600, len(persons))
    return persons.assign(registered=np.maximum(0, persons["since"] - waited), second=second)


def versions(draws: np.random.Generator, people: pd.DataFrame, days: int) -> pd.DataFrame:
    """Draw the rows of the customer master: one at registration, one for each day with a move.

    Returns
    -------
    DataFrame
        customer, day, second (of the update), city; by day, then customer.
    """
    stay = np.maximum(0, days - 1 - people["registered"].to_numpy())
    mover = np.repeat(np.arange(len(people)), draws.poisson(MOVES_A_DAY * stay))
    moved = people["registered"].to_numpy()[mover] + 1 + np.floor(draws.random(len(mover)) * stay[mover])
    moves = pd.DataFrame(
        {
            "customer": mover,
            "day": moved.astype(np.int64),
            "second": draws.integers(6 * 3600, 22 * 3600, len(mover)),
            "step": draws.integers(1, 100, len(mover)),
        }
    ).drop_duplicates(["customer", "day"])
    starts = people[["registered", "second"]].set_axis(["day", "second"], axis=1)
    starts = starts.assign(customer=np.arange(len(people)), step=0)
    rows = pd.concat([starts, moves]).sort_values(["customer", "day"], ignore_index=True)
    rows["city"] = cities(rows, people)
    return rows.drop(columns="step").sort_values(["day", "customer"], ignore_index=True)


def cities(rows: pd.DataFrame, people: pd.DataFrame) -> Ints:
    """Walk through the country's cities; every step leads to another one."""
    count = people["country"].map(dict(enumerate(len(places) for places in CITIES.values())))
    choices = count.to_numpy()[rows["customer"]]
    step = np.where(rows["step"] > 0, 1 + rows["step"] % (choices - 1), 0)
    walked = pd.Series(step).groupby(rows["customer"]).cumsum().to_numpy(np.int64)
    return ((people["city"].to_numpy()[rows["customer"]] + walked) % choices).astype(np.int64)


def lines(people: pd.DataFrame, rows: pd.DataFrame, start: date, numbers: Ints) -> pa.Array:
    """Write each row of the master as a JSON line; clocks are the shop's."""
    customer = rows["customer"].to_numpy()
    person = people.iloc[customer]
    return text.lines(
        '{"customer_no":"', text.ids(numbers[customer]), '","name":"', pa.array(person["name"], pa.large_string()),
        '","email":"', pa.array(person["mail"], pa.large_string()),
        '","birth_date":"', pa.array(person["birth_date"], pa.large_string()),
        '","age_group":"', text.chosen(person["age_group"], AGE_GROUPS),
        '","household":"', text.chosen(person["household"], HOUSEHOLDS),
        '","city":"', places(person["country"], rows["city"]),
        '","country":"', text.chosen(person["country"], COUNTRIES),
        '","registered_at":"', text.stamps(person["registered"], person["second"], start, "T"),
        '","updated_at":"', text.stamps(rows["day"], rows["second"], start, "T"), '"}',
    )  # fmt: skip


def places(country: pd.Series, city: pd.Series) -> pa.Array:
    """Name cities by the numbers of country and city."""
    first = np.cumsum([0] + [len(places) for places in CITIES.values()])
    return text.chosen(first[country] + city.to_numpy(), [name for places in CITIES.values() for name in places])
