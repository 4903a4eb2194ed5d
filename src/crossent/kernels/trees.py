"""The kernels of decision trees: scores of many rows, by ctypes and NumPy, without torch."""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.library import info, open_library

# The int32 numbers of a node in the kernel: column, key, leaf before, two children.
_NODE = 5
# A node of a walk as the kernel has it.
_WALK_NODE = np.dtype([("key", np.int32), ("column", np.uint16), ("child", np.uint16)])
_CATEGORY_SPLIT = np.dtype([("column", np.int32), ("words", np.int32), ("first_word", np.int64)])


class _Forest(ctypes.Structure):
    """The struct of the same name in trees.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("trees", "classes", "columns", "most_categories", "most_splits")),
        *((name, ctypes.c_void_p) for name in ("column_features", "first_node", "first_category", "words")),
        *((name, ctypes.c_void_p) for name in ("root", "nodes", "walk_nodes", "categories", "values")),
    )


class _TreeArrangement(ctypes.Structure):
    """The struct of the same name in trees.h."""

    _fields_ = (
        ("forest", _Forest),
        *((name, ctypes.c_void_p) for name in ("column", "threshold", "left", "right", "word_counts", "values")),
    )


class _TreeProblem(ctypes.Structure):
    """The struct of the same name in trees.h."""

    _fields_ = (
        ("forest", _Forest),
        *((name, ctypes.c_int64) for name in ("rows", "numbers", "codes")),
        *((name, ctypes.c_void_p) for name in ("number_values", "code_values", "scores")),
    )


@dataclass(frozen=True, eq=False)
class Splits:
    """Trees that `crossent.models.trees.Trees` has checked, because the kernel trusts what it reads.

    Attributes
    ----------
    classes
        Tree i adds to class i % classes.
    num_features
        Numbers and codes of a row.
    leaf_counts
        ``(T,)`` int32 leaves of each tree, one more than its splits.
    column
        ``(S,)`` int32: twice the feature of each split, plus one where missing numbers go left.
    threshold
        ``(S,)`` float32.
    left, right
        ``(S,)`` int32: a later split of the same tree, or ~ of a leaf.
    word_counts
        ``(S,)`` int32: 32-bit words of the set of codes that go left; 0 for splits of numbers.
    words
        uint32 words of all sets.
    values
        float64 of all leaves.
    """

    classes: int
    num_features: int
    leaf_counts: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    word_counts: npt.NDArray[np.int32]
    words: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees as the kernel takes them."""

    classes: int
    most_categories: int
    most_splits: int
    column_features: npt.NDArray[np.int32]
    first_node: npt.NDArray[np.int64]
    first_category: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint32]
    root: npt.NDArray[np.int32]
    nodes: npt.NDArray[np.int32]
    walk_nodes: npt.NDArray[np.void]
    categories: npt.NDArray[np.void]
    values: npt.NDArray[np.float64]


def arrange(splits: Splits) -> Forest:
    """Return trees as the kernel takes them."""
    first_node = _begins(splits.leaf_counts - 1)
    first_category = _begins(splits.word_counts > 0)[first_node]
    column_features, column = np.unique(splits.column, return_inverse=True)
    forest = Forest(
        classes=splits.classes,
        most_categories=int(np.diff(first_category).max()),
        most_splits=int(splits.leaf_counts.max()) - 1,
        column_features=column_features,
        first_node=first_node,
        first_category=first_category,
        words=np.ascontiguousarray(splits.words),
        root=np.empty(len(splits.leaf_counts), np.int32),
        nodes=np.empty((len(column), _NODE), np.int32),
        walk_nodes=np.empty(2 * len(column) + len(splits.leaf_counts), _WALK_NODE),
        categories=np.empty(int(first_category[-1]), _CATEGORY_SPLIT),
        values=np.empty(len(splits.values)),
    )
    arrays = (
        column.astype(np.int32),
        *map(np.ascontiguousarray, (splits.threshold, splits.left, splits.right, splits.word_counts, splits.values)),
    )
    arrangement = _TreeArrangement(_struct(forest), *(array.ctypes.data for array in arrays))
    _kernels().arrange(ctypes.byref(arrangement))
    return forest


def add_scores(
    forest: Forest, numbers: npt.NDArray[np.float32], codes: npt.NDArray[np.int32], scores: npt.NDArray[np.float64]
) -> None:
    """Add the value of the leaf of each row in each tree to ``(n, K)`` scores, in one thread.

    Parameters
    ----------
    forest
        The trees. The caller has checked that splits of numbers read features of `numbers`, and those of codes the
        ones that follow.
    numbers, codes
        Contiguous ``(n, p)`` and ``(n, q)``.
    scores
        Contiguous.
    """
    problem = _TreeProblem(
        _struct(forest),
        len(numbers),
        numbers.shape[1],
        codes.shape[1],
        *(array.ctypes.data for array in (numbers, codes, scores)),
    )
    _kernels().predict(ctypes.byref(problem))


def _begins(counts: npt.NDArray[np.int32] | npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    begins = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=begins[1:])
    return begins


def _struct(forest: Forest) -> _Forest:
    arrays = (forest.column_features, forest.first_node, forest.first_category, forest.words)
    written = (forest.root, forest.nodes, forest.walk_nodes, forest.categories, forest.values)
    return _Forest(
        len(forest.root),
        forest.classes,
        len(forest.column_features),
        forest.most_categories,
        forest.most_splits,
        *(array.ctypes.data for array in (*arrays, *written)),
    )


@dataclass(frozen=True)
class _Kernels:
    arrange: Callable[..., None]
    predict: Callable[..., None]


@functools.cache
def _kernels() -> _Kernels:
    library = open_library(_TreeArrangement, _TreeProblem)
    library.crossent_tree_kernels.restype = ctypes.POINTER(ctypes.c_void_p * 2)
    arrange_kernel, predict_kernel = library.crossent_tree_kernels(info().level.encode()).contents
    return _Kernels(
        ctypes.CFUNCTYPE(None, ctypes.POINTER(_TreeArrangement))(arrange_kernel),
        ctypes.CFUNCTYPE(None, ctypes.POINTER(_TreeProblem))(predict_kernel),
    )
