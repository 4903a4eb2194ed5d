import pytest
import torch

from crossent.checks import check_class_indices, check_number
from crossent.errors import SettingError, ShapeError


def test_first_bad_index_is_named_by_place_and_value() -> None:
    target = torch.tensor([[0, 1], [7, 9]])
    with pytest.raises(ShapeError, match=r"target\[1, 0\] is 7"):
        check_class_indices(target, 3, None)
    check_class_indices(torch.tensor([0, -100, 2]), 3, -100)


def test_nan_is_out_of_any_bounds() -> None:
    with pytest.raises(SettingError, match="nan"):
        check_number("share", float("nan"), 0, 1)
