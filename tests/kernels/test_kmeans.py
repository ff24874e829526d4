"""k-means against scikit-learn and the sums of squares known of published points; the knee against calculus."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from crm_spark.kernels import kmeans
from crm_spark.kernels.knee import knee

# Sums of squares after Lloyd's iterations from the true centres, as the README of the points tells them.
KNOWN = {"r15": (15, 108.619), "d31": (31, 3393.27), "a1": (20, 1.2146258e10), "a2": (35, 2.0286737e10),
         "a3": (50, 2.8937415e10)}  # fmt: skip


def drawn(seed: int, n: int = 300, d: int = 3, groups: int = 4) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(groups, d))[random.integers(groups, size=n)] * 4 + random.normal(size=(n, d))


@pytest.mark.parametrize("name", KNOWN)
def test_the_best_of_ten_starts_is_as_near_as_the_true_centres(clustering_points: Path, name: str) -> None:
    k, known = KNOWN[name]
    points = np.loadtxt(clustering_points / "sipu" / f"{name}.data.gz")
    fit = kmeans.fit(points, k, starts=10)
    assert len(fit.centres) == k
    assert fit.sums.within <= known * 1.001
    assert fit.sums.within == pytest.approx(((points - fit.centres[kmeans.nearest(points, fit.centres)]) ** 2).sum())


@pytest.mark.parametrize("seed", range(5))
def test_scikit_learn_finds_nothing_to_move_and_by_itself_gets_no_nearer_than_a_hundredth(seed: int) -> None:
    points, k = drawn(seed), 3 + seed
    fit = kmeans.fit(points, k)
    again = KMeans(k, init=fit.centres, n_init=1, tol=0).fit(points)
    assert again.cluster_centers_ == pytest.approx(fit.centres, abs=1e-9)
    assert list(again.labels_) == list(kmeans.nearest(points, fit.centres))
    assert fit.sums.within == pytest.approx(again.inertia_, rel=1e-12)
    assert fit.sums.within <= KMeans(k, n_init=10, random_state=seed).fit(points).inertia_ * 1.01


def test_more_points_than_are_tried_at_first_are_all_iterated_over(monkeypatch: pytest.MonkeyPatch) -> None:
    points = drawn(1)
    monkeypatch.setattr(kmeans, "FEW", 60)
    fit = kmeans.fit(points, 4)
    assert fit.sums.sizes.sum() == len(points)
    again = KMeans(4, init=fit.centres, n_init=1, tol=0).fit(points)
    assert again.cluster_centers_ == pytest.approx(fit.centres, abs=1e-9)


def test_sums_of_blocks_add_up_to_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    points, centres = drawn(2), drawn(3, n=5)
    whole = kmeans.add_up(points, centres)
    monkeypatch.setattr(kmeans, "BLOCK", 7)
    both = kmeans.add_up(points[:100], centres) + kmeans.add_up(points[100:], centres)
    for name in ("sizes", "sums", "squares", "within"):
        assert getattr(both, name) == pytest.approx(getattr(whole, name), rel=1e-12)
    far = np.vstack([centres, [[1e9, 1e9, 1e9]]])
    sums = kmeans.add_up(points, far)
    assert sums.sizes[-1] == 0
    assert list(kmeans.moved(far, sums)[-1]) == list(far[-1]), "nobody is nearest to it: it stays"


@pytest.mark.parametrize("seed", range(4))
def test_silhouettes_are_those_of_scikit_learn_by_squared_distances(seed: int) -> None:
    points = np.vstack([drawn(seed), [[99.0, 99.0, 99.0]]])  # who is alone has 0
    fit = kmeans.fit(points, 5)
    labels = kmeans.nearest(points, fit.centres)
    total = sum(kmeans.silhouettes(part, fit.centres, fit.sums) for part in (points[:50], points[50:]))
    assert total / len(points) == pytest.approx(silhouette_score(points, labels, metric="sqeuclidean"), rel=1e-9)


@pytest.mark.parametrize("groups", [(1, 1), (1, 4), (5, 2), (6, 6)])
def test_partitions_are_as_alike_as_scikit_learn_says(groups: tuple[int, int]) -> None:
    random = np.random.default_rng(sum(groups))
    one, other = (random.integers(count, size=90) for count in groups)
    other[:40] = np.minimum(one[:40], groups[1] - 1)
    for pair in ((one, other), (one, one), (one, np.arange(90))):
        assert kmeans.adjusted_rand(*pair) == pytest.approx(adjusted_rand_score(*pair), abs=1e-12)


def test_groups_that_are_there_are_stable_and_others_are_not() -> None:
    random = np.random.default_rng(1)
    apart = random.normal(size=(400, 2)) + np.repeat([[0, 0], [40, 0], [0, 40], [40, 40]], 100, axis=0)
    cloud = random.normal(size=(400, 2))
    four, none = (kmeans.stability(points, kmeans.fit(points, 4).centres) for points in (apart, cloud))
    assert four == 1.0
    assert none < 0.9


@pytest.mark.parametrize("ways", [1, 2, 5])
def test_points_that_differ_in_fewer_ways_than_asked_for_have_so_many_centres(ways: int) -> None:
    points = np.tile(drawn(4, n=ways), (20, 1))
    fit = kmeans.fit(points, 6, starts=2)
    assert fit.centres == pytest.approx(np.unique(points[:ways], axis=0))
    assert list(fit.sums.sizes) == [20] * ways
    assert fit.sums.within == pytest.approx(0, abs=1e-20)


def test_a_centre_that_loses_all_its_points_takes_the_furthest() -> None:
    points = np.array([[0.0], [1.0], [9.0], [10.0], [11.0]])
    fit = kmeans._lloyd(points, np.array([[0.5], [10.0], [500.0]]))
    assert list(fit.sums.sizes.astype(int)).count(0) == 0
    assert len(fit.centres) == 3


def test_the_same_points_give_the_same_centres() -> None:
    points = drawn(7)
    assert (kmeans.fit(points, 5).centres == kmeans.fit(points.copy(), 5).centres).all()


def test_the_knee_is_where_the_curve_runs_along_the_line_between_its_ends() -> None:
    # 1 / x from a to b: its slope is that of the chord at the root of a b.
    x = np.arange(1.0, 101.0)
    assert x[knee(x, 1 / x)] == 10
    assert x[knee(x, -1 / x)] == 10
    assert x[knee(x, x**2)] == 50, "of two equally far points the first; in between, at 50.5, is none"
    assert knee(x, 3 * x + 1) == 0
    assert knee(x[:1], x[:1]) == 0
