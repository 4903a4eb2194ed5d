"""Dual ascent in NumPy, where there are no kernels: the same steps in the same order, with the same result."""

import numpy as np
import numpy.typing as npt
import scipy.sparse

from crossent.kernels.dual_ascent import Duals, Omissions
from crossent.kernels.regression import Real, SparseRows

Array = npt.NDArray[np.float64]

# As in dual_ascent.cpp: classes that are left out together, the most Newton steps for a row, how near to a distribution
# they may end, the least log of a dual, and what a change of a row's own logits counts to one of a probability.
TOGETHER, MOST_STEPS, NEAR, LOWEST_LOG, LOGITS = 16, 20, 1e-5, -80.0, 100.0


def plain_ascend(
    rows: SparseRows,
    target: npt.NDArray[np.int64] | None,
    duals: Duals,
    num_classes: int,
    strength: Real,
    order: npt.NDArray[np.int64],
    omissions: Omissions,
) -> tuple[float, float]:
    """Do what `crossent.kernels.dual_ascent.ascend` does."""
    loss = gap = 0.0
    rows, weight, offset = _with_each_column_once(rows, len(duals.weight) - 1), duals.weight, duals.offset[:num_classes]
    least = np.log(omissions.least_dual) if omissions.least_dual > 0 else -np.inf
    for row in order[strength[order] != 0]:
        elements = slice(rows.ends[row], rows.ends[row + 1])
        columns, values, of_row = rows.columns[elements], rows.values[elements], float(strength[row])
        log_probs = duals.log_probs[row, :num_classes]
        log_duals, label = log_probs.astype(np.float64), None if target is None else int(target[row])
        changing = _kept(log_duals, label, least)
        of_columns = weight.take(columns, axis=0)
        logits = ((values @ of_columns + weight[-1])[:num_classes] + offset)[changing].astype(np.float64)
        before, curvature = np.exp(log_duals[changing]), of_row * (1 + float(values @ values))
        log_sum = _log_sum_exp(logits)
        if label is not None:
            loss += of_row * (log_sum - logits[np.searchsorted(changing, label)])
        gap += of_row * (float(before @ (log_duals[changing] - logits)) + log_sum)
        mass = 1 - (np.exp(log_duals).sum() - before.sum())
        new_logs = _solve(logits + before * curvature, curvature, mass, log_duals[changing])
        given_up = before - np.exp(new_logs)
        negligible = min(omissions.negligible, LOGITS * omissions.negligible / curvature)
        changed = _together(np.abs(given_up) > negligible, changing)
        if changed.any():
            log_probs[changing[changed]] = new_logs[changed]
            step = np.zeros_like(weight[-1])
            step[changing[changed]] = given_up[changed] * of_row
            weight[-1] += step
            of_columns += values[:, None] * step
            weight[columns] = of_columns
    return loss, gap


def _with_each_column_once(rows: SparseRows, features: int) -> SparseRows:
    """Return a copy in which no row has a column twice, so that all columns of a row can be changed at once."""
    begin, end = int(rows.ends[0]), int(rows.ends[-1])
    parts = (rows.values[begin:end], rows.columns[begin:end], rows.ends - begin)
    matrix = scipy.sparse.csr_array(parts, shape=(len(rows.ends) - 1, features), copy=True)
    matrix.sum_duplicates()
    return SparseRows(matrix.indptr, matrix.indices, matrix.data)


def _kept(log_duals: Array, label: int | None, least: float) -> npt.NDArray[np.intp]:
    """Return the classes that may change: those with a neighbour above `least`, and the neighbours of the label."""
    large = log_duals > least
    if label is not None:
        large[label] = True
    classes = np.arange(len(large))
    return classes[_together(large, classes)]


def _together(chosen: npt.NDArray[np.bool_], classes: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return, for some classes in ascending order, whether any class of the same group is chosen."""
    group = classes // TOGETHER
    return np.asarray(np.bincount(group, chosen)[group] > 0)


def _solve(wanted: Array, curvature: float, mass: float, log_probs: Array) -> Array:
    """Solve ``log p + curvature * p = wanted - mu`` with the mu that gives p the sum `mass`, by Newton's method."""
    for step in range(MOST_STEPS):
        probs = np.exp(log_probs)
        residual, slope = log_probs + curvature * probs - wanted, curvature * probs + 1
        share, total = probs / slope, probs.sum()
        mu = (total - mass - share @ residual) / share.sum()
        following = np.minimum(np.maximum(log_probs - (residual + mu) / slope, LOWEST_LOG), 0)
        moved = probs @ np.abs(following - log_probs)
        log_probs = following
        if step > 0 and abs(total - mass) < NEAR and moved < NEAR:
            break
    return np.asarray(log_probs - (_log_sum_exp(log_probs) - np.log(mass)))


def _log_sum_exp(values: Array) -> float:
    top = values.max()
    return float(top + np.log(np.exp(values - top).sum()))
