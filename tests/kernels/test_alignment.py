"""Groups that are found again, against all that could go with each other."""

from itertools import permutations

import numpy as np
import pytest

from crm_spark.kernels.alignment import counterparts


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (1, 3)])
@pytest.mark.parametrize("seed", range(6))
def test_no_other_assignment_keeps_more_members_in_their_group(shape: tuple[int, int], seed: int) -> None:
    then, now = shape
    counts = np.random.default_rng(seed).integers(20, 40, size=shape).astype(float)
    counts[np.arange(min(shape)), np.arange(min(shape))[::-1]] += 200  # so that all who can go together do
    wide = counts if then <= now else counts.T
    most = max(
        sum(wide[place, to] for place, to in enumerate(order)) for order in permutations(range(max(shape)), min(shape))
    )
    found = counterparts(counts)
    assert sum(counts[place, at] for at, place in enumerate(found) if place >= 0) == most
    assert sorted(found[found >= 0]) == list(range(min(shape)))[: (found >= 0).sum()]
    assert (found >= 0).sum() == min(shape)


def test_groups_that_only_changed_places_are_all_found_again() -> None:
    assert list(counterparts(np.array([[0.0, 9, 1], [8, 0, 0], [0, 0, 7]]))) == [1, 0, 2]


def test_a_group_that_was_parted_lives_on_in_its_larger_part() -> None:
    assert list(counterparts(np.array([[30.0, 70], [0, 0]]))) == [-1, 0]


def test_of_groups_that_became_one_the_larger_lives_on() -> None:
    assert list(counterparts(np.array([[40.0], [60]]))) == [1]


def test_what_nothing_else_was_left_for_is_not_the_same_group() -> None:
    # 3 of 103 and 53 are strays; at a quarter of either it is the same.
    assert list(counterparts(np.array([[100.0, 50], [0, 3]]))) == [0, -1]
    assert list(counterparts(np.array([[100.0, 0], [0, 3]]))) == [0, 1]
    assert list(counterparts(np.array([[5.0, 15], [0, 0]]))) == [-1, 0]
    assert list(counterparts(np.array([[1.0]]))) == [0]


@pytest.mark.parametrize("shape", [(0, 2), (2, 1)])
def test_without_a_member_of_both_times_nothing_goes_together(shape: tuple[int, int]) -> None:
    assert list(counterparts(np.zeros(shape))) == [-1] * shape[1]
