import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossent.models.lightgbm_text import trees_of_text
from crossent.models.plain_trees import plain_scores
from crossent.models.trees import Trees
from tests.models.draw_trees import SPECIAL, draw_rows

FORMAT_1 = Path(__file__).parents[1] / "format_1" / "boosting"


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A model of LightGBM on drawn rows."""

    booster: lightgbm.Booster
    numbers: int

    @property
    def text(self) -> str:
        return str(self.booster.model_to_string())

    def scores(self, numbers: npt.NDArray[np.float32], codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        table = np.hstack([numbers, codes.astype(np.float32)])
        scores = self.booster.predict(table, raw_score=True, num_threads=1)
        return np.asarray(scores).reshape(len(table), -1)


def train(
    seed: int, rows: int, classes: int, numbers: int, cardinalities: list[int], leaves: int, rounds: int, **more: object
) -> Drawn:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, numbers)).round(int(rng.integers(3)))
    table = np.where(rng.random(table.shape) < 0.1, rng.choice(SPECIAL, table.shape), table)
    table[:, ::2] = np.where(np.isnan(table[:, ::2]), 0.5, table[:, ::2])
    codes = np.column_stack([rng.integers(size, size=rows) for size in cardinalities] or [np.empty((rows, 0))])
    target = rng.integers(classes, size=rows)
    parameters: dict[str, Any] = {
        "objective": "multiclass",
        "num_class": classes,
        "num_leaves": leaves,
        "min_data_in_leaf": 1,
        "min_data_per_group": 1,
        "cat_smooth": 0.1,
        "learning_rate": 0.3,
        "verbosity": -1,
        "num_threads": 1,
        "seed": seed % 2**31,
    }
    places = list(range(numbers, numbers + len(cardinalities)))
    data = lightgbm.Dataset(np.hstack([table, codes]).astype(np.float32), target, categorical_feature=places)
    return Drawn(lightgbm.train(parameters | more, data, rounds), numbers)


def assert_same(drawn: Drawn, seed: int, rows: int) -> None:
    trees = trees_of_text(drawn.text)
    numbers, codes = draw_rows(np.random.default_rng(seed), trees, rows, drawn.numbers)
    # LightGBM takes codes as float32.
    codes = np.clip(codes, -1, 2**24)
    expected = drawn.scores(numbers, codes) if rows else np.empty((0, trees.num_classes))
    assert trees.scores(numbers, codes).tobytes() == expected.tobytes()
    assert plain_scores(trees.splits, numbers, codes).tobytes() == expected.tobytes()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31 - 1),
    rows=st.sampled_from([3, 20, 200, 600]),
    classes=st.sampled_from([2, 3, 4, 11, 60]),
    numbers=st.integers(0, 4),
    cardinalities=st.lists(st.sampled_from([2, 5, 31, 33, 70, 300]), max_size=3),
    leaves=st.sampled_from([2, 3, 31, 200]),
    rounds=st.integers(1, 4),
)
def test_scores_are_those_of_lightgbm_to_the_bit(
    seed: int, rows: int, classes: int, numbers: int, cardinalities: list[int], leaves: int, rounds: int
) -> None:
    numbers = numbers if cardinalities else max(numbers, 1)
    drawn = train(seed, rows, classes, numbers, cardinalities, leaves, rounds)
    for new_rows in (0, 1, 7, 150):
        assert_same(drawn, seed, new_rows)


@functools.cache
def usual() -> Drawn:
    return train(0, 500, 3, 3, [5, 300], 31, 20)


def test_scores_of_many_rows() -> None:
    trees = trees_of_text(usual().text)
    numbers, codes = draw_rows(np.random.default_rng(0), trees, 100_000, usual().numbers)
    codes = np.clip(codes, -1, 2**24)
    assert trees.scores(numbers, codes).tobytes() == usual().scores(numbers, codes).tobytes()


@pytest.mark.parametrize("path", sorted(FORMAT_1.glob("*.txt")), ids=lambda path: path.name[:8])
def test_texts_of_saved_models_of_format_1(path: Path) -> None:
    # The rows had 4 numbers and 4 codes.
    assert_same(Drawn(lightgbm.Booster(model_str=path.read_text()), 4), 0, 200)


def test_codes_and_missing_numbers_are_read() -> None:
    trees = trees_of_text(usual().text)
    assert trees.num_features == 5
    assert set(trees.word_counts[trees.feature == 3].tolist()) == {1}
    assert trees.word_counts[trees.feature == 4].max() > 8
    assert trees.missing_left.any()
    assert not trees.missing_left[trees.word_counts == 0].all()


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"linear_tree": True}, "linear models"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "not one of boosted trees"),
        ({"zero_as_missing": True}, "of a kind that training does not use"),
    ],
)
def test_trees_of_other_kinds_are_refused(more: dict[str, object], match: str) -> None:
    text = train(0, 200, 3, 3, [], 8, 2, **more).text
    with pytest.raises(ValueError, match=match):
        trees_of_text(text)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"num_class=3", "num_class=1"),
        (r"num_class=3\nnum_tree_per_iteration=3", "num_class=1\nnum_tree_per_iteration=1"),
        (r"num_tree_per_iteration=3", "num_tree_per_iteration=0"),
        (r"num_tree_per_iteration=3", "num_tree_per_iteration=" + 5000 * "9"),
        (r"max_feature_idx=4", "max_feature_idx=3"),
        (r"max_feature_idx=4", "max_feature_idx=1e300"),
        (r"version=v4", "version=v5"),
        (r"^tree\n", "forest\n"),
        (r"split_feature=\d+", "split_feature=1000000"),
        (r"split_feature=\d+", "split_feature=-1"),
        (r"split_feature=\d+", "split_feature=0.5"),
        (r"split_feature=\d+", "split_feature=nan"),
        (r"right_child=-?\d+", "right_child=1000000"),
        (r"left_child=-?\d+", "left_child=0"),
        (r"left_child=-?\d+", "left_child=" + 400 * "9"),
        (r"left_child=.*\n", ""),
        (r"num_leaves=\d+", "num_leaves=255"),
        (r"num_leaves=\d+", "num_leaves=0"),
        (r"num_leaves=\d+", "num_leaves=x"),
        (r"leaf_value=.*\n", "leaf_value=\n"),
        (r"leaf_value=.*\n", ""),
        (r"leaf_value=\S+", "leaf_value=nan"),
        (r"leaf_value=\S+", "leaf_value=1e300"),
        (r"threshold=\S+", "threshold=nan"),
        (r"decision_type=\d+", "decision_type=64"),
        (r"num_cat=[1-9]\d*", "num_cat=0"),
        (r"num_cat=[1-9]\d*", "num_cat=1000000000"),
        (r"cat_boundaries=0 \d+", "cat_boundaries=0 1000000000"),
        (r"cat_boundaries=0", "cat_boundaries=1"),
        (r"cat_threshold=\d+", "cat_threshold=4294967296"),
        (r"cat_threshold=.*\n", ""),
        (r"Tree=1\n", "Tree=2\n"),
        (r"Tree=59\n(.+\n)+", ""),
        (r"end of trees", "end of"),
        (r"(?s)Tree=0.*end of trees", "end of trees"),
        (r"(?s)\nTree=30.*", ""),
        (r"(?s).*", ""),
        (r"is_linear=0", "is_linear=1"),
    ],
)
def test_damaged_text_is_refused(pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, usual().text, count=1)
    assert count
    with pytest.raises(ValueError, match=r"\w"):
        trees_of_text(text)


def test_mutated_text_is_refused_or_read_as_trees() -> None:
    rng = np.random.default_rng(0)
    text = train(0, 60, 2, 2, [40], 6, 2).text
    text = text[: text.index("feature_importances")]
    numbers = list(re.finditer(r"-?\d[\d.e+-]*", text))
    odd = ["-1", "0", "1", "2", "3", "31", "255", "1e9", "-1e300", "nan", "inf", "", "x", "4294967296", "0.5", "\0"]
    read = 0
    for i in range(600):
        if i % 2:
            match = numbers[rng.integers(len(numbers))]
            mutated = text[: match.start()] + str(rng.choice(odd)) + text[match.end() :]
        else:
            place = int(rng.integers(len(text)))
            kept = text[place + 1 :] if rng.random() < 0.9 else ""
            mutated = text[:place] + str(rng.choice(list("0123456789-=. \n\0é"))) + kept
        try:
            trees = trees_of_text(mutated)
        except ValueError:
            continue
        read += 1
        assert_finite(trees, rng)
    # Most numbers of the text are of no use for prediction.
    assert 100 < read < 500


def assert_finite(trees: Trees, rng: np.random.Generator) -> None:
    for width in range(trees.num_features + 1 if trees.num_features < 100 else 0):
        try:
            trees.check_widths(width, trees.num_features - width)
        except ValueError:
            continue
        rows = draw_rows(rng, trees, 20, width)
        assert np.isfinite(trees.scores(*rows)).all()
