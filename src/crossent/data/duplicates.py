"""Rows of equal values: copies of one another, or equal by chance."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

# Where rows of equal values go in a split: all to one side, anywhere, or copies alone to one side.
Duplicates = Literal["auto", "together", "anywhere"]

Codes = npt.NDArray[np.int64]


Hashes = npt.NDArray[np.uint64]


def hash_rows(frame: pd.DataFrame) -> Hashes:
    """Return a number for each row that is made of its values, ``(n,)``; the same in every process.

    Examples
    --------
    >>> first, second, third = hash_rows(pd.DataFrame({"x": [1, 2, 1]})).tolist()
    >>> first == third != second
    True
    """
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), dtype=np.uint64)


def duplicate_codes(hashes: Hashes) -> Codes:
    """Return a number from 0 for each row; rows of equal values get equal numbers.

    Examples
    --------
    >>> duplicate_codes(np.array([70, 50, 70], np.uint64))
    array([1, 0, 1])
    """
    return np.unique(hashes, return_inverse=True)[1].astype(np.int64)


def copy_codes(frame: pd.DataFrame, hashes: Hashes) -> Codes:
    """Return a number for each row; rows get equal numbers if their values are equal, and hardly by chance.

    Chance makes rows equal if one of the other rows or more would have these values were the columns independent. In a
    column of few values, no more than the root of the number of rows, the chance of a value is its share of all rows.
    In one of many it is its share of the rows that are not equal, for copies themselves would make a value frequent.

    Examples
    --------
    Two rows with the same long number are copies; people with the same answers are not.

    >>> volts = pd.DataFrame({"volt": [0.731, 0.731, 0.2, 0.9]})
    >>> len(np.unique(copy_codes(volts, hash_rows(volts))))
    3
    >>> people = pd.DataFrame({"smoker": ["yes", "no"] * 4, "sex": ["f", "m", "m", "f"] * 2})
    >>> len(np.unique(copy_codes(people, hash_rows(people))))
    8
    """
    codes = duplicate_codes(hashes)
    n, sizes = len(frame), np.bincount(codes)
    if len(sizes) == n:
        return codes
    first = np.unique(codes, return_index=True)[1]
    chance = np.ones(len(sizes))
    for name in frame:
        values = pd.factorize(frame[name], use_na_sentinel=False)[0]
        counts = np.bincount(values)
        of_unit = counts[values[first]]
        chance *= of_unit / n if len(counts) <= n**0.5 else (of_unit - sizes) / np.maximum(n - sizes, 1)
    by_chance = (chance * n >= 1)[codes]
    codes[by_chance] = len(sizes) + np.arange(by_chance.sum())
    return codes
