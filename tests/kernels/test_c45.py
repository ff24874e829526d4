"""C4.5 and ID3: Weka's trees of classic sets, published gains and trees, and rows that stand for several."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.kernels import c45, trees
from crm_spark.kernels.trees import Node
from tests.classics import Classics, classics, reference


def learned(counts: c45.Rows, is_pruned: bool = True) -> Node:
    root = c45.grow(counts)
    c45.collapse(root)
    if is_pruned:
        c45.prune(root, counts)
    return root


def told(node: Node, of: Classics) -> str:
    """Write a tree down as Weka does."""
    if not node.sons:
        right = node.of_class.sum() - node.wrong
        wrong = f"/{node.wrong:g}" if node.wrong > 0 else ""
        return f"{of.classes[int(node.of_class.argmax())]} ({right + node.wrong:g}{wrong})"
    if of.levels[node.attribute]:
        ways = of.values[node.attribute]
    else:
        ways = [f"<= {node.threshold:g}", f"> {node.threshold:g}"]
    branches = [f"{way}: {told(son, of)}" for way, son in zip(ways, node.sons, strict=True)]
    return f"{of.names[node.attribute]} [{'; '.join(branches)}]"


@pytest.mark.parametrize("row", reference(), ids=lambda row: f"{row['dataset']}-{row['setting']}")
def test_trees_are_those_of_weka(row: dict[str, str]) -> None:
    of = classics(row["dataset"])
    root = learned(of.counts(), row["setting"].startswith("pruned"))
    right = (trees.decide(trees.probabilities(root, of.rows)) == of.of_class).sum()
    assert (of.names[root.attribute], trees.leaves(root), trees.size(root), right) == (
        row["root_attribute"],
        int(row["leaves"]),
        int(row["tree_size"]),
        int(row["train_correct"]),
    )


def splits(of: Classics, least: float = 1.0) -> list[c45.Split | None]:
    counts = of.counts()
    return counts.splits(Node(counts.whole()[None]), [()], least)[0]


@pytest.mark.parametrize(
    ("name", "gains"),
    [
        ("weather.nominal", {"outlook": 0.2467, "humidity": 0.1518, "windy": 0.0481, "temperature": 0.0292}),
        (
            "contact-lenses",
            {"tear-prod-rate": 0.5488, "astigmatism": 0.3770, "spectacle-prescrip": 0.0395, "age": 0.0394},
        ),
        ("car", {"safety": 0.2622, "persons": 0.2197, "buying": 0.0964, "maint": 0.0737, "lug_boot": 0.0300}),
    ],
)
def test_gains_are_the_published_ones(name: str, gains: dict[str, float]) -> None:
    of = classics(name)
    found = {name: split.gain for name, split in zip(of.names, splits(of), strict=True) if split}
    assert {name: round(found[name], 4) for name in gains} == gains


def test_gain_ratios_of_play_tennis_are_the_published_ones() -> None:
    of = classics("weather.nominal")
    found = {name: round(split.ratio, 4) for name, split in zip(of.names, splits(of), strict=True) if split}
    assert found == {"outlook": 0.1564, "temperature": 0.0188, "humidity": 0.1518, "windy": 0.0488}


def test_the_tree_of_play_tennis_is_the_published_one_by_c45_and_by_id3() -> None:
    of = classics("weather.nominal")
    tree = (
        "outlook [sunny: humidity [high: no (3); normal: yes (2)]; overcast: yes (4); "
        "rainy: windy [TRUE: no (2); FALSE: yes (3)]]"
    )
    assert told(learned(of.counts()), of) == tree
    assert told(c45.grow(of.counts(), by_ratio=False, least=1.0), of) == tree


def test_the_trees_of_weather_and_contact_lenses_are_the_published_ones() -> None:
    weather, lenses = classics("weather.numeric"), classics("contact-lenses")
    assert told(learned(weather.counts()), weather) == (
        "outlook [sunny: humidity [<= 75: yes (2); > 75: no (3)]; overcast: yes (4); "
        "rainy: windy [TRUE: no (2); FALSE: yes (3)]]"
    )
    assert told(learned(lenses.counts()), lenses) == (
        "tear-prod-rate [reduced: none (12); normal: astigmatism [no: soft (6/1); "
        "yes: spectacle-prescrip [myope: hard (3); hypermetrope: none (3/1)]]]"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["car", "vote", "zoo", "iris", "mushroom"])
def test_ten_fold_accuracy_is_that_of_weka(name: str) -> None:
    of = classics(name)
    expected = next(float(row["cv10_accuracy_pct"]) for row in reference() if row["dataset"] == name)
    right = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        fold = np.empty(of.of_class.size, dtype=int)
        for one in range(len(of.classes)):
            members = random.permutation(np.flatnonzero(of.of_class == one))
            fold[members] = (np.arange(members.size) + random.integers(10)) % 10
        for held in range(10):
            root = learned(of.counts(fold != held))
            apart = fold == held
            found = trees.decide(trees.probabilities(root, of.rows[apart]))
            right += list(found == of.of_class[apart])
    assert 100 * np.mean(right) == pytest.approx(expected, abs=2)


@given(seed=st.integers(0, 2**32 - 1), missing=st.floats(0, 0.4))
@settings(max_examples=25, deadline=None)
def test_neither_the_order_of_rows_matters_nor_whether_equal_ones_are_one_with_a_weight(
    seed: int, missing: float
) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(5, 80))
    rows = np.column_stack([random.integers(0, 3, n), random.integers(0, 6, n) / 2, random.normal(size=n)])
    rows[random.random(rows.shape) < missing] = np.nan
    of_class, levels, order = random.integers(0, 3, n), np.array([3, 0, 0]), random.permutation(n)
    asked = trees.probabilities(learned(c45.Rows(rows, of_class, levels, 3)), rows)
    assert asked.sum(axis=1) == pytest.approx(1)
    again = learned(c45.Rows(rows[order], of_class[order], levels, 3))
    assert trees.probabilities(again, rows) == pytest.approx(asked, abs=1e-9)

    # Of numbers Weka counts rows, whatever their weights: so levels alone.
    few, times = rows[:, :1], random.integers(1, 4, n)
    one = learned(c45.Rows(few, of_class, levels[:1], 3, times.astype(float)))
    many = learned(c45.Rows(np.repeat(few, times, axis=0), np.repeat(of_class, times), levels[:1], 3))
    assert trees.probabilities(one, few) == pytest.approx(trees.probabilities(many, few), abs=1e-9)


def test_a_missing_value_goes_down_every_branch_by_its_share_and_an_empty_branch_leaves_the_word_to_the_node() -> None:
    leaf = [Node(np.array([counts])) for counts in ([3.0, 0.0], [0.0, 1.0], [0.0, 0.0])]
    root = Node(np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), attribute=0, sons=leaf)
    found = trees.probabilities(root, np.array([[0.0], [1.0], [2.0], [np.nan]]))
    assert found == pytest.approx(np.array([[1, 0], [0, 1], [0.75, 0.25], [0.75, 0.25]]))


def test_added_errors_are_those_of_the_binomials_upper_limit() -> None:
    # Quinlan (1993), page 41: U(0, 6), U(0, 9) and U(0, 1) at 25 %, per row.
    added = [round(c45.added_errors(n, 0, 0.25) / n, 3) for n in (6, 9, 1)]
    assert added == [0.206, 0.143, 0.75]
    # Between none and one error it is interpolated; above n - 0.5 all that are left are added.
    none, one = (c45.added_errors(4, wrong, 0.25) for wrong in (0, 1))
    assert c45.added_errors(4, 0.5, 0.25) == pytest.approx((none + one) / 2)
    assert c45.added_errors(2, 1.6, 0.25) == pytest.approx(0.4)
