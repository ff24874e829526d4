"""Numbering of equal records, against a counter."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.ingest.raw.copies import Copies

WORDS = st.tuples(st.integers(0, 2), st.integers(0, 3))  # few first words, so that digests share them


@settings(deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1)))
def test_each_record_is_numbered_among_its_like_over_all_batches(batches):
    copies, seen = Copies(), Counter()
    for batch in batches:
        digests = np.array(batch, np.uint64).view(np.uint8).reshape(-1, 16)
        expected = []
        for words in batch:
            seen[words] += 1
            expected.append(seen[words])
        assert copies.number(digests).tolist() == expected


def test_many_batches_end_in_few_runs():
    copies, random = Copies(), np.random.default_rng(1)
    for _ in range(100):
        copies.number(random.integers(0, 256, (64, 16), np.uint8))
    assert len(copies._runs) < 10
