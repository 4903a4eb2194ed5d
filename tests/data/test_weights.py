import numpy as np
import pandas as pd
import pytest

from crossent.data.read import read
from crossent.data.weights import read_weights, unusual_weights
from crossent.errors import DataError
from tests.conftest import draw_table


def table(weights: list[object]) -> pd.DataFrame:
    return draw_table(len(weights)).assign(w=weights)


def test_a_column_of_weights_is_no_feature_and_goes_with_its_rows() -> None:
    weights = [0.5, 2, 0, 1] * 10
    frame = table(weights)
    dataset = read(frame, "label", weight="w")
    assert dataset.weight is not None
    assert dataset.weight.tolist() == [0.5, 2.0, 1.0] * 10
    assert "w" not in [column.name for column in dataset.columns]
    np.testing.assert_array_equal(dataset.frame["size"], frame["size"][np.array(weights) > 0])
    assert dataset.take(np.array([1, 0])).weight == pytest.approx([2.0, 0.5])
    assert any("10 rows have weight 0 in 'w'" in note for note in dataset.notes)


def test_a_dataset_with_rows_of_weight_zero_is_one_without_them() -> None:
    frame = table([1, 0, 1, 1] * 10)
    dataset, expected = read(frame, "label", weight="w"), read(frame[frame["w"] > 0].drop(columns="w"), "label")
    assert dataset.weight is None
    pd.testing.assert_frame_equal(dataset.frame.reset_index(drop=True), expected.frame)
    assert dataset.classes == expected.classes


def test_the_prior_is_by_weight() -> None:
    frame = pd.DataFrame({"x": np.arange(4.0), "y": list("aabb"), "w": [1.0, 1.0, 1.0, 5.0]})
    assert read(frame, "y", weight="w").prior == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf, "many", 1e300, 1e-300])
def test_a_weight_that_is_none_is_named(bad: object) -> None:
    with pytest.raises(DataError, match="in row 3"):
        read(table([1.0, 2.0, bad, 1.0] * 10), "label", weight="w")


def test_the_target_is_no_column_of_weights_and_booleans_are_weights() -> None:
    with pytest.raises(DataError, match="in two columns"):
        read(draw_table(30).assign(label=np.arange(30) % 3), "label", weight="label")
    assert read_weights(pd.Series([True, False, True], name="w"))[0].tolist() == [1.0, 0.0, 1.0]


def test_weights_that_are_all_zero_are_refused() -> None:
    with pytest.raises(DataError, match="All in 'w' are 0"):
        read(table([0.0] * 20), "label", weight="w")


def test_weights_may_be_texts_and_odd_sums_are_told() -> None:
    assert read_weights(pd.Series([0.1, 0.1, 0.8], name="w"))[0] == pytest.approx([0.3, 0.3, 2.4])
    weight, notes = read_weights(pd.Series(["0.001", "0.003"], name="w"))
    assert weight.tolist() == [0.001, 0.003]
    assert "multiply them by 500" in notes[0]
    assert "divide the weights by 1,500" in unusual_weights(np.full(10, 1500.0))[0]
    assert not unusual_weights(np.array([0.2, 3.0]))
