"""Decision trees as frozen arrays; every index is checked, so that the kernel can trust what it reads.

**Shape.** ``n`` rows, ``K`` classes, ``T`` trees with ``S`` splits and ``T + S`` leaves in all: numbers ``(n, p)`` and
codes ``(n, q)`` go in; scores ``(n, K)`` come out.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.library import info
from crossent.kernels.trees import Forest, Splits, add_scores, arrange
from crossent.lazy import lazy_property
from crossent.models.plain_trees import plain_scores
from crossent.threads import processors
from crossent.value_checks import LARGEST_LOGIT

# A code is below 2**31, so that no set of codes needs more words.
MOST_WORDS = 2**26
MOST_FEATURES = 2**30
# With fewer splits over all rows, starting a second thread takes longer than it saves.
SPLITS_FOR_THREADS = 1 << 24


@dataclass(frozen=True, eq=False)
class Trees:
    """Decision trees, whose scores are summed for each class.

    A row begins at the first split of a tree, which reads a number or the code of a category, and goes left or right
    until it reaches a leaf, whose value it gets. Numbers are the first features, codes the others.

    Attributes
    ----------
    num_classes
        K. Tree i adds to class i % K, and each class has as many trees as the others.
    num_features
        Numbers and codes that rows have.
    leaf_counts
        ``(T,)`` leaves of each tree; it has one split less. The splits of the trees follow one another, and so do their
        leaves.
    feature
        ``(S,)`` what each split reads.
    threshold
        ``(S,)`` numbers up to it go left; 0 where a code is read.
    missing_left
        ``(S,)`` whether a missing number goes left; False where a code is read.
    left, right
        ``(S,)`` where rows go: to a later split of the same tree, by its number in it, or to leaf i as -1 - i.
    word_counts
        ``(S,)`` of a split that reads a code: words of the set of codes that go left, all others going right. 0 where
        a number is read.
    words
        The words of all sets: code c is bit c % 32 of word c // 32 of its set.
    values
        ``(T + S,)`` of all leaves.

    Raises
    ------
    ValueError
        If an array has a wrong shape or dtype, an index leads out of its array, or a split or leaf is not reached by
        one path exactly.

    Examples
    --------
    A number decides in the tree of the first class; the tree of the second class has no split:

    >>> of_split = {"feature": 0, "left": -1, "right": -2, "word_counts": 0}
    >>> trees = Trees(
    ...     num_classes=2,
    ...     num_features=1,
    ...     leaf_counts=np.array([2, 1], np.int32),
    ...     threshold=np.array([0.5], np.float32),
    ...     missing_left=np.array([True]),
    ...     words=np.empty(0, np.uint32),
    ...     values=np.array([-1.0, 2.0, 0.25]),
    ...     **{name: np.array([value], np.int32) for name, value in of_split.items()},
    ... )
    >>> trees.scores(np.array([[0.5], [0.6], [np.nan]], np.float32), np.empty((3, 0), np.int32))
    array([[-1.  ,  0.25],
           [ 2.  ,  0.25],
           [-1.  ,  0.25]])
    """

    num_classes: int
    num_features: int
    leaf_counts: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    missing_left: npt.NDArray[np.bool_]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    word_counts: npt.NDArray[np.int32]
    words: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_arrays()
        self._check_splits()
        self._check_links()
        largest = np.maximum.reduceat(np.abs(self.values), self._first_leaf[:-1])
        _require(
            float(largest.sum()) <= LARGEST_LOGIT, f"leaves have finite values that sum to {LARGEST_LOGIT} at most"
        )

    def _check_counts(self) -> None:
        _require(2 <= self.num_classes < 2**31, f"trees tell 2 or more classes apart, not {self.num_classes}")
        _require(0 <= self.num_features <= MOST_FEATURES, f"trees read some features, not {self.num_features}")
        counts = self.leaf_counts
        _require(counts.ndim == 1 and counts.dtype == np.int32, "the counts of leaves are int32 numbers")
        _require(len(counts) > 0 and len(counts) % self.num_classes == 0, "each class has as many trees as the others")
        _require(int(counts.min()) >= 1, "each tree has a leaf")

    def _check_arrays(self) -> None:
        splits = int(self.leaf_counts.sum(dtype=np.int64)) - len(self.leaf_counts)
        for name, dtype in _SPLIT_DTYPES.items():
            array = getattr(self, name)
            _require(array.dtype == dtype and array.shape == (splits,), f"{name} holds a {dtype} for each split")
        leaves = (splits + len(self.leaf_counts),)
        _require(self.values.dtype == np.float64 and self.values.shape == leaves, "values hold a float64 for each leaf")
        words = (int(self.word_counts.sum(dtype=np.int64)),)
        _require(self.words.dtype == np.uint32 and self.words.shape == words, "words hold those that splits count")

    def _check_splits(self) -> None:
        reads_code = self.word_counts > 0
        inside = (self.feature >= 0) & (self.feature < self.num_features)
        _require(bool(inside.all()), f"splits read one of the {self.num_features} features")
        counted = (self.word_counts >= 0) & (self.word_counts <= MOST_WORDS)
        _require(bool(counted.all()), f"a set of codes has at most {MOST_WORDS} words")
        _require(not np.isnan(self.threshold).any(), "thresholds are numbers")
        bare = (self.threshold == 0) & ~self.missing_left
        _require(bool(bare[reads_code].all()), "splits that read a code have no threshold")
        _require(self._last_number < self._first_code, "the features that are codes come after those that are numbers")

    def _check_links(self) -> None:
        """Check that exactly one path leads from the first split of a tree to each split and each leaf.

        Links lead only to later splits, so there is no cycle; then it is enough that each is linked to once.
        """
        splits = len(self.feature)
        trees = np.arange(len(self.leaf_counts))
        first_split = self._first_leaf[:-1] - trees
        tree = np.repeat(trees, self.leaf_counts - 1)
        within = np.arange(splits) - first_split[tree]
        leaves = self.leaf_counts[tree]
        # Splits are numbered by their places, and leaves after them; a tree of one leaf begins at it.
        reached = [np.where(self.leaf_counts > 1, first_split, splits + self._first_leaf[:-1])]
        for link in (self.left, self.right):
            good = np.where(link < 0, ~link < leaves, (link > within) & (link < leaves - 1))
            _require(bool(good.all()), "links lead to a later split or to a leaf of the same tree")
            reached.append(np.where(link < 0, splits + self._first_leaf[tree] + ~link, first_split[tree] + link))
        times = np.bincount(np.concatenate(reached), minlength=splits + len(self.values))
        _require(bool((times == 1).all()), "one path leads to each split and each leaf")

    @lazy_property
    def _first_leaf(self) -> npt.NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.leaf_counts, dtype=np.int64)])

    @lazy_property
    def _last_number(self) -> int:
        return int(self.feature[self.word_counts == 0].max(initial=-1))

    @lazy_property
    def _first_code(self) -> int:
        return int(self.feature[self.word_counts > 0].min(initial=self.num_features))

    def reads(self, numbers: int, codes: int) -> bool:
        """Say whether the trees read rows of this number of numbers and of codes."""
        return numbers + codes == self.num_features and self._last_number < numbers <= self._first_code

    def check_widths(self, numbers: int, codes: int) -> None:
        """Check that the trees read rows of this number of numbers and of codes.

        Raises
        ------
        ValueError
            If not.
        """
        _require(
            self.reads(numbers, codes),
            f"the trees read {self.num_features} features, of which the numbers are {self._last_number + 1} to "
            f"{self._first_code}, and there are {numbers} numbers and {codes} codes",
        )

    def scores(self, numbers: npt.NDArray[np.float32], codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Return ``(n, K)`` sums of the values of the leaves that rows lead to, in the order of the trees.

        Parameters
        ----------
        numbers, codes
            ``(n, p)`` and ``(n, q)``; NaN is missing.

        Raises
        ------
        ValueError
            If p and q are not the widths that the trees read.
        """
        self.check_widths(numbers.shape[1], codes.shape[1])
        numbers, codes = np.ascontiguousarray(numbers, np.float32), np.ascontiguousarray(codes, np.int32)
        if not info().available:
            return plain_scores(self.splits, numbers, codes)
        forest, scores = self._forest, np.zeros((len(numbers), self.num_classes))
        threads = processors() if len(numbers) * len(self.feature) >= SPLITS_FOR_THREADS else 1
        size = max(math.ceil(len(numbers) / threads), 1)
        parts = [slice(i, i + size) for i in range(0, len(numbers), size)]
        if len(parts) == 1:
            add_scores(forest, numbers, codes, scores)
            return scores
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: add_scores(forest, numbers[part], codes[part], scores[part]), parts))
        return scores

    @lazy_property
    def _forest(self) -> Forest:
        return arrange(self.splits)

    @property
    def splits(self) -> Splits:
        """The arrays as kernel and NumPy take them."""
        return Splits(
            classes=self.num_classes,
            num_features=self.num_features,
            leaf_counts=self.leaf_counts,
            column=2 * self.feature + self.missing_left,
            threshold=self.threshold,
            left=self.left,
            right=self.right,
            word_counts=self.word_counts,
            words=self.words,
            values=self.values,
        )


_SPLIT_DTYPES = {
    "feature": np.dtype(np.int32),
    "threshold": np.dtype(np.float32),
    "missing_left": np.dtype(np.bool_),
    "left": np.dtype(np.int32),
    "right": np.dtype(np.int32),
    "word_counts": np.dtype(np.int32),
}


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)
