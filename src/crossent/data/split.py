"""Splits: stratified by class or by time, with whole groups and copies of a row on one side."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from crossent.data.dataset import Dataset
from crossent.data.duplicates import Duplicates, duplicate_codes
from crossent.errors import DataError

Sides = npt.NDArray[np.int64]


def hold_out(dataset: Dataset, fraction: float, *, duplicates: Duplicates, rng: np.random.Generator) -> Sides:
    """Choose the rows to hold out: 1 for these, 0 for the others.

    Groups, and duplicates as asked, are held out whole. With a time column the latest are held out, each by its latest
    moment, so that no row is trained on that comes after all moments of a unit held out; otherwise they are drawn,
    stratified by class.

    Raises
    ------
    DataError
        If one of the two sides would be empty.

    Examples
    --------
    >>> from crossent.data.read import read
    >>> from crossent.datasets import hpc_path
    >>> dataset = read(hpc_path(), "class")
    >>> sides = hold_out(dataset, 0.25, duplicates="auto", rng=np.random.default_rng(0))
    >>> int(sides.sum())
    1083
    """
    units = row_units(dataset, duplicates=duplicates)
    if dataset.time is not None:
        sides = _latest(dataset.time, units, fraction)
    else:
        sides = deal(dataset.target, units, np.array([1 - fraction, fraction]), rng)
    if sides.all() or not sides.any():
        raise DataError(
            "Both training and evaluation need rows.",
            f"Of {len(sides)} rows, {int(sides.sum())} would be held out.",
            "Give more rows or groups, or hold out another share.",
        )
    return sides


def folds(dataset: Dataset, count: int, *, duplicates: Duplicates, rng: np.random.Generator) -> Sides:
    """Return the fold of each row, counted from 0: stratified by class, whole groups at a time."""
    units = row_units(dataset, duplicates=duplicates)
    return deal(dataset.target, units, np.full(count, 1 / count), rng)


def row_units(dataset: Dataset, *, duplicates: Duplicates) -> npt.NDArray[np.int64]:
    """Return the unit of each row, which no split may part: its group and, where asked, its duplicates."""
    n = len(dataset)
    same = []
    if duplicates == "auto":
        same.append(dataset.copy_codes)
    elif duplicates == "together":
        same.append(duplicate_codes(dataset.row_hashes))
    if dataset.groups is not None:
        same.append(dataset.groups)
    if not same:
        return np.arange(n)
    if len(same) == 1:
        return same[0]
    # A row joins its group to its duplicates: units are the connected components of groups and duplicates.
    first, second = same[0], same[1] + same[0].max() + 1
    size = int(second.max()) + 1
    graph = scipy.sparse.coo_array((np.ones(n, dtype=np.int8), (first, second)), shape=(size, size))
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return np.asarray(component[first], dtype=np.int64)


def _latest(time: npt.NDArray[np.float64], units: npt.NDArray[np.int64], fraction: float) -> Sides:
    """Return 1 for the units whose last rows are the latest; units that end in one moment stay together."""
    _, units = np.unique(units, return_inverse=True)
    end = np.full(units.max() + 1, -np.inf)
    np.maximum.at(end, units, time)
    ends = end[units]
    sides = ends > np.quantile(ends, 1 - fraction, method="lower")
    # Where more rows than the share end in the latest moment, it is held out nevertheless.
    return np.asarray(sides if sides.any() else ends == ends.max(), dtype=np.int64)


def deal(
    target: npt.NDArray[np.int64],
    units: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> Sides:
    """Deal rows to sides so that each class comes as near to the shares as whole units allow.

    A unit counts as its most frequent class. Large units are dealt first, each to the side that lacks most rows of its
    class; rows on their own then fill what is left.
    """
    _, units, sizes = np.unique(units, return_inverse=True, return_counts=True)
    unit_class = _majority(target, units, len(sizes))
    unit_side = np.empty(len(sizes), dtype=np.int64)
    lacking_overall = shares * len(target)
    for label in np.unique(unit_class):
        members = rng.permutation(np.flatnonzero(unit_class == label))
        lacking = shares * sizes[members].sum()
        large = members[sizes[members] > 1]
        for unit in large[np.argsort(-sizes[large], kind="stable")]:
            # Among sides that lack as much of the class, the one that lacks most rows of all.
            side = int(np.argmax(lacking + 1e-6 * lacking_overall))
            unit_side[unit] = side
            lacking[side] -= sizes[unit]
            lacking_overall[side] -= sizes[unit]
        single = members[sizes[members] == 1]
        counts = _round_to_total(lacking, len(single), lacking_overall)
        unit_side[single] = np.repeat(np.arange(len(shares)), counts)
        lacking_overall -= counts
    return unit_side[units]


def _majority(target: npt.NDArray[np.int64], units: npt.NDArray[np.int64], count: int) -> npt.NDArray[Any]:
    table = scipy.sparse.coo_array(
        (np.ones(len(target)), (units, target)), shape=(count, int(target.max()) + 1)
    ).tocsr()
    return np.asarray(table.argmax(axis=1)).reshape(-1)


def _round_to_total(
    wanted: npt.NDArray[np.float64], total: int, tie_break: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Round to whole counts that add up to a total; the rows left over go where most is wanted, then where ties say."""
    wanted = np.maximum(wanted, 0) if (wanted > 0).any() else np.ones(len(wanted))
    wanted = wanted * (total / wanted.sum())
    counts = np.floor(wanted + 1e-9).astype(np.int64)
    order = np.lexsort((-tie_break, -(wanted - counts).round(9)))
    counts[order[: total - counts.sum()]] += 1
    return counts
