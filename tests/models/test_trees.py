import dataclasses
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from crossent.kernels import info
from crossent.models import trees as module
from crossent.models.plain_trees import plain_scores
from crossent.models.trees import Trees
from tests.models.draw_trees import draw_rows, draw_trees


def by_hand() -> Trees:
    """Two classes; the first tree reads a number and then a code, the second has one leaf."""
    return Trees(
        num_classes=2,
        num_features=2,
        leaf_counts=np.array([3, 1], np.int32),
        feature=np.array([0, 1], np.int32),
        threshold=np.array([0.5, 0], np.float32),
        missing_left=np.array([False, False]),
        left=np.array([-1, -2], np.int32),
        right=np.array([1, -3], np.int32),
        word_counts=np.array([0, 2], np.int32),
        words=np.array([0b10, 0b1], np.uint32),
        values=np.array([10.0, 20.0, 30.0, 7.0]),
    )


@pytest.mark.parametrize(
    ("number", "code", "score"),
    [
        (0.5, 0, 10),
        (0.6, 1, 20),
        (0.6, 32, 20),
        (0.6, 0, 30),
        (0.6, 33, 30),
        (0.6, 64, 30),
        (0.6, -31, 30),
        (-np.inf, 1, 10),
        (np.inf, 1, 20),
        (np.nan, 1, 20),
        (np.nan, 2, 30),
    ],
)
def test_scores_by_hand(number: float, code: int, score: float) -> None:
    row = np.array([[number]], np.float32), np.array([[code]], np.int32)
    for scores in (by_hand().scores(*row), plain_scores(by_hand().splits, *row)):
        assert scores.tolist() == [[score, 7]]


def edited(name: str, position: int, value: Any) -> dict[str, Any]:
    array = getattr(by_hand(), name).copy()
    array[position] = value
    return {name: array}


@pytest.mark.parametrize(
    "change",
    [
        {"num_classes": 1},
        {"num_classes": 0},
        {"num_classes": -2},
        {"num_classes": 3},
        {"num_classes": 2**40},
        {"num_features": -1},
        {"num_features": 1},
        {"num_features": 2**40},
        {"leaf_counts": np.array([], np.int32)},
        {"leaf_counts": np.array([3, 1], np.int64)},
        {"leaf_counts": np.array([[3, 1]], np.int32)},
        {"leaf_counts": np.array([2, 2], np.int32)},
        {"leaf_counts": np.array([4, 0], np.int32)},
        {"leaf_counts": np.array([5, -1], np.int32)},
        {"leaf_counts": np.array([2**31 - 1, 2**31 - 1], np.int32)},
        {"feature": np.array([0, 1], np.int64)},
        {"feature": np.array([0], np.int32)},
        {"feature": np.array([[0], [1]], np.int32)},
        edited("feature", 0, -1),
        edited("feature", 0, 2),
        edited("feature", 0, 1),
        edited("feature", 1, 0),
        {"feature": np.array([1, 0], np.int32)},
        edited("threshold", 0, np.nan),
        edited("threshold", 1, 1.0),
        edited("missing_left", 1, True),
        {"missing_left": np.array([0, 0], np.int8)},
        edited("left", 0, 0),
        edited("left", 0, 1),
        edited("left", 0, -4),
        edited("left", 0, -2),
        edited("left", 0, -(2**31)),
        edited("left", 1, 0),
        edited("left", 1, 1),
        edited("right", 0, 0),
        edited("right", 0, 2),
        edited("right", 0, 2**31 - 1),
        edited("right", 0, -3),
        edited("right", 1, -4),
        edited("right", 1, -2),
        edited("word_counts", 0, 1),
        edited("word_counts", 0, -1),
        edited("word_counts", 1, 0),
        edited("word_counts", 1, 3),
        edited("word_counts", 1, 2**31 - 1),
        {"word_counts": np.array([-1, 3], np.int32)},
        {"words": np.array([2], np.uint32)},
        {"words": np.array([2, 1], np.int32)},
        edited("values", 0, np.nan),
        edited("values", 1, np.inf),
        edited("values", 3, -1e300),
        {"values": np.array([10.0, 20.0, 30.0])},
        {"values": np.array([10.0, 20.0, 30.0, 7.0], np.float32)},
    ],
)
def test_what_is_no_tree_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        dataclasses.replace(by_hand(), **change)


def test_changed_numbers_are_refused_or_scored_the_same_by_both() -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        trees = draw_trees(rng, [5, 1, 9, 3], 2, 2, 2)
        field = rng.choice(["feature", "left", "right", "word_counts", "leaf_counts", "values", "threshold", "words"])
        array: npt.NDArray[Any] = getattr(trees, field).copy()
        bits = array.view(f"u{array.itemsize}")
        if not len(bits):
            continue
        bits[rng.integers(len(bits))] ^= np.array(1, bits.dtype) << rng.integers(8 * bits.itemsize).astype(bits.dtype)
        try:
            trees = dataclasses.replace(trees, **{field: array})
        except ValueError:
            refused += 1
            continue
        rows = draw_rows(rng, trees, 30, 2)
        scores = trees.scores(*rows)
        assert np.isfinite(scores).all()
        assert scores.tobytes() == plain_scores(trees.splits, *rows).tobytes()
    assert 100 < refused < 450


@pytest.mark.parametrize(("numbers", "codes"), [(2, 0), (0, 2), (2, 1), (1, 0), (0, 0)])
def test_rows_of_other_widths_are_refused(numbers: int, codes: int) -> None:
    with pytest.raises(ValueError, match="the trees read 2 features"):
        by_hand().scores(np.zeros((3, numbers), np.float32), np.zeros((3, codes), np.int32))


def test_numbers_that_do_not_lie_side_by_side_are_read_as_they_are() -> None:
    rng = np.random.default_rng(0)
    trees = draw_trees(rng, [20] * 4, 2, 3, 2)
    numbers, codes = draw_rows(rng, trees, 90, 3)
    expected = trees.scores(numbers, codes)
    assert trees.scores(np.asfortranarray(numbers), np.asfortranarray(codes)).tobytes() == expected.tobytes()
    assert trees.scores(numbers[::3], codes[::3]).tobytes() == expected[::3].tobytes()


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    trees = draw_trees(rng, [20] * 4, 2, 3, 2)
    rows = draw_rows(rng, trees, 1001, 3)
    expected = trees.scores(*rows)
    monkeypatch.setattr(module, "SPLITS_FOR_THREADS", 1)
    monkeypatch.setattr(module, "processors", lambda: 3)
    assert trees.scores(*rows).tobytes() == expected.tobytes()


@pytest.mark.skipif(not info().available, reason="there are no kernels here")
def test_trees_that_have_predicted_can_be_pickled() -> None:
    rng = np.random.default_rng(0)
    trees = draw_trees(rng, [20] * 4, 2, 3, 2)
    rows = draw_rows(rng, trees, 50, 3)
    scores = trees.scores(*rows)
    assert pickle.loads(pickle.dumps(trees)).scores(*rows).tobytes() == scores.tobytes()
