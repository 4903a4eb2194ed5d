"""Free text as sparse features: the words, pairs of words and pieces of words that several training rows share."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse

from crossent.errors import DataError
from crossent.kernels.ngrams import NgramCounts
from crossent.kinds.blocks import Features, Widths, features_of
from crossent.kinds.ngrams import count
from crossent.lazy import lazy_property
from crossent.threads import processors

# An n-gram that occurs in only one row says nothing about other rows.
FEWEST_ROWS = 2
# Largest number of weights of a model, which is n-grams times classes. If there are more, the most frequent n-grams are
# used.
MOST_WEIGHTS = 1 << 25
FEWEST_NGRAMS = 1 << 14
# The classes of an n-gram are estimated as if it occurred in this many more rows, with the class shares of all rows.
PRIOR_ROWS = 5.0
# An n-gram that says less than this about the class, in nats, counts as if it said this much.
LEAST_INFORMATION = 1e-3
# Brings weights of n-grams to the order of 1: they are about the root of the nats and of the logarithm of the rows.
LARGEST_WEIGHT_OF_NGRAM = 1e6
# Number of rows whose n-grams are counted by class at a time.
ROWS_AT_ONCE = 1 << 14
# Number of elements that a thread turns into features at a time.
ELEMENTS_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class TextEncoding:
    """How one column of text becomes features.

    Attributes
    ----------
    column
        Its name.
    hashes
        ``(t,)`` uint64 n-grams, from common to rare; the last bit is 1 for pieces of words.
    weights
        ``(t,)`` float32: the weight of one occurrence; it is large for n-grams that are rare and that tell classes
        apart.
    """

    column: str
    hashes: npt.NDArray[np.uint64]
    weights: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.hashes.shape != self.weights.shape or not len(self.hashes):
            raise ValueError(f"{self.hashes.shape} n-grams and {self.weights.shape} weights do not fit")
        if self.hashes.ndim != 1 or not (np.diff(self._ascending[0]) > 0).all():
            raise ValueError("n-grams must be distinct")
        # A row is divided by its length, which must be finite and above zero.
        if not (self.weights.min() >= 1 / LARGEST_WEIGHT_OF_NGRAM and self.weights.max() <= LARGEST_WEIGHT_OF_NGRAM):
            raise ValueError("weights of n-grams must be above zero and finite")

    @property
    def widths(self) -> Widths:
        """N-grams only."""
        return Widths(ngrams=len(self.hashes))

    def encode(self, texts: "pd.Series[Any]") -> Features:
        """Return the features of ``(n,)`` texts."""
        return features_of(len(texts), ngrams=self.ngrams_of(texts))

    def unseen(self, texts: "pd.Series[Any]") -> str:
        """Say how many of ``(n,)`` texts have nothing in common with the training rows."""
        unknown = int((np.diff(self.ngrams_of(texts).indptr) == 0).sum())
        if not unknown:
            return ""
        return f"{unknown:,} rows are empty or hold no word and no piece of a word that was seen in training"

    def ngrams_of(self, texts: "pd.Series[Any]") -> scipy.sparse.csr_array:
        """Return ``(n, t)`` float32 features.

        In each row the words with their pairs have the Euclidean length 1, and so have the pieces of words; 0 if none
        is known.
        """
        return self.weighted(count(strings_of(texts)))

    def weighted(self, counts: NgramCounts) -> scipy.sparse.csr_array:
        """Return the features of texts whose n-grams are already counted."""
        columns_of_ids = self._columns_of(counts.hashes)
        cuts = np.searchsorted(counts.ends, np.arange(0, counts.ends[-1], ELEMENTS_AT_ONCE)).tolist()
        rows = [slice(begin, end) for begin, end in itertools.pairwise([*cuts, len(counts.ends) - 1])]
        with ThreadPoolExecutor(processors()) as pool:
            parts = list(pool.map(lambda some: self._features_of_rows(counts, columns_of_ids, some), rows))
        if not parts:
            return scipy.sparse.csr_array((len(counts.ends) - 1, len(self.hashes)), dtype=np.float32)
        return parts[0] if len(parts) == 1 else scipy.sparse.vstack(parts, format="csr")

    def _features_of_rows(
        self, counts: NgramCounts, columns_of_ids: npt.NDArray[np.int32], rows: slice
    ) -> scipy.sparse.csr_array:
        ends = counts.ends[rows.start : rows.stop + 1]
        elements = slice(int(ends[0]), int(ends[-1]))
        columns = columns_of_ids[counts.ids[elements]]
        known = columns >= 0
        columns = columns[known]
        ends = np.concatenate(([0], np.cumsum(known, dtype=np.int32)))[ends - ends[0]]
        values = np.log(counts.counts[elements][known].astype(np.float32))
        values += 1
        values *= self.weights[columns]
        # Position of each element among the 2 n lengths: for each row, the length of words and then of pieces.
        n = len(ends) - 1
        part = np.repeat(np.arange(0, 2 * n, 2), np.diff(ends)) + self._is_piece[columns]
        squares = np.bincount(part, np.square(values), minlength=2 * n)
        values /= np.sqrt(squares).astype(np.float32)[part]
        return scipy.sparse.csr_array((values, columns, ends), shape=(n, len(self.hashes)))

    def _columns_of(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """Return the column of each hash, or -1 for unknown hashes."""
        ascending, order = self._ascending
        place = np.minimum(np.searchsorted(ascending, hashes), len(ascending) - 1)
        return np.where(ascending[place] == hashes, order[place], -1).astype(np.int32)

    @lazy_property
    def _is_piece(self) -> npt.NDArray[np.int8]:
        return (self.hashes & 1).astype(np.int8)

    @lazy_property
    def _ascending(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        order = np.argsort(self.hashes)
        return self.hashes[order], order


def learn_ngrams(
    texts: "pd.Series[Any]", target: npt.NDArray[np.int64], num_classes: int
) -> tuple[TextEncoding, scipy.sparse.csr_array]:
    """Learn the n-grams of training rows, and the weight of each.

    The weight of an n-gram is the root of its inverse document frequency, ``log((1 + n) / (1 + rows)) + 1``, times the
    nats by which it tells the class.

    Parameters
    ----------
    texts
        ``(n,)`` texts; the series has the name of the column.
    target
        ``(n,)`` class indices.
    num_classes
        K; with many classes fewer n-grams are kept, so that the weights of a model fit into memory.

    Returns
    -------
    encoding
        The n-grams that occur in two rows or more.
    features
        ``(n, t)`` of these rows.

    Raises
    ------
    DataError
        If no two rows share an n-gram.

    Examples
    --------
    >>> encoding, features = learn_ngrams(pd.Series(["red wine", "red beer"], name="drink"), np.array([0, 1]), 2)
    >>> features.shape == (2, len(encoding.hashes))
    True
    """
    counts = count(strings_of(texts))
    rows = np.bincount(counts.ids, minlength=len(counts.hashes))
    used = np.flatnonzero(rows >= FEWEST_ROWS)
    if not len(used):
        raise DataError(
            "A column of text needs words that several rows share.",
            f"No two of the {len(texts):,} training rows of {texts.name!r} have a word, or a piece of one, in common.",
            f"Check the column, or leave it out: --kind {texts.name}=identifier.",
        )
    most = max(MOST_WEIGHTS // num_classes, FEWEST_NGRAMS)
    # Hashes ascend, so that n-grams of equal frequency have the same order on every machine.
    used = used[np.argsort(-rows[used], kind="stable")][:most]
    idf = np.log((1 + len(texts)) / (1 + rows[used])) + 1
    weights = np.sqrt(idf * _information(counts, used, target, num_classes))
    encoding = TextEncoding(str(texts.name), counts.hashes[used], weights.astype(np.float32))
    return encoding, encoding.weighted(counts)


def _information(
    counts: NgramCounts, used: npt.NDArray[np.int64], target: npt.NDArray[np.int64], num_classes: int
) -> npt.NDArray[np.float64]:
    """Return, for each n-gram in use, the divergence in nats of the classes of its rows from the prior."""
    # There is a cell for each n-gram and class; n-grams that are not in use share the cells at the end.
    first_cell = np.full(len(counts.hashes), len(used) * num_classes)
    first_cell[used] = np.arange(len(used)) * num_classes
    cells = np.zeros((len(used) + 1) * num_classes, np.int64)
    for begin in range(0, len(counts.ends) - 1, ROWS_AT_ONCE):
        ends = counts.ends[begin : begin + ROWS_AT_ONCE + 1]
        places = first_cell[counts.ids[ends[0] : ends[-1]]]
        places += np.repeat(target[begin : begin + ROWS_AT_ONCE], np.diff(ends))
        cells += np.bincount(places, minlength=len(cells))
    present = np.flatnonzero(cells[:-num_classes])
    column, label = np.divmod(present, num_classes)
    prior = np.bincount(target, minlength=num_classes) / len(target)
    rows = np.bincount(column, cells[present], minlength=len(used))
    share = (cells[present] + PRIOR_ROWS * prior[label]) / (rows[column] + PRIOR_ROWS)
    told = np.bincount(column, share * np.log(share / prior[label]), minlength=len(used))
    # Classes without a row that holds the n-gram retain this part of their prior.
    left = PRIOR_ROWS / (rows + PRIOR_ROWS)
    told += (1 - np.bincount(column, prior[label], minlength=len(used))) * left * np.log(left)
    return np.maximum(told, LEAST_INFORMATION)


def strings_of(texts: "pd.Series[Any]") -> Sequence[str]:
    """Return the texts as strings, empty where they are missing."""
    return [str(text) for text in texts.fillna("")]
