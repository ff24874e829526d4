"""The shop's customers: clearly invented people who register, and move house within their country."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from crm_spark.sample import text
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
MOVES_A_DAY = 0.0008


def people(draws: np.random.Generator, first: Floats) -> pd.DataFrame:
    """Draw one person for each first purchase; people register on that day or up to weeks before it.

    Returns
    -------
    DataFrame
        One row per customer: name, mail, birth_date, country, city (numbers), registered (day), second.
    """
    size = len(first)
    names = pd.Series(draws.choice(FIRST, size)) + " " + draws.choice(LAST, size)
    country = draws.choice(len(COUNTRIES), size, p=SHARES)
    waited = draws.geometric(0.3, size) - 1
    births = np.datetime64("1940-01-01") + draws.integers(0, 66 * 365, size)
    return pd.DataFrame(
        {
            "name": names,
            "mail": [f"customer{number:07d}@example.com" for number in range(1, size + 1)],
            "birth_date": births.astype(str),
            "country": country,
            "city": draws.integers(0, np.array([len(CITIES[name]) for name in COUNTRIES])[country]),
            "registered": np.maximum(0, np.floor(first).astype(np.int64) - waited),
            "second": draws.integers(6 * 3600, 22 * 3600, size),
        }
    )


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


def lines(people: pd.DataFrame, rows: pd.DataFrame, start: date) -> pa.Array:
    """Write each row of the master as a JSON line; clocks are the shop's."""
    customer = rows["customer"].to_numpy()
    person = people.iloc[customer]
    return text.lines(
        '{"customer_no":"', text.ids(customer), '","name":"', pa.array(person["name"], pa.large_string()),
        '","email":"', pa.array(person["mail"], pa.large_string()),
        '","birth_date":"', pa.array(person["birth_date"], pa.large_string()),
        '","city":"', places(person["country"], rows["city"]),
        '","country":"', text.chosen(person["country"], COUNTRIES),
        '","registered_at":"', text.stamps(person["registered"], person["second"], start, "T"),
        '","updated_at":"', text.stamps(rows["day"], rows["second"], start, "T"), '"}',
    )  # fmt: skip


def places(country: pd.Series, city: pd.Series) -> pa.Array:
    """Name cities by the numbers of country and city."""
    first = np.cumsum([0] + [len(places) for places in CITIES.values()])
    return text.chosen(first[country] + city.to_numpy(), [name for places in CITIES.values() for name in places])
