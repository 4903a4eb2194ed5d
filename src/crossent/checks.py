"""Checks of tensors at public boundaries: shape, dtype and range, each with one clear error.

None reads values on the path of a correct call: on a GPU that would wait for the device. Values are looked at only to
explain a failure that has happened already.
"""

import torch
from torch import Tensor

from crossent.errors import SettingError, ShapeError


def check_target(logits: Tensor, target: Tensor) -> None:
    """Check that a target fits logits of shape (n, K), (n, K, ...) or (K,).

    Raises
    ------
    ShapeError
        Unless it holds whole-number class indices in the logits' shape without K, or a floating distribution in
        exactly the logits' shape.
    """
    if not logits.is_floating_point() or not logits.ndim:
        raise ShapeError(
            "Logits are floating, of shape (n, K), (n, K, ...) or (K,).",
            f"They are {logits.dtype} of shape {tuple(logits.shape)}.",
            "Give the raw scores of the model.",
        )
    if target.is_floating_point():
        _check_distribution(logits, target)
        return
    shape = logits.shape[:1] + logits.shape[2:] if logits.ndim > 1 else logits.shape[:0]
    if target.dtype == torch.bool or target.is_complex() or target.shape != shape:
        column = target.ndim == 2 and target.shape == (*shape, 1)
        one_hot = target.shape == logits.shape
        fix = "Give one index for each row."
        fix = "Drop its last dimension: target.squeeze(-1)." if column else fix
        fix = "Is it one-hot? Use target.argmax(1), or target.float() for a distribution." if one_hot else fix
        raise ShapeError(
            f"For logits of shape {tuple(logits.shape)}, class indices are whole numbers of shape {tuple(shape)}.",
            f"The target is {target.dtype} of shape {tuple(target.shape)}.",
            fix,
        )


def _check_distribution(logits: Tensor, target: Tensor) -> None:
    if target.shape != logits.shape:
        indices = target.ndim == logits.ndim - 1
        raise ShapeError(
            "A floating target is a distribution, of the same shape as the logits.",
            f"It has shape {tuple(target.shape)}, the logits {tuple(logits.shape)}.",
            "Are these class indices? Convert them: target.long()." if indices else "Give one probability a class.",
        )


def check_class_indices(target: Tensor, classes: int, ignore_index: int | None) -> None:
    """Check every class index, for the explanation of a look-up that failed.

    Raises
    ------
    ShapeError
        If one is outside 0 to K - 1; it names the first.
    """
    bad = (target < 0) | (target >= classes)
    if ignore_index is not None:
        bad &= target != ignore_index
    if bool(bad.any()):
        place = tuple(bad.nonzero()[0].tolist())
        value = int(target[place])
        raise ShapeError(
            f"Class indices run from 0 to K - 1 = {classes - 1}.",
            f"target[{', '.join(map(str, place))}] is {value}.",
            "Do they count from 1? Subtract 1." if value == classes else "Map the labels to 0 … K - 1 first.",
        )


def check_per_class(name: str, values: Tensor, classes: int) -> None:
    """Check a tensor of one value a class.

    Raises
    ------
    ShapeError
        Unless its shape is (K,).
    """
    if values.shape != (classes,):
        raise ShapeError(
            f"{name} holds one value for each of the {classes} classes.",
            f"Its shape is {tuple(values.shape)}.",
            "Give a tensor of shape (K,), in the order of the logits' columns.",
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


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Check a number setting.

    Raises
    ------
    SettingError
        If it is NaN or outside low to high.
    """
    if not low <= value <= high:
        raise SettingError(f"{name} is from {low:g} to {high:g}.", f"It is {value!r}.", "Choose a value between.")
