"""Chooses which rows are shown how often: oversampling, and batches with equal numbers of rows of each class."""

import numpy as np
import numpy.typing as npt

from crossent.checks import check_number
from crossent.errors import SettingError, ShapeError

Rows = npt.NDArray[np.int64]


def oversample(
    target: npt.NDArray[np.int64], *, rng: np.random.Generator, weight: npt.NDArray[np.float64] | None = None
) -> Rows:
    """Return rows such that every class has as many as the largest, or about as much weight as the heaviest.

    Each row of a class is returned equally often, give or take one; the rows that are returned once more are drawn.

    Parameters
    ----------
    target
        ``(n,)`` class indices.
    rng
        Source of the draws.
    weight
        ``(n,)`` above 0: how many rows each row counts as. None: as one.

    Returns
    -------
    array
        ``(m,)`` int64 positions of rows, in order.

    Raises
    ------
    ShapeError
        If the target is not a sequence of class indices.

    Examples
    --------
    >>> target = np.array([0, 0, 0, 0, 1, 2, 2])
    >>> rows = oversample(target, rng=np.random.default_rng(0))
    >>> np.bincount(target[rows])
    array([4, 4, 4])
    """
    members = _members(target)
    masses = [len(rows) if weight is None else weight[rows].sum() for rows in members]
    times = [max(masses) / mass for mass in masses]
    return np.sort(
        np.concatenate(
            [_cycle(rows, round(often * len(rows)), rng) for rows, often in zip(members, times, strict=True)]
        )
    )


def balanced_batches(
    target: npt.NDArray[np.int64], batch_size: int, *, rng: np.random.Generator, process: int = 0, processes: int = 1
) -> list[Rows]:
    """Return one epoch of batches in which every class has the same number of rows, give or take one.

    The epoch has about as many rows as the data: rows of rare classes come several times, and of common classes another
    part comes in each epoch. No row of a class comes again before all other rows of that class have come.

    Parameters
    ----------
    target
        ``(n,)`` class indices.
    batch_size
        Rows of a batch, in each process.
    rng
        Source of the draws; the generators of all processes must have the same state.
    process, processes
        The rank of this process, and the number of processes. All get equally many batches, of different rows.

    Returns
    -------
    list of arrays
        ``(batch_size,)`` int64 positions of rows. It serves as ``batch_sampler`` of a ``torch.utils.data.DataLoader``.

    Raises
    ------
    ShapeError
        If the target is not a sequence of class indices.
    SettingError
        If the batch size is below 1, or there is no such process.

    Examples
    --------
    >>> target = np.repeat([0, 1, 2], [80, 15, 5])
    >>> batches = balanced_batches(target, 30, rng=np.random.default_rng(0))
    >>> [np.bincount(target[batch]).tolist() for batch in batches]
    [[10, 10, 10], [10, 10, 10], [10, 10, 10], [10, 10, 10]]
    """
    check_number("batch_size", batch_size, 1)
    if not 0 <= process < processes:
        raise SettingError("process is from 0 to processes - 1.", f"It is {process} of {processes}.", "Give its rank.")
    members = _members(target)
    steps = -(-len(target) // (batch_size * processes))
    slots = steps * processes * batch_size
    # The classes take turns, row by row, so that every stretch of the sequence, and thus every batch, is balanced.
    turns = -(-slots // len(members))
    line = np.stack([_cycle(members[i], turns, rng) for i in rng.permutation(len(members))], axis=1)
    batches = line.ravel()[:slots].reshape(steps, processes, batch_size)
    return list(batches[:, process])


def _members(target: npt.NDArray[np.int64]) -> list[Rows]:
    """Return the rows of each class that has rows."""
    target = np.asarray(target)
    if target.ndim != 1 or target.dtype.kind not in "iu" or not len(target) or target.min() < 0:
        raise ShapeError(
            "The target is (n,) class indices, counted from 0, of at least one row.",
            f"It is {target.dtype} of shape {target.shape}.",
            "Give whole numbers; numpy.unique(labels, return_inverse=True)[1] makes them of labels.",
        )
    order = np.argsort(target, kind="stable").astype(np.int64)
    ends = np.cumsum(np.bincount(target))[:-1]
    return [rows for rows in np.split(order, ends) if len(rows)]


def _cycle(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Return `count` of the rows: all of them in a drawn order, then all of them in another, and so on."""
    times = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(times)])[:count]
