"""Blocks of features: what every kind of column gives and every model reads.

Shape
-----
``n`` rows; ``numbers`` ``(n, p)``, ``codes`` ``(n, q)``, ``ngrams`` ``(n, t)`` sparse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse

Block = Literal["numbers", "codes", "ngrams"]


@dataclass(frozen=True)
class Widths:
    """Number of features of each block, which an encoder writes and a model reads.

    Attributes
    ----------
    numbers
        p.
    cardinalities
        Number of codes of each of the q categories.
    ngrams
        t.
    """

    numbers: int = 0
    cardinalities: tuple[int, ...] = ()
    ngrams: int = 0

    @property
    def total(self) -> int:
        """Number of all features, where each code of a category counts as one."""
        return self.numbers + sum(self.cardinalities) + self.ngrams


@dataclass(frozen=True, eq=False)
class Features:
    """Encoded rows of a whole table or of one column.

    Attributes
    ----------
    numbers
        ``(n, p)`` float32, finite, of the order of 1.
    codes
        ``(n, q)`` int32 category codes: 0 missing, 1 unseen in training, 2 rare, then the vocabulary.
    cardinalities
        Number of codes of each of the q categories.
    ngrams
        ``(n, t)`` float32 compressed sparse rows: the n-grams of the columns of text; None where there are none.
    """

    numbers: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]
    cardinalities: tuple[int, ...]
    ngrams: scipy.sparse.csr_array | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: npt.NDArray[Any]) -> "Features":
        """Return the given rows, by position or mask."""
        ngrams = None if self.ngrams is None else self.ngrams[rows]
        return Features(self.numbers[rows], self.codes[rows], self.cardinalities, ngrams)


def features_of(
    rows: int,
    *,
    numbers: Sequence[npt.NDArray[np.float32]] = (),
    codes: Sequence[npt.NDArray[np.int32]] = (),
    cardinalities: Sequence[int] = (),
    ngrams: scipy.sparse.csr_array | None = None,
) -> Features:
    """Return the features of n rows; a block that is not given has no features.

    Parameters
    ----------
    rows
        n.
    numbers, codes
        ``(n,)`` or ``(n, columns)`` each.
    cardinalities
        One for each column of codes.
    ngrams
        ``(n, t)``.

    Examples
    --------
    >>> features_of(2, numbers=[np.array([0.5, 1.5], np.float32)]).numbers
    array([[0.5],
           [1.5]], dtype=float32)
    """
    return Features(
        _side_by_side(numbers, rows, np.float32), _side_by_side(codes, rows, np.int32), tuple(cardinalities), ngrams
    )


def join_features(parts: Sequence[Features], rows: int) -> Features:
    """Return the features of several columns side by side, block by block."""
    ngrams = [part.ngrams for part in parts if part.ngrams is not None]
    return features_of(
        rows,
        numbers=[part.numbers for part in parts if part.numbers.shape[1]],
        codes=[part.codes for part in parts if part.codes.shape[1]],
        cardinalities=[count for part in parts for count in part.cardinalities],
        ngrams=scipy.sparse.hstack(ngrams, format="csr") if ngrams else None,
    )


def join_widths(parts: Sequence[Widths]) -> Widths:
    """Return the widths of what `join_features` makes of parts of these widths."""
    return Widths(
        sum(part.numbers for part in parts),
        tuple(count for part in parts for count in part.cardinalities),
        sum(part.ngrams for part in parts),
    )


def _side_by_side(parts: Sequence[npt.NDArray[Any]], rows: int, dtype: type[Any]) -> npt.NDArray[Any]:
    if not parts:
        return np.empty((rows, 0), dtype=dtype)
    if len(parts) == 1:
        return parts[0][:, None] if parts[0].ndim == 1 else parts[0]
    columns = [part[:, None] if part.ndim == 1 else part for part in parts]
    table = np.empty((rows, sum(part.shape[1] for part in columns)), dtype=dtype)
    begin = 0
    for part in columns:
        table[:, begin : begin + part.shape[1]] = part
        begin += part.shape[1]
    return table
