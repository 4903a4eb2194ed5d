import numpy as np
import pytest

from crossent.array_checks import check_logits_array, check_probs_array, check_target_array
from crossent.errors import ShapeError


def test_good_arrays_pass() -> None:
    check_logits_array("logits", np.zeros((0, 2), dtype=np.float32))
    check_logits_array("logits", np.full((3, 2), 3e38, dtype=np.float32))
    check_logits_array("logits", np.array([[1, 2]]))
    check_probs_array("probs", np.full((3, 1000), 1e-3, dtype=np.float32))
    check_target_array("target", np.array([0, 1], dtype=np.int32), 2, 2)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_logits_that_are_not_finite_are_named_by_row(bad: float) -> None:
    with pytest.raises(ShapeError, match=rf"new logits: .* finite. Row 1 holds {bad} for class 0"):
        check_logits_array("new logits", np.array([[0.0, 1.0], [bad, 0.0], [np.nan, 0.0]]))


@pytest.mark.parametrize("row", [[0.5, 0.4], [1.2, -0.2], [np.nan, 1.0], [3.0, -1.0]])
def test_rows_that_are_no_probabilities_are_named(row: list[float]) -> None:
    with pytest.raises(ShapeError, match="Row 1 is"):
        check_probs_array("probs", np.array([[0.5, 0.5], row]))


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((3, 1)), np.array([["a", "b"]])])
def test_other_shapes_and_dtypes_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"shape \(n, K\)"):
        check_logits_array("logits", values)


def test_bad_targets_get_one_error() -> None:
    with pytest.raises(ShapeError, match="They are float64"):
        check_target_array("target", np.zeros(2), 2, 2)
    with pytest.raises(ShapeError, match=r"shape is \(3,\)"):
        check_target_array("target", np.zeros(3, dtype=np.int64), 2, 2)
    with pytest.raises(ShapeError, match="0 rows"):
        check_target_array("target", np.zeros(0, dtype=np.int64), 0, 2)
    with pytest.raises(ShapeError, match=r"Row 1 holds 2\. Do they count from 1"):
        check_target_array("target", np.array([0, 2]), 2, 2)
    with pytest.raises(ShapeError, match=r"Row 1 holds 7\. Map the labels"):
        check_target_array("target", np.array([0, 7, 9]), 3, 2)
