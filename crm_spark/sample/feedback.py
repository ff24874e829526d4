"""What buyers say some days later: a rating, whether they complain, and text over several lines."""

from datetime import date

import numpy as np
import pandas as pd

from crm_spark.sample import text
from crm_spark.sample.orders import NOBODY, SALE, clock

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


def say(draws: np.random.Generator, orders: pd.DataFrame, days: int, start: date) -> pd.DataFrame:
    """Draw the feedback of known customers on their sales, in order of time."""
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
        }
    )
    said = said[said["day"] < days].sort_values(["day", "second", "order"], ignore_index=True)
    return pd.DataFrame(
        {
            "feedback_id": text.ids(np.arange(len(said)), "F").to_pylist(),
            "customer_no": text.ids(said["customer"]).to_pylist(),
            "order_no": text.ids(said["order"], width=8).to_pylist(),
            "at": text.stamps(said["day"], said["second"], start, " ").to_pylist(),
            "rating": said["rating"],
            "complaint": np.where(said["rating"] <= 2, "yes", "no"),
            "text": np.array(OPENINGS, object)[said["rating"] - 1]
            + np.array(ENDINGS, object)[said["ending"].to_numpy()],
        }
    )
