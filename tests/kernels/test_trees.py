import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.kernels import info
from crossent.kernels.trees import add_scores, arrange
from crossent.models.plain_trees import plain_scores
from crossent.models.trees import Trees
from tests.models.draw_trees import draw_rows, draw_trees

pytestmark = pytest.mark.skipif(not info().available, reason="there are no kernels here")


def assert_same(rng: np.random.Generator, trees: Trees, rows: int, numbers: int) -> None:
    values, codes = draw_rows(rng, trees, rows, numbers)
    scores = np.zeros((rows, trees.num_classes))
    add_scores(arrange(trees.splits), values, codes, scores)
    assert scores.tobytes() == plain_scores(trees.splits, values, codes).tobytes()


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 150),
    classes=st.integers(2, 12),
    rounds=st.integers(1, 4),
    most_leaves=st.sampled_from([1, 2, 31, 100]),
    numbers=st.integers(0, 3),
    codes=st.integers(0, 3),
)
def test_the_kernel_scores_as_numpy_does(
    seed: int, rows: int, classes: int, rounds: int, most_leaves: int, numbers: int, codes: int
) -> None:
    rng = np.random.default_rng(seed)
    most_leaves = most_leaves if numbers + codes else 1
    leaf_counts = rng.integers(1, most_leaves + 1, size=classes * rounds).tolist()
    trees = draw_trees(rng, leaf_counts, classes, max(numbers, 1) if not codes else numbers, codes)
    assert_same(rng, trees, rows, trees.num_features - codes)


@pytest.mark.parametrize("leaves", [512, 513, 514, 3000])
def test_trees_of_many_leaves(leaves: int) -> None:
    rng = np.random.default_rng(leaves)
    for _ in range(6):
        assert_same(rng, draw_trees(rng, [leaves, 1, 40, leaves], 2, 2, 2), 100, 2)


def test_every_number_of_rows_about_a_block() -> None:
    rng = np.random.default_rng(0)
    trees = draw_trees(rng, [31] * 9, 3, 2, 1)
    for rows in (*range(40), 63, 64, 65, 75, 76, 127, 128, 129, 139, 140, 141, 257):
        assert_same(rng, trees, rows, 2)


def test_rows_of_many_columns_that_are_not_read() -> None:
    rng = np.random.default_rng(0)
    assert_same(rng, draw_trees(rng, [4, 3], 2, 5000, 5000), 70, 5000)


@pytest.mark.parametrize("trees_of_a_group", [1, 7, 8, 9, 17])
@pytest.mark.parametrize("codes", [0, 1, 6])
def test_groups_of_trees_with_few_and_with_many_categorical_splits(trees_of_a_group: int, codes: int) -> None:
    rng = np.random.default_rng(trees_of_a_group)
    # Of seven features, so that about a seventh of the splits are categorical, or most of them, or none.
    trees = draw_trees(rng, rng.integers(1, 32, size=2 * trees_of_a_group).tolist(), 2, 7 - codes, codes)
    assert_same(rng, trees, 11, 7 - codes)


@pytest.mark.parametrize(
    ("leaf_counts", "numbers"),
    [
        ([32_768, 3], 2),
        ([32_769, 3], 2),
        pytest.param([30_000, 30_000, 30_000, 3], 500_000, marks=pytest.mark.slow),
    ],
)
def test_trees_whose_splits_or_columns_have_numbers_of_more_than_16_bits(leaf_counts: list[int], numbers: int) -> None:
    rng = np.random.default_rng(0)
    assert_same(rng, draw_trees(rng, leaf_counts, 2, numbers, 2), 3, numbers)
