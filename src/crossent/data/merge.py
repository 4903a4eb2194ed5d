"""Copies of a row as one row, which counts as all of them."""

import dataclasses

import numpy as np
import numpy.typing as npt

from crossent.data.dataset import Dataset
from crossent.data.duplicates import Duplicates, duplicate_codes


def merge_copies(dataset: Dataset, duplicates: Duplicates) -> Dataset:
    """Return a dataset in which rows that are copies of each other, label and all, are one row of their summed weight.

    Copies always are on the same side of a split, so that one row of weight 2 serves as well as two of weight 1, in
    less time, and the fitted model is the same, whichever of the two the data hold.

    Parameters
    ----------
    dataset
        The rows.
    duplicates
        Which rows are copies: those that are hardly equal by chance (``"auto"``), all that are equal (``"together"``),
        or none (``"anywhere"``).

    Returns
    -------
    Dataset
        Where rows have weights or copies, in an order that depends on what the rows hold, not on their order before;
        otherwise the dataset as it is. Rows whose labels are shares of the classes are never merged.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"volt": [0.731, 0.2, 0.731, 0.9]})
    >>> dataset = Dataset(frame, (), np.array([0, 1, 0, 1]), ("a", "b"), "y")
    >>> merged = merge_copies(dataset, "auto")
    >>> sorted(zip(merged.frame["volt"].tolist(), merged.weight.tolist()))
    [(0.2, 1.0), (0.731, 2.0), (0.9, 1.0)]
    """
    if dataset.distribution is not None:
        return dataset
    copy = _copies(dataset, duplicates)
    count = int(copy.max()) + 1
    if dataset.weight is None and count == len(dataset):
        return dataset
    first = np.unique(copy, return_index=True)[1]
    weight = np.bincount(copy, dataset.weight, minlength=count)
    merged = dataclasses.replace(dataset.take(first), weight=weight.astype(np.float64))
    return merged.take(_order(merged))


def _copies(dataset: Dataset, duplicates: Duplicates) -> npt.NDArray[np.int64]:
    """Return a number from 0 for each row, equal for rows to merge."""
    if duplicates == "anywhere":
        return np.arange(len(dataset))
    codes = dataset.copy_codes if duplicates == "auto" else duplicate_codes(dataset.row_hashes)
    keys = [codes, dataset.target, *_beside(dataset)]
    return np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _beside(dataset: Dataset) -> list[npt.NDArray[np.int64]]:
    """Return group and moment of the rows, where they have them, as whole numbers."""
    values = [each for each in (dataset.groups, dataset.time) if each is not None]
    return [np.unique(each, return_inverse=True)[1].astype(np.int64) for each in values]


def _order(dataset: Dataset) -> npt.NDArray[np.int64]:
    assert dataset.weight is not None
    return np.lexsort([*_beside(dataset), dataset.weight, dataset.target, dataset.row_hashes]).astype(np.int64)
