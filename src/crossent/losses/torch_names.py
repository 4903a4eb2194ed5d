"""Options of a loss under the names, in the positions and of the types that users of torch's losses know."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossent.checks import check_tensor
from crossent.errors import SettingError, ShapeError
from crossent.losses.terms import Reduction

# One number for each class.
ClassValues = Tensor | Sequence[float] | np.ndarray[Any, Any]


def named_reduction(reduction: Reduction, size_average: bool | None, reduce: bool | None) -> Reduction:
    """Return the reduction that torch's retired options ask for, or the one that is named where they are None.

    Examples
    --------
    >>> named_reduction("mean", None, None), named_reduction("mean", False, None), named_reduction("sum", None, False)
    ('mean', 'sum', 'none')
    """
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def class_weight_of(
    weight: ClassValues | None, class_weight: ClassValues | None, logits: Tensor | None = None
) -> Tensor | None:
    """Return the class weights under either of their two names, torch's and ours.

    Lists and arrays become tensors on the device and in the precision of the logits, where these are given.

    Raises
    ------
    SettingError
        If both are given.
    """
    if weight is not None and class_weight is not None:
        raise SettingError(
            "weight and class_weight are two names of the same weights.", "Both are given.", "Give one of them."
        )
    return as_class_values("class_weight", class_weight if weight is None else weight, logits)


def as_class_values(name: str, values: ClassValues | None, logits: Tensor | None = None) -> Tensor | None:
    """Return a value for each class as a tensor, from a tensor, a list or an array; None stays None.

    Raises
    ------
    ShapeError
        If it is something else, or holds no numbers.
    """
    if values is None or isinstance(values, Tensor):
        return values
    if not isinstance(values, list | tuple | np.ndarray):
        check_tensor(name, values)
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "fiu":
        raise ShapeError(
            f"{name} holds a number for each class.",
            f"It is an array of {numbers.dtype}: {str(values)[:60]}.",
            "Give a list, an array or a tensor of numbers.",
        )
    dtype = torch.float32 if logits is None else torch.promote_types(logits.dtype, torch.float32)
    return torch.as_tensor(numbers, dtype=dtype, device=None if logits is None else logits.device)
