"""Which rows to show how often: oversampling, and batches that hold all classes alike."""

import numpy as np
import numpy.typing as npt

from crossent.checks import check_number
from crossent.errors import SettingError, ShapeError

Rows = npt.NDArray[np.int64]


def oversample(
    target: npt.NDArray[np.int64], *, rng: np.random.Generator, weight: npt.NDArray[np.float64] | None = None
) -> Rows:
    """Return rows such that every class has as many as the largest, or about as much weight as the heaviest.

    Each row of a class is there equally often, give or take one; those that are there once more are drawn.

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

    The epoch has about as many rows as there are: rare classes come several times, of common ones another part each
    epoch. No row of a class comes again before all others of that class have.

    Parameters
    ----------
    target
        ``(n,)`` class indices.
    batch_size
        Rows of a batch, in each process.
    rng
        Source of the draws; all processes must give one of the same state.
    process, processes
        Which of how many processes asks. Each gets as many batches, of other rows.

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
        raise SettingError("A process is one from 0 on.", f"It is {process} of {processes}.", "Give its rank.")
    members = _members(target)
    steps = -(-len(target) // (batch_size * processes))
    slots = steps * processes * batch_size
    # One row of each class in turn: any stretch of the line, thus each batch of each process, is balanced.
    turns = -(-slots // len(members))
    line = np.stack([_cycle(members[i], turns, rng) for i in rng.permutation(len(members))], axis=1)
    batches = line.ravel()[:slots].reshape(steps, processes, batch_size)
    return list(batches[:, process])


def _members(target: npt.NDArray[np.int64]) -> list[Rows]:
    """Return the rows of each class that has some."""
    target = np.asarray(target)
    if target.ndim != 1 or target.dtype.kind not in "iu" or not len(target) or target.min() < 0:
        raise ShapeError(
            "The target is (n,) class indices, from 0 on, of one row or more.",
            f"It is {target.dtype} of shape {target.shape}.",
            "Give whole numbers; numpy.unique(labels, return_inverse=True)[1] makes them of labels.",
        )
    order = np.argsort(target, kind="stable").astype(np.int64)
    ends = np.cumsum(np.bincount(target))[:-1]
    return [rows for rows in np.split(order, ends) if len(rows)]


def _cycle(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Return so many of the rows: all of them, in a drawn order, again and again."""
    times = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(times)])[:count]
