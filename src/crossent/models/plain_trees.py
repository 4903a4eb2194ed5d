"""Scores of decision trees in NumPy, where there are no kernels: the same to the bit.

**Shape.** ``n`` rows, ``K`` classes, ``T`` trees with ``S`` splits in all: numbers ``(n, p)`` and codes ``(n, q)`` go
in; leaves ``(n, T)`` are found, and scores ``(n, K)`` come out.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from crossent.kernels.trees import Splits

Numbers = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]

# Number of paths that are followed at once, so that their arrays stay in the cache.
PATHS = 1 << 15


def plain_scores(splits: Splits, numbers: Numbers, codes: Codes) -> npt.NDArray[np.float64]:
    """Return the ``(n, K)`` scores of rows; see `crossent.models.trees.Trees.scores`."""
    links = _Links.of(splits)
    scores = np.zeros((len(numbers), splits.classes))
    size = max(PATHS // len(splits.leaf_counts), 1)
    for i in range(0, len(numbers), size):
        part = scores[i : i + size]
        values = splits.values[_leaves(splits, links, numbers[i : i + size], codes[i : i + size])]
        # One round after another, because the sum depends on the order.
        for of_round in np.moveaxis(values.reshape(len(part), -1, splits.classes), 1, 0):
            part += of_round
    return scores


@dataclass(frozen=True, eq=False)
class _Links:
    """Where paths begin and lead to, each split by its place among all and leaf i of all as -1 - i."""

    root: Places
    left: Places
    right: Places
    first_word: Places

    @classmethod
    def of(cls, splits: Splits) -> Self:
        counts = splits.leaf_counts.astype(np.int64)
        first_leaf = np.cumsum(counts) - counts
        first_split = first_leaf - np.arange(len(counts))
        leaf, split = np.repeat(first_leaf, counts - 1), np.repeat(first_split, counts - 1)
        left, right = (np.where(link < 0, link - leaf, link + split) for link in (splits.left, splits.right))
        root = np.where(counts > 1, first_split, -1 - first_leaf)
        return cls(root, left, right, np.cumsum(splits.word_counts, dtype=np.int64) - splits.word_counts)


def _leaves(splits: Splits, links: _Links, numbers: Numbers, codes: Codes) -> Places:
    """Return ``(n, T)`` leaves, all paths going on together by a split a step."""
    place = np.tile(links.root, len(numbers))
    on_the_way = np.flatnonzero(place >= 0)
    while len(on_the_way):
        at = place[on_the_way]
        row = on_the_way // len(links.root)
        reads_code = splits.word_counts[at] > 0
        right = np.empty(len(at), np.bool_)
        right[~reads_code] = _number_goes_right(splits, numbers, row[~reads_code], at[~reads_code])
        right[reads_code] = _code_goes_right(splits, links.first_word, codes, row[reads_code], at[reads_code])
        place[on_the_way] = np.where(right, links.right[at], links.left[at])
        on_the_way = on_the_way[place[on_the_way] >= 0]
    return (-1 - place).reshape(len(numbers), -1)


def _number_goes_right(splits: Splits, numbers: Numbers, row: Places, split: Places) -> npt.NDArray[np.bool_]:
    number = numbers[row, splits.column[split] // 2]
    return np.where(np.isnan(number), splits.column[split] % 2 == 0, number > splits.threshold[split])


def _code_goes_right(
    splits: Splits, first_word: Places, codes: Codes, row: Places, split: Places
) -> npt.NDArray[np.bool_]:
    # The codes are the last features.
    code = codes[row, splits.column[split] // 2 - splits.num_features]
    word = code // 32
    inside = (word >= 0) & (word < splits.word_counts[split])
    bits = splits.words[first_word[split] + np.where(inside, word, 0)]
    return ~(inside & (bits >> (code % 32).astype(np.uint32) & 1 > 0))
