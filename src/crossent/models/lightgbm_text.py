"""LightGBM's text form of trees, read without LightGBM: every size and index is checked before it is used.

**Shape.** ``T`` trees with ``S`` splits and ``T + S`` leaves in all; a text goes in, and arrays as those of `Trees`
come out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.models.trees import Trees

Array = npt.NDArray[np.float64]

# LightGBM treats numbers up to this distance from zero as zero.
_ZERO = np.float32(1e-35)
# Bits of a decision: a set of codes rather than a threshold, where missing numbers go, and which are missing.
_CATEGORICAL, _DEFAULT_LEFT, _MISSING, _MISSING_NAN = 1, 2, 12, 8
_DECISIONS = (_CATEGORICAL, _CATEGORICAL | _MISSING_NAN, 0, _DEFAULT_LEFT, _MISSING_NAN, _MISSING_NAN | _DEFAULT_LEFT)


# The largest index.
_MOST = 2**31 - 1
# Lines of a tree that hold a number for each split.
_SPLIT_LINES = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


@dataclass(frozen=True)
class _Lines:
    """The numbers of all trees as in the text, one tree after another.

    Attributes
    ----------
    leaf_counts, set_counts, word_counts
        Leaves, sets of codes and words of these in each tree.
    numbers
        The numbers of each line that prediction needs, by the name of the line.
    """

    leaf_counts: list[int]
    set_counts: list[int]
    word_counts: list[int]
    numbers: dict[str, list[str]]

    def add(self, fields: Mapping[str, str]) -> None:
        """Add a tree, whose lines must hold as many numbers as it says."""
        if fields.get("is_linear", "0") != "0":
            raise ValueError("the leaves of a tree are linear models, and not one value each")
        leaves = self._add_line(fields, "leaf_value")
        if not leaves or _whole(fields, "num_leaves") != leaves:
            raise ValueError("num_leaves is not the number of leaf values")
        if any(self._add_line(fields, name) != leaves - 1 for name in _SPLIT_LINES):
            raise ValueError("a line of a tree does not hold a number for each split")
        sets = _whole(fields, "num_cat")
        if sets and self._add_line(fields, "cat_boundaries") != sets + 1:
            raise ValueError("cat_boundaries does not hold the ends of num_cat sets")
        self.leaf_counts.append(leaves)
        self.set_counts.append(sets)
        self.word_counts.append(self._add_line(fields, "cat_threshold") if sets else 0)

    def _add_line(self, fields: Mapping[str, str], name: str) -> int:
        if name not in fields:
            raise ValueError(f"a tree has no {name}")
        numbers = fields[name].split()
        self.numbers[name] += numbers
        return len(numbers)

    def floats(self, name: str) -> Array:
        """Return the numbers of a line, of all trees."""
        return np.fromiter(map(float, self.numbers[name]), np.float64, len(self.numbers[name]))

    def integers(self, name: str, least: int, most: int) -> npt.NDArray[np.int64]:
        """Return the whole numbers of a line, of all trees."""
        numbers = self.floats(name)
        if not ((numbers == np.floor(numbers)) & (numbers >= least) & (numbers <= most)).all():
            raise ValueError(f"{name} holds whole numbers from {least} to {most}")
        return numbers.astype(np.int64)


def trees_of_text(text: str) -> Trees:
    """Return the trees of a text that LightGBM's ``Booster.model_to_string`` wrote.

    Their scores of float32 numbers and codes are those of ``Booster.predict(raw_score=True)`` to the bit: a float32
    number is at most a double threshold where it is at most the largest float32 number that is.

    Parameters
    ----------
    text
        Of version v4, boosted with gradients for two or more classes.

    Raises
    ------
    ValueError
        If it is not such a text, is damaged, or has trees of another kind: linear, averaged, or with zeros missing.
    """
    lines = iter(text.split("\n"))
    header = _header(lines)
    if header.get("") != "tree" or header.get("version") != "v4" or "average_output" in header:
        raise ValueError("the text is not one of boosted trees of version v4")
    classes = _whole(header, "num_tree_per_iteration")
    if _whole(header, "num_class") != classes:
        raise ValueError("each class has one tree in a round")
    names = (*_SPLIT_LINES, "leaf_value", "cat_boundaries", "cat_threshold")
    trees = _Lines([], [], [], {name: [] for name in names})
    for fields in _trees(lines):
        trees.add(fields)
    decision = trees.integers("decision_type", 0, max(_DECISIONS))
    if not np.isin(decision, _DECISIONS).all():
        raise ValueError("a decision is of a kind that training does not use")
    reads_code = decision & _CATEGORICAL > 0
    threshold = trees.floats("threshold")
    if np.isnan(threshold).any():
        raise ValueError("a threshold is not a number")
    word_counts = np.zeros(len(threshold), np.int32)
    word_counts[reads_code] = _word_counts(trees, threshold, reads_code)
    # Where training had no missing number, LightGBM takes one for 0.
    missing_left = np.where(decision & _MISSING == _MISSING_NAN, decision & _DEFAULT_LEFT > 0, threshold >= 0)
    return Trees(
        num_classes=classes,
        num_features=_whole(header, "max_feature_idx") + 1,
        leaf_counts=np.array(trees.leaf_counts, np.int32),
        feature=trees.integers("split_feature", 0, _MOST).astype(np.int32),
        threshold=np.where(reads_code, np.float32(0), _as_float32(threshold)),
        missing_left=missing_left & ~reads_code,
        left=trees.integers("left_child", -_MOST - 1, _MOST).astype(np.int32),
        right=trees.integers("right_child", -_MOST - 1, _MOST).astype(np.int32),
        word_counts=word_counts,
        words=trees.integers("cat_threshold", 0, 2**32 - 1).astype(np.uint32),
        values=trees.floats("leaf_value"),
    )


def _header(lines: Iterator[str]) -> dict[str, str]:
    """Return what the text begins with, its first line under an empty name."""
    return {"": next(lines, "")} | _fields(lines)


def _fields(lines: Iterator[str]) -> dict[str, str]:
    """Return the values of the lines up to an empty one."""
    fields = {}
    for line in lines:
        if not line:
            break
        name, _, value = line.partition("=")
        if name in fields:
            raise ValueError(f"{name[:80]!r} is there twice")
        fields[name] = value
    return fields


def _trees(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Yield the lines of each tree, by their names."""
    number = 0
    for line in lines:
        if line == "end of trees":
            return
        if line and line != f"Tree={number}":
            raise ValueError(f"tree {number} begins with {line[:80]!r}")
        if line:
            yield _fields(lines)
            number += 1
    raise ValueError("the trees have no end")


def _word_counts(trees: _Lines, threshold: Array, reads_code: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return how many words the set of each split that reads a code has."""
    sets = np.array(trees.set_counts, np.int64)
    tree = np.repeat(np.arange(len(sets)), np.array(trees.leaf_counts, np.int64) - 1)[reads_code]
    # Before the number of sets is used: there may be fewer than the text says.
    if not np.array_equal(np.bincount(tree, minlength=len(sets)), sets):
        raise ValueError("num_cat is not the number of splits that read a code")
    if not np.array_equal(threshold[reads_code], np.arange(len(tree)) - (np.cumsum(sets) - sets)[tree]):
        raise ValueError("the splits of a tree that read a code have sets 0, 1, 2, ... in this order")
    ends = trees.integers("cat_boundaries", 0, _MOST)
    some = sets > 0
    last = np.cumsum(sets[some] + 1) - 1
    first = last - sets[some]
    counts = np.delete(np.diff(ends), last[:-1])
    if ends[first].any() or not np.array_equal(ends[last], np.array(trees.word_counts)[some]) or (counts < 1).any():
        raise ValueError("cat_boundaries rise from 0 to the number of words")
    return counts


def _as_float32(threshold: Array) -> npt.NDArray[np.float32]:
    """Return the thresholds that float32 numbers are up to where LightGBM takes them for no more than these."""
    with np.errstate(over="ignore"):
        nearest = threshold.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    rounded = np.where(nearest.astype(np.float64) > threshold, below, nearest)
    # Numbers near zero are all on the side of zero.
    near = np.abs(threshold) <= float(_ZERO)
    return np.where(near, np.where(threshold >= 0, _ZERO, np.nextafter(-_ZERO, np.float32(-np.inf))), rounded)


def _whole(fields: Mapping[str, str], name: str) -> int:
    """Return the number of a line, which is not negative."""
    number = fields.get(name, "")
    if not (number.isascii() and number.isdigit() and len(number) <= len(str(_MOST)) and int(number) <= _MOST):
        raise ValueError(f"{name} is {number[:80]!r} and not a whole number")
    return int(number)
