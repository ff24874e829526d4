"""Histories that are equal, gathered, against plain counting."""

from collections import Counter

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from crm_spark.kernels.histories import distinct_columns

NUMBERS = st.one_of(st.integers(-1, 2), st.integers(-(2**31), 2**31 - 1))


# The least and the greatest are farther apart than 32 bits tell.
@example([((0, 0, at), 1) for at in (-(2**31), 2**31 - 1, -(2**31) + 2**16 - 1, 2**31 - 1)])
@given(st.lists(st.tuples(st.tuples(NUMBERS, NUMBERS, NUMBERS), st.integers(1, 9))))
def test_equal_columns_are_counted_once_whatever_their_order(told: list[tuple[tuple[int, ...], int]]) -> None:
    rows = np.array([column for column, _ in told], dtype=np.int32).reshape(len(told), 3).T
    customers = np.array([n for _, n in told], dtype=np.int64)
    counts, weighted = Counter(column for column, _ in told), Counter[tuple[int, ...]]()
    for column, n in told:
        weighted[column] += n
    orders = np.arange(len(told)), np.arange(len(told))[::-1]
    for given_, expected in ((None, counts), (customers, weighted)):
        for order in orders:
            each, n = distinct_columns(rows[:, order], None if given_ is None else given_[order])
            assert dict(zip(map(tuple, each.T.tolist()), n.tolist(), strict=True)) == expected
        one, other = (distinct_columns(rows[:, order])[0] for order in orders)
        assert np.array_equal(one, other)
