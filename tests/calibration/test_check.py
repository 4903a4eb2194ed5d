import numpy as np
import pytest

from crossent.calibration.check import check_labels, check_logits
from crossent.errors import ShapeError


def test_good_input_passes() -> None:
    check_logits(np.zeros((3, 2), dtype=np.float32))
    check_logits(np.full((3, 2), 3e38, dtype=np.float32))
    check_labels(np.array([0, 1, 1], dtype=np.uint8), (3, 2))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_row_that_is_not_finite_is_named(value: float) -> None:
    logits = np.zeros((5, 3))
    logits[3:, 2] = value
    with pytest.raises(ShapeError, match=f"Row 3 holds {value} for class 2"):
        check_logits(logits)


def test_the_first_label_out_of_range_is_named() -> None:
    with pytest.raises(ShapeError, match=r"Row 1 has 7\. Map the labels"):
        check_labels(np.array([0, 7, 9]), (3, 2))
