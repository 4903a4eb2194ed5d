"""The passes of softmax regression in NumPy, where there are no kernels."""

import numpy as np
import scipy.sparse

from crossent.kernels.regression import FeatureRows, Real, RowTargets


def add_plain_gradient(
    rows: FeatureRows, targets: RowTargets, num_classes: int, weight: Real, probs: Real, sums: Real
) -> float:
    """Do what `crossent.kernels.regression.add_gradient` does."""
    logits = _times(rows, weight[:, :num_classes]).astype(np.float64)
    top = logits.max(axis=1, keepdims=True)
    softmax = np.exp(logits - top)
    total = softmax.sum(axis=1, keepdims=True)
    softmax /= total
    log_sum = (top + np.log(total))[:, 0]
    probs[:] = softmax
    if targets.target is not None:
        at = np.arange(len(logits)), targets.target
        losses, slopes = log_sum - logits[at], softmax
        slopes[at] -= 1
    else:
        given = np.asarray(targets.distribution, dtype=np.float64)
        losses = given.sum(axis=1) * log_sum - np.where(given == 0, 0, given * logits).sum(axis=1)
        slopes = given.sum(axis=1, keepdims=True) * softmax - given
    if targets.row_weight is not None:
        losses = np.where(targets.row_weight == 0, 0, losses * targets.row_weight)
        slopes *= targets.row_weight[:, None]
    _add(rows, slopes.astype(sums.dtype), sums[:, :num_classes])
    return float(losses.sum())


def add_plain_product(
    rows: FeatureRows, targets: RowTargets, num_classes: int, probs: Real, direction: Real, sums: Real
) -> None:
    """Do what `crossent.kernels.regression.add_product` does."""
    change = probs * _times(rows, direction[:, :num_classes])
    slopes = change - probs * change.sum(axis=1, keepdims=True)
    if targets.row_weight is not None:
        slopes *= targets.row_weight[:, None]
    _add(rows, slopes, sums[:, :num_classes])


def plain_couplings(features: Real, probs: Real, row_weight: Real) -> Real:
    """Do what `crossent.kernels.regression.couplings` does."""
    (first, second), (left, right) = np.triu_indices(probs.shape[1]), np.triu_indices(features.shape[1])
    weights = probs[:, first] * ((first == second) - probs[:, second]) * row_weight[:, None]
    sums: Real = weights.T @ (features[:, left] * features[:, right])
    return sums


def _times(rows: FeatureRows, weight: Real) -> Real:
    dense_features = rows.dense.shape[1]
    logits: Real = rows.dense @ weight[:dense_features] + weight[-1]
    if rows.sparse is not None:
        logits += sparse_matrix(rows) @ weight[:-1]
    return logits


def _add(rows: FeatureRows, slopes: Real, sums: Real) -> None:
    sums[: rows.dense.shape[1]] += rows.dense.T @ slopes
    if rows.sparse is not None:
        sums[:-1] += sparse_matrix(rows).T @ slopes
    sums[-1] += slopes.sum(axis=0)


def sparse_matrix(rows: FeatureRows) -> scipy.sparse.csr_array:
    """Return the sparse features of the rows, ``(n, d)``."""
    if rows.sparse is None:
        return scipy.sparse.csr_array((len(rows), rows.features), dtype=rows.dense.dtype)
    ends = rows.sparse.ends
    elements = slice(int(ends[0]), int(ends[-1]))
    parts = (rows.sparse.values[elements], rows.sparse.columns[elements], ends - ends[0])
    matrix = scipy.sparse.csr_array(parts, shape=(len(rows), rows.features))
    # Otherwise some operations of SciPy would sort the arrays in place, and they belong to the caller.
    matrix.has_canonical_format = True
    return matrix
