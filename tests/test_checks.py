import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import crossent as ce
from crossent.checks import (
    check_choice,
    check_class_indices,
    check_class_mask,
    check_logits,
    check_number,
    check_per_class,
    check_per_row,
    check_target,
)
from crossent.errors import SettingError, ShapeError


@pytest.mark.parametrize("logits", [torch.tensor([1, 2]), torch.tensor(1.0), torch.tensor([1j])])
def test_logits_are_floating_and_have_classes(logits: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="floating"):
        check_logits(logits)


@pytest.mark.parametrize(
    ("logits", "target"), [((3, 4), (3,)), ((3, 4, 5), (3, 5)), ((4,), ()), ((2, 4, 5, 6), (2, 5, 6)), ((0, 4), (0,))]
)
def test_right_targets_pass(logits: tuple[int, ...], target: tuple[int, ...]) -> None:
    for dtype in (torch.int64, torch.int32, torch.uint8):
        check_target(torch.zeros(logits), torch.zeros(target, dtype=dtype))
    check_target(torch.zeros(logits), torch.zeros(logits, dtype=torch.float64))


def test_first_bad_index_is_named_by_place_and_value() -> None:
    with pytest.raises(ShapeError, match=r"target\[1, 0\] is 7 with K = 3"):
        check_class_indices(torch.tensor([[0, 1], [7, 9]]), 3)
    with pytest.raises(ShapeError, match=r"target is -2 with K = 3"):
        check_class_indices(torch.tensor(-2), 3)
    check_class_indices(torch.tensor([0, 1, 2]), 3)


def test_tensors_of_one_value_a_class_or_row() -> None:
    check_per_class("class_weight", torch.ones(3), 3)
    with pytest.raises(ShapeError, match=r"class_weight.*3 classes.*\(1, 3\)"):
        check_per_class("class_weight", torch.ones(1, 3), 3)
    check_per_row("sample_weight", torch.ones(2, 5), torch.Size([2, 5]))
    with pytest.raises(ShapeError, match=r"sample_weight.*\(2, 5\).*\(2,\)"):
        check_per_row("sample_weight", torch.ones(2), torch.Size([2, 5]))


def test_class_mask_is_boolean_for_all_rows_or_each() -> None:
    logits = torch.zeros(2, 3)
    for shape in ((3,), (2, 3)):
        check_class_mask(torch.ones(shape, dtype=torch.bool), logits, 3)
        with pytest.raises(ShapeError, match=r"float32"):
            check_class_mask(torch.ones(shape), logits, 3)
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        check_class_mask(torch.ones(2, dtype=torch.bool), logits, 3)


@pytest.mark.parametrize("value", [math.nan, -0.1, 1.1, math.inf])
def test_numbers_outside_their_bounds(value: float) -> None:
    with pytest.raises(SettingError, match=f"share is from 0 to 1. It is {value}"):
        check_number("share", value, 0, 1)
    check_number("share", 1.0, 0, 1)


@pytest.mark.parametrize("value", [math.nan, -0.1, math.inf])
def test_numbers_without_an_upper_bound(value: float) -> None:
    with pytest.raises(SettingError, match="at least 0"):
        check_number("share", value, 0)
    check_number("share", 0.0, 0)


def test_choices_are_listed() -> None:
    check_choice("reduction", "sum", ("mean", "sum"))
    with pytest.raises(SettingError, match=r"mean, sum.*'summ'"):
        check_choice("reduction", "summ", ("mean", "sum"))


LOSSES = {
    "cross_entropy": lambda given: ce.cross_entropy(given.pop("logits"), given.pop("target"), **given),
    "cross_entropy_and_grad": lambda given: ce.cross_entropy_and_grad(
        given.pop("logits"), given.pop("target"), **given
    ),
    "linear_cross_entropy": lambda given: ce.linear_cross_entropy(
        given.pop("logits"), torch.ones(3, 3), given.pop("target"), **given
    ),
    "module": lambda given: ce.nn.CrossEntropyLoss(
        **{name: value for name, value in given.items() if name not in {"logits", "target", *BY_ROW}}
    )(given["logits"], given["target"], **{name: given[name] for name in BY_ROW if name in given}),
}
BY_CLASS = ("class_weight", "log_prior")
BY_ROW = ("sample_weight", "class_mask")
TENSORS = {
    "logits": torch.zeros(2, 3),
    "target": torch.tensor([0, 2]),
    "class_weight": torch.ones(3),
    "sample_weight": torch.ones(2),
    "log_prior": torch.zeros(3),
    "class_mask": torch.ones(3, dtype=torch.bool),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("as_other", [torch.Tensor.tolist, torch.Tensor.numpy, str])
def test_lists_and_arrays_are_values_of_classes_and_in_the_place_of_other_tensors_one_clear_error(
    loss: str, name: str, as_other: Callable[[torch.Tensor], object]
) -> None:
    given: dict[str, Any] = {"logits": TENSORS["logits"], "target": TENSORS["target"], name: as_other(TENSORS[name])}
    if name in BY_CLASS and as_other is not str:
        expected = LOSSES[loss](dict(given) | {name: TENSORS[name]})
        torch.testing.assert_close(LOSSES[loss](given), expected)
        return
    with pytest.raises(ShapeError, match=r"is a torch tensor\. It is a (list|numpy\.ndarray|str)\. Convert it"):
        LOSSES[loss](given)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["softcap", "temperature", "label_smoothing", "z_loss", "focal_gamma", "normalizer"])
@pytest.mark.parametrize("value", ["3", [1.0], 1j, torch.ones(2)])
def test_settings_that_are_no_numbers_are_one_clear_error(loss: str, name: str, value: object) -> None:
    with pytest.raises(SettingError, match=name):
        LOSSES[loss]({**TENSORS, name: value})


def test_one_hot_takes_tensors() -> None:
    for make in (lambda: ce.one_hot([0, 1], 2), lambda: ce.smooth_labels(np.array([0, 1]), 2, 0.1)):
        with pytest.raises(ShapeError, match="target is a torch tensor"):
            make()
