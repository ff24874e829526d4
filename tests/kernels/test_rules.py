"""Measures of rules against mlxtend, SciPy, scikit-learn and whole numbers."""

import warnings
from fractions import Fraction
from math import comb, log

import numpy as np
import pandas as pd
import pytest
from mlxtend.frequent_patterns import association_rules
from scipy import stats
from sklearn.metrics import mutual_info_score

from crm_spark.kernels import rules

THEIRS = {"zhang": "zhangs_metric"}


def drawn(rules_: int, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Counts of baskets in all, with A, with C, with both; among them certain rules and items in every basket."""
    draws = np.random.default_rng(seed)
    n = draws.integers(2, 400, rules_)
    a, c = draws.integers(1, n + 1), draws.integers(1, n + 1)
    least = np.maximum(a + c - n, 1)
    both = np.maximum(draws.integers(least, np.minimum(a, c) + 1), 1)
    c = np.where(draws.random(rules_) < 0.1, n, c)
    return n, a, c, np.where(c == n, a, both)


def test_measures_are_those_of_mlxtend() -> None:
    n, a, c, both = drawn(300)
    ours = rules.measures(n, a, c, both)
    for at in range(n.size):
        sets = {frozenset("A"): a[at], frozenset("C"): c[at], frozenset("AC"): both[at]}
        told = pd.DataFrame({"support": [count / n[at] for count in sets.values()], "itemsets": list(sets)})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # they divide by 0 before they look
            found = association_rules(told, num_itemsets=int(n[at]), metric="support", min_threshold=0)
        theirs = found[found["antecedents"] == frozenset("A")].iloc[0]
        for name in (
            "support",
            "confidence",
            "lift",
            "leverage",
            "conviction",
            "zhang",
            "jaccard",
            "kulczynski",
            "certainty",
        ):
            if name == "conviction" and a[at] == both[at]:
                assert ours[name][at] == np.inf, "at confidence 1; theirs may fall short of it by rounding"
                continue
            assert ours[name][at] == pytest.approx(theirs[THEIRS.get(name, name)], rel=1e-9, abs=1e-12), (name, at)
        assert ours["cosine"][at] == pytest.approx(both[at] / (int(a[at]) * int(c[at])) ** 0.5, rel=1e-12)
    assert all(np.isfinite(column).all() for name, column in ours.items() if name != "conviction")


def test_information_gain_is_the_mutual_information_in_bits() -> None:
    n, a, c, both = drawn(200, seed=2)
    gain = rules.measures(n, a, c, both)["information_gain"]
    for at in range(n.size):
        cells = np.array([[both[at], a[at] - both[at]], [c[at] - both[at], n[at] - a[at] - c[at] + both[at]]])
        expected = mutual_info_score(None, None, contingency=cells) / log(2)
        assert gain[at] == pytest.approx(expected, abs=1e-12)


def test_the_p_value_is_that_of_fishers_exact_test() -> None:
    n, a, c, both = drawn(200, seed=3)
    p = rules.p_values(n, a, c, both)
    for at in range(n.size):
        cells = [[both[at], a[at] - both[at]], [c[at] - both[at], n[at] - a[at] - c[at] + both[at]]]
        assert p[at] == pytest.approx(stats.fisher_exact(cells, "greater").pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "a", "c", "both"), [(9_835, 160, 1_072, 69), (1_000_000, 5_000, 40_000, 260), (1_000_000, 5_000, 40_000, 150)]
)
def test_the_p_value_of_many_baskets_is_right_to_eight_digits(n: int, a: int, c: int, both: int) -> None:
    exact = Fraction(sum(comb(c, x) * comb(n - c, a - x) for x in range(both, min(a, both + 400))), comb(n, a))
    found = rules.p_values(*(np.array([of]) for of in (n, a, c, both)))[0]
    assert found == pytest.approx(float(exact), rel=1e-8)


def test_a_difference_of_confidences_has_twice_the_smaller_one_sided_p_of_fishers_exact_test() -> None:
    draws = np.random.default_rng(4)
    a, other_a = draws.integers(0, 300, (2, 200))
    both, other_both = draws.integers(0, a + 1), draws.integers(0, other_a + 1)
    p = rules.difference_p_values(a, both, other_a, other_both)
    for at in range(a.size):
        cells = [[both[at], a[at] - both[at]], [other_both[at], other_a[at] - other_both[at]]]
        sides = [stats.fisher_exact(cells, side).pvalue for side in ("greater", "less")]
        assert p[at] == pytest.approx(min(2 * min(sides), 1), rel=1e-9)
    assert (p < 0.01).sum() > 20
    assert (p == 1).sum() > 1, "where nothing tells them apart"


def test_improvement_is_over_the_best_rule_with_less_of_the_antecedent_however_far_it_is() -> None:
    told = {
        ("a",): (0.5, 0.4),
        ("b",): (0.3, 0.4),  # worse than without it
        ("a", "b"): (0.5, 0.4),  # as good as a alone
        ("a", "c"): (0.6, 0.4),
        ("a", "b", "c"): (0.55, 0.4),  # worse than a and c
    }
    confidence, share = np.array(list(told.values())).T
    for order in (range(5), range(4, -1, -1)):
        at = list(order)
        keys = [list(told)[one] for one in at]
        found = rules.improvements(keys, [("z",)] * 5, confidence[at], share[at])
        assert dict(zip(keys, found.round(9), strict=True)) == {
            ("a",): 0.1, ("b",): -0.1, ("a", "b"): 0.0, ("a", "c"): 0.1, ("a", "b", "c"): -0.05,
        }  # fmt: skip
