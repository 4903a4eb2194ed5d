import numpy as np
import pytest

from crossent.calibration.class_clusters import cluster_classes, clustering_share


def test_the_share_leaves_150_rows_to_each_cluster() -> None:
    """For n rows in each of K classes: a class has two rows to cluster by for each of the clusters."""
    for class_count in (10, 100, 1000):
        rows, share = 300, clustering_share(class_count)
        clusters = share * rows / 2
        assert (1 - share) * rows * class_count / clusters == pytest.approx(150)


def test_classes_of_like_scores_come_together() -> None:
    rng = np.random.default_rng(0)
    target = np.repeat(np.arange(20), 100)
    scores = rng.normal(np.where(target % 2 == 0, 0.0, 5.0), 0.1)
    clusters = cluster_classes(scores, target, 20, 9, 0.9, seed=0)
    assert set(clusters[::2]).isdisjoint(clusters[1::2])


def test_rare_and_absent_classes_get_no_cluster() -> None:
    target = np.array([0] * 50 + [1] * 8 + [3] * 50)
    clusters = cluster_classes(np.random.default_rng(0).random(len(target)), target, 5, 9, 0.9, seed=0)
    assert (clusters == -1).tolist() == [False, True, True, False, True]


def test_without_a_common_class_there_is_no_cluster() -> None:
    assert cluster_classes(np.zeros(4), np.arange(4), 4, 9, 0.9, seed=0).tolist() == [-1] * 4
