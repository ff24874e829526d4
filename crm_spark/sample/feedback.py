"""What buyers say some days later: a rating, whether they complain, and text over several lines.

Half-way the feed changes its columns: `rating` is called `stars`, and `device` comes to it.
"""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crm_spark.sample import receipts, text
from crm_spark.sample.orders import NOBODY, SALE, clock
from crm_spark.sample.process import Ints

ANSWERS = 0.08
RATINGS = [0.07, 0.08, 0.15, 0.3, 0.4]
OPENINGS = [
    "Broken on arrival, and nobody answers.",
    "Not what the picture shows.",
    'It is what I would call "all right".',
    "Good value; came on time.",
    "Wunderschön, gerne wieder!",
]
ENDINGS = ["", "\nRegards", "\n\nP.S. The parcel was too large, again.", '\nMy neighbour says: "me too".']


OLD = ["feedback_id", "customer_no", "order_no", "at", "rating", "complaint", "text"]
NEW = ["feedback_id", "customer_no", "order_no", "at", "stars", "complaint", "device", "text"]
DEVICES = ["phone", "desk"]


def say(draws: np.random.Generator, orders: pd.DataFrame, days: int) -> pd.DataFrame:
    """Draw the feedback of known customers on their sales: order, customer, day, second, rating, ending, device."""
    asked = np.flatnonzero((orders["kind"] == SALE) & (orders["customer"] != NOBODY))
    order = asked[draws.random(len(asked)) < ANSWERS]
    said = pd.DataFrame(
        {
            "order": order,
            "customer": orders["customer"].to_numpy()[order],
            "day": orders["day"].to_numpy()[order] + draws.integers(1, 8, len(order)),
            "second": clock(draws, len(order)),
            "rating": 1 + draws.choice(len(RATINGS), len(order), p=RATINGS),
            "ending": draws.integers(0, len(ENDINGS), len(order)),
            "device": draws.integers(0, len(DEVICES), len(order)),
        }
    )
    return said[said["day"] < days].sort_values(["day", "second", "order"], ignore_index=True)


def lines(said: pd.DataFrame, start: date, numbers: Ints, chunk: int, changed: int) -> pa.Array:
    """Write the feedback as rows of CSV; from the day `changed` on with other columns than before."""
    rating = said["rating"].to_numpy()
    first = text.joined(
        text.ids(said["order"], f"F{receipts.orders_of(chunk)}"), text.ids(numbers[said["customer"]]),
        text.ids(said["order"], receipts.orders_of(chunk)), text.stamps(said["day"], said["second"], start, " "),
        text.spelled(rating, str), text.either(rating <= 2, "yes", "no"), between=",",
    )  # fmt: skip
    words = text.joined(text.chosen(rating - 1, OPENINGS), text.chosen(said["ending"], ENDINGS))
    quoted = text.joined('"', pc.replace_substring(words, '"', '""'), '"')
    device = text.joined(",", text.chosen(said["device"], DEVICES))
    return text.lines(first, text.either(said["day"] >= changed, device, ""), ",", quoted)
