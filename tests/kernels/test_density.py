"""DBSCAN against scikit-learn, on published points and on random ones; boxes against one box."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from crm_spark.kernels import boxes, density


def drawn(seed: int) -> tuple[np.ndarray, float, int]:
    """Points of some groups in 1 to 8 dimensions, every third time whole numbers, with a distance and a number."""
    random = np.random.default_rng(seed)
    d, n, min_samples = int(random.integers(1, 9)), int(random.integers(1, 300)), int(random.integers(1, 12))
    groups = 2 * random.normal(size=(4, d))[random.integers(4, size=n)]
    points = random.normal(size=(n, d)) * random.choice([0.3, 1.0]) + groups
    if seed % 3 == 0:
        return np.round(points), float(random.choice([1, 2])), min_samples
    return points, float(random.choice([0.25, 0.5, 1, 1.5, 2.5]) * np.sqrt(d) / 1.4), min_samples


def known(points: np.ndarray, eps: float, min_samples: int) -> tuple[list[int], list[int]]:
    """What scikit-learn says: the cluster of each point, and the core points."""
    found = DBSCAN(eps=eps, min_samples=min_samples).fit(points)
    return found.labels_.tolist(), found.core_sample_indices_.tolist()


def ours(points: np.ndarray, eps: float, min_samples: int) -> tuple[list[int], list[int]]:
    labels, is_core = density.dbscan(points, eps, min_samples)
    return labels.tolist(), np.flatnonzero(is_core).tolist()


def test_published_points_have_the_core_points_clusters_noise_and_index_that_are_known(
    clustering_points: Path,
) -> None:
    rows = list(csv.DictReader((clustering_points / "reference_dbscan.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 14
    for row in rows:
        points, truth = (np.loadtxt(clustering_points / f"{row['dataset']}.{of}.gz") for of in ("data", "labels0"))
        labels, is_core = density.dbscan(points, float(row["eps"]), int(row["min_samples"]))
        found = [is_core.sum(), labels.max() + 1, (labels < 0).sum(), round(adjusted_rand_score(truth, labels), 6)]
        told = [float(row[name]) for name in ("core_points", "clusters", "noise", "ari_vs_labels0")]
        assert found == told, row["dataset"]


@pytest.mark.parametrize("way", ["all pairs at once", "cells", "cells and pairs in blocks"])
def test_random_points_have_the_clusters_of_scikit_learn(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way != "all pairs at once":
        monkeypatch.setattr(density, "_are_few", lambda points, eps: len(points) < 30 * (way == "cells"))
        monkeypatch.setattr(density, "LARGE", 30)
        monkeypatch.setattr(density, "PAIRS", 5_000)
    for seed in range(120):
        case = drawn(seed)
        assert ours(*case) == known(*case), f"seed {seed}"


@pytest.mark.parametrize("count", [2, 5])
def test_boxes_know_together_what_one_box_knows(count: int) -> None:
    for seed in range(60):
        points, eps, min_samples = drawn(seed)
        labels, is_core = density.dbscan(points, eps, min_samples)
        placed = boxes.place(points, boxes.split(points, count, eps), eps)
        assert sorted(placed.row[placed.is_owned]) == list(range(len(points)))
        core, meets = np.zeros(len(points), dtype=bool), []
        for box in np.unique(placed.box):
            rows = np.sort(placed.row[placed.box == box])
            is_owned = np.isin(rows, placed.row[placed.is_owned & (placed.box == box)])
            found = density.scan(points[rows], is_owned, eps, min_samples)
            core[rows[found.cluster >= 0]] = True
            meets += [(rows[at], (box, cluster)) for at, cluster in enumerate(found.cluster) if cluster >= 0]
            meets += [(rows[at], (box, of)) for at, of in zip(found.touching, found.touched, strict=True)]
        assert list(core) == list(is_core), f"seed {seed}"
        # Clusters of boxes that a core point is in, or touches, are one.
        of = {cluster: {labels[row] for row, met in meets if met == cluster and core[row]} for _, cluster in meets}
        assert all(len(clusters) == 1 for clusters in of.values()), f"seed {seed}"
        for row in np.flatnonzero(~is_core):
            touched = {min(of[cluster]) for at, cluster in meets if at == row}
            assert labels[row] == min(touched, default=-1), f"seed {seed}"


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((30_000, 4)),  # all in one place
        np.random.default_rng(1).uniform(size=(30_000, 2)) * 0.1,  # all in one cell
        np.vstack([np.zeros((20_000, 3)), np.eye(3) * 0.9, np.eye(3) * 5]),
        np.repeat(np.arange(6_000.0), 5)[:, None] * 1e9,  # far out
    ],
    ids=["one place", "one cell", "one place and few around it", "far apart"],
)
def test_many_points_in_one_place_are_never_looked_at_in_pairs(
    points: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(density, "PAIRS", 100_000)
    labels, is_core = density.dbscan(points, 1.0, 5)
    distinct, of, counts = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    if len(distinct) < 10_000:
        expected = DBSCAN(eps=1.0, min_samples=5).fit(distinct, sample_weight=counts)
        assert adjusted_rand_score(expected.labels_[of], labels) == 1.0
        assert (labels < 0).sum() == (expected.labels_[of] < 0).sum()
        assert is_core.sum() == counts[expected.core_sample_indices_].sum()
    else:
        assert is_core.all()
        assert set(labels) == {0}


def test_walls_stand_where_few_points_are_near_and_boxes_are_about_as_full() -> None:
    random = np.random.default_rng(1)
    points = np.vstack([random.normal(size=(500, 2)), random.normal(size=(500, 2)) + np.array([0, 30])])
    two = boxes.split(points, 2, 1.0)
    assert two.dimension[0] == 1
    placed = boxes.place(points, two, 1.0)
    assert len(placed.row) <= 1_010, "hardly any is known to both"
    eight = boxes.place(points, boxes.split(points, 8, 0.0), 0.0)
    assert np.bincount(eight.box).size == 8
    assert np.bincount(eight.box).min() > 40
    assert boxes.split(np.zeros((50, 2)), 4, 1.0).size == 1, "who lie in one place are not told apart"


def test_distances_to_the_nearest_points_are_those_of_scikit_learn() -> None:
    points, _, _ = drawn(5)
    expected = NearestNeighbors(n_neighbors=4).fit(points).kneighbors(points[:20])[0]
    assert density.neighbour_distances(points, points[:20], 4) == pytest.approx(expected)
    assert np.isinf(density.neighbour_distances(points[:3], points[:20], 4)[:, 3]).all()
    assert np.isinf(density.neighbour_distances(points[:0], points[:20], 4)).all()
