"""Clusters of classes with similar conformity scores, for classes that are too rare to have their own quantile."""

import numpy as np

from crossent.calibration.conformity import FloatArray, IntArray

# The levels at which the distributions of scores are compared, besides the coverage asked for.
_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
# Number of rows that each cluster has for its quantile, and of rows of a class that choose its cluster.
_ROWS_OF_CLUSTER = 150
_ROWS_TO_CHOOSE = 2


def clustering_share(class_count: int) -> float:
    """Return the share of the rows that clusters are found on; the others give the quantiles.

    It leaves 150 rows to the quantile of each cluster where all classes have the same number of rows.

    Source: Ding et al. 2023, "Class-Conditional Conformal Prediction with Many Classes".

    Examples
    --------
    >>> clustering_share(75)
    0.5
    """
    return class_count / (_ROWS_OF_CLUSTER / _ROWS_TO_CHOOSE + class_count)


def cluster_classes(
    scores: FloatArray, target: IntArray, class_count: int, least_rows: int, coverage: float, seed: int
) -> IntArray:
    """Group the classes by weighted k-means of the quantiles of their scores.

    Parameters
    ----------
    scores, target
        ``(m,)`` the conformity score of the right label and the class index of each row set aside for this.
    class_count
        The number of classes K.
    least_rows
        A class with fewer rows is rare: it gets no cluster.
    coverage
        The coverage asked for: one of the levels of the quantiles.
    seed
        Of k-means.

    Returns
    -------
    IntArray
        ``(K,)`` the cluster of each class, counted from 0; -1 for a rare one.

    Notes
    -----
    Source: Ding et al. 2023, as above.

    Examples
    --------
    >>> scores, target = np.tile([0.1, 0.1, 0.9, 0.5], 40), np.tile([0, 1, 2, 3], 40)
    >>> clusters = cluster_classes(scores[:-40], target[:-40], 5, 9, 0.9, seed=0)
    >>> clusters[0] == clusters[1] != clusters[2], clusters[4]
    (np.True_, np.int64(-1))
    """
    count = np.bincount(target, minlength=class_count)
    common = np.flatnonzero(count >= least_rows)
    clusters = np.full(class_count, -1, dtype=np.int64)
    if not len(common):
        return clusters
    levels = sorted({*_LEVELS, coverage})
    quantiles = np.stack([np.quantile(scores[target == k], levels) for k in common])
    wanted = int(count[common].min()) // _ROWS_TO_CHOOSE
    distinct = len(np.unique(quantiles, axis=0))
    from sklearn.cluster import KMeans  # noqa: PLC0415 - a second to import, and few calibrations need it

    kmeans = KMeans(n_clusters=max(1, min(wanted, distinct)), n_init=10, random_state=seed)
    # The standard error of a quantile shrinks with the square root of the number of rows.
    clusters[common] = kmeans.fit_predict(quantiles, sample_weight=np.sqrt(count[common]))
    return clusters
