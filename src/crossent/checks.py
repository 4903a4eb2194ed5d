"""Checks at public boundaries: shape, dtype and range of tensors and settings, each with one clear error.

No check reads the values of a tensor in a correct call: on a GPU it would have to wait for the device, and under
`torch.func.vmap` there is no single value to read. Values are read only to explain a failure that has already happened.
"""

import math
import operator
from typing import SupportsIndex

import torch
from torch import Tensor

from crossent.errors import SettingError, ShapeError


def check_tensor(name: str, value: object) -> None:
    """Check that a value is a tensor and not a list or an array; nothing is converted without the caller's knowledge.

    Raises
    ------
    ShapeError
        If it is something else.
    """
    if not isinstance(value, Tensor):
        module = type(value).__module__
        kind = type(value).__name__ if module == "builtins" else f"{module}.{type(value).__name__}"
        raise ShapeError(f"{name} is a torch tensor.", f"It is a {kind}.", "Convert it: torch.as_tensor(values).")


def check_logits(logits: Tensor) -> None:
    """Check that a tensor can hold logits.

    Raises
    ------
    ShapeError
        Unless it is floating and has a dimension.
    """
    check_tensor("logits", logits)
    if not logits.is_floating_point() or not logits.ndim:
        raise ShapeError(
            "Logits are floating, with a dimension for the classes.",
            f"They are {logits.dtype} of shape {tuple(logits.shape)}.",
            "Give the raw scores of the model.",
        )


def check_target(logits: Tensor, target: Tensor) -> None:
    """Check that a target fits logits of shape (n, K), (n, K, ...) or (K,).

    Raises
    ------
    ShapeError
        Unless it holds whole-number class indices in the logits' shape without K, or a floating distribution in
        exactly the logits' shape; or if K is 0.
    """
    check_logits(logits)
    check_tensor("target", target)
    if (
        target.dtype == torch.int64
        and logits.ndim == 2
        and target.ndim == 1
        and len(target) == len(logits)
        and logits.shape[1]
    ):
        return
    shape = logits.shape[:1] + logits.shape[2:] if logits.ndim > 1 else logits.shape[:0]
    if logits.shape[min(logits.ndim - 1, 1)] == 0:
        raise ShapeError(
            "Logits are for at least one class.", f"Their shape is {tuple(logits.shape)}.", "Add the classes."
        )
    if target.is_floating_point() and target.shape != logits.shape:
        raise ShapeError(
            "A floating target is a distribution, of the same shape as the logits.",
            f"It has shape {tuple(target.shape)}, the logits {tuple(logits.shape)}.",
            _fix_of_distribution(target, shape),
        )
    whole = not (target.is_floating_point() or target.is_complex() or target.dtype == torch.bool)
    if not target.is_floating_point() and (target.shape != shape or not whole):
        raise ShapeError(
            f"For logits of shape {tuple(logits.shape)}, class indices are whole numbers of shape {tuple(shape)}.",
            f"The target is {target.dtype} of shape {tuple(target.shape)}.",
            _fix_of_indices(logits, target, shape),
        )


def _fix_of_distribution(target: Tensor, shape: torch.Size) -> str:
    if target.shape == shape:
        return "Are these class indices? Convert them: target.long()."
    if target.shape == (*shape, 1):
        return "Are these class indices? Convert them: target.squeeze(-1).long()."
    return "Give one probability for each class."


def _fix_of_indices(logits: Tensor, target: Tensor, shape: torch.Size) -> str:
    if target.shape == logits.shape:
        return "Is it one-hot? Use target.argmax(1), or target.float() for a distribution."
    if target.shape == (*shape, 1):
        return "Drop its last dimension: target.squeeze(-1)."
    if logits.ndim > 2 and target.shape == logits.shape[:-1]:
        return "Are the classes the last dimension of the logits? They belong in dimension 1: logits.movedim(-1, 1)."
    return "Give one index for each row."


def check_class_indices(target: Tensor, num_classes: int) -> None:
    """Check every class index, to explain a look-up that failed.

    Raises
    ------
    ShapeError
        If an index is outside 0 to K - 1; the error names the first one.
    """
    outside = (target < 0) | (target >= num_classes)
    if bool(outside.any()):
        place = tuple(outside.nonzero()[0].tolist())
        value = int(target[place])
        raise ShapeError(
            f"Class indices run from 0 to K - 1 = {num_classes - 1}.",
            f"target{list(place) if place else ''} is {value} with K = {num_classes}.",
            "Do they count from 1? Subtract 1." if value == num_classes else "Map the labels to 0 … K - 1 first.",
        )


def check_per_class(name: str, values: Tensor, num_classes: int) -> None:
    """Check a tensor that holds one value for each class.

    Raises
    ------
    ShapeError
        Unless its shape is (K,).
    """
    if values.shape != (num_classes,):
        raise ShapeError(
            f"{name} holds one value for each of the {num_classes} classes.",
            f"Its shape is {tuple(values.shape)}.",
            "Give a tensor of shape (K,), in the order of the logits' columns.",
        )


def check_per_row(name: str, values: Tensor, shape: torch.Size) -> None:
    """Check a tensor that holds one value for each row.

    Raises
    ------
    ShapeError
        Unless it has the shape of the rows.
    """
    if values.shape != shape:
        raise ShapeError(
            f"{name} holds one value for each row: shape {tuple(shape)}.",
            f"Its shape is {tuple(values.shape)}.",
            "Give the logits' shape without its dimension of the classes.",
        )


def check_out(logits: Tensor, out: Tensor) -> None:
    """Check that a tensor has room for the gradient of the logits.

    Raises
    ------
    ShapeError
        Unless it has the shape, dtype and device of the logits, and each element has its own place in memory.
    """
    check_tensor("out", out)
    if (out.shape, out.dtype, out.device) != (logits.shape, logits.dtype, logits.device):
        raise ShapeError(
            f"out is like the logits: {logits.dtype} of shape {tuple(logits.shape)} on {logits.device}.",
            f"It is {out.dtype} of shape {tuple(out.shape)} on {out.device}.",
            "Give torch.empty_like(logits), or the logits themselves.",
        )
    if not (out.is_contiguous() or _has_separate_elements(out)):
        raise ShapeError(
            "Each element of out has its own place in memory, and each dimension lies within one step of the next"
            " larger one.",
            f"Its shape is {tuple(out.shape)} and its strides are {out.stride()}: it was expanded or overlaps itself.",
            "Give torch.empty_like(logits), or the logits themselves.",
        )


def _has_separate_elements(values: Tensor) -> bool:
    """Say whether each stride of a tensor steps over everything that the dimensions of smaller strides span."""
    extent = 1
    for step, size in sorted(zip(values.stride(), values.shape, strict=True)):
        if size > 1:
            if step < extent:
                return False
            extent += step * (size - 1)
    return True


def check_linear(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Check that a linear layer can make logits.

    Raises
    ------
    ShapeError
        Unless the input is (..., d), the weight (C, d) of the same floating dtype and the bias (C,), with C above 0.
    """
    check_tensor("input", inputs)
    check_tensor("weight", weight)
    fits = inputs.ndim > 0 and weight.ndim == 2 and inputs.shape[-1] == weight.shape[1] and len(weight) > 0
    if not fits or not inputs.is_floating_point() or inputs.dtype != weight.dtype:
        raise ShapeError(
            "The input is (..., d) and the weight (C, d), both of the same floating dtype.",
            f"The input is {inputs.dtype} of shape {tuple(inputs.shape)},"
            f" the weight {weight.dtype} of shape {tuple(weight.shape)}.",
            "Give the weight as torch.nn.Linear holds it: one row for each class.",
        )
    if bias is not None:
        check_tensor("bias", bias)
        check_per_class("bias", bias, len(weight))


def check_leading(name: str, values: Tensor, leading: torch.Size) -> None:
    """Check that a tensor begins with the dimensions of the rows.

    Raises
    ------
    ShapeError
        Unless it does.
    """
    check_tensor(name, values)
    if values.shape[: len(leading)] != leading:
        raise ShapeError(
            f"{name} begins with the shape of the input without its last dimension: {tuple(leading)}.",
            f"Its shape is {tuple(values.shape)}.",
            "Give one entry for each row of the input.",
        )


def check_class_mask(mask: Tensor, logits: Tensor, num_classes: int) -> None:
    """Check a mask of the classes that are possible.

    Raises
    ------
    ShapeError
        Unless it is boolean, of shape (K,) or of the logits' shape.
    """
    if mask.dtype != torch.bool or mask.shape not in (logits.shape, (num_classes,)):
        raise ShapeError(
            f"class_mask is boolean, of shape ({num_classes},) or {tuple(logits.shape)}.",
            f"It is {mask.dtype} of shape {tuple(mask.shape)}.",
            "Give True where a class is possible, False where it is not.",
        )


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Check a string setting.

    Raises
    ------
    SettingError
        If it is not among the choices.
    """
    if value not in choices:
        raise SettingError(f"{name} is one of {', '.join(choices)}.", f"It is {value!r}.", "Choose one of these.")


def check_number(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Check a number setting.

    Raises
    ------
    SettingError
        If it is not a number, not finite, or outside low to high.
    """
    try:
        fits = bool(low <= value <= high and value < math.inf)
    except (TypeError, ValueError, RuntimeError):
        # The value is a text, or has several numbers.
        fits = False
    if not fits:
        bounds = f"from {low:g} to {high:g}" if high < math.inf else f"finite and at least {low:g}"
        raise SettingError(f"{name} is {bounds}.", f"It is {value!r}.", "Choose such a value.")


def is_int64(value: SupportsIndex) -> bool:
    """Say whether a value is a whole number that fits into 64 bits, so that a kernel sees the same number."""
    try:
        return -(2**63) <= operator.index(value) < 2**63
    except TypeError:
        return False


def check_int64(name: str, value: SupportsIndex) -> None:
    """Check a setting that is any whole number.

    Raises
    ------
    SettingError
        If it is not a whole number, or needs more than 64 bits.
    """
    if not is_int64(value):
        raise SettingError(
            f"{name} is a whole number from -2**63 to 2**63 - 1.", f"It is {value!r}.", "Choose such a value."
        )
