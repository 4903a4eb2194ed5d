"""Targets as distributions over the classes.

**Shape.** Class indices of any shape ``(...)``; out come distributions ``(..., K)`` over K classes.
"""

import torch
from torch import Tensor

from crossent.checks import check_class_indices, check_number, check_tensor
from crossent.errors import ShapeError


def one_hot(target: Tensor, num_classes: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Turn class indices into distributions with all weight on one class.

    An index that a loss ignores, such as -100, has no distribution and is out of range here: leave such rows out, or
    give them any class and a `sample_weight` of 0.

    Parameters
    ----------
    target
        Class indices of any shape, from 0 to K - 1.
    num_classes
        K, at least 1.
    dtype
        Of the result.

    Returns
    -------
    Tensor
        The target's shape with K at its end.

    Raises
    ------
    ShapeError
        If the target is floating, or if an index is out of range.
    SettingError
        If K is below 1.

    Examples
    --------
    >>> one_hot(torch.tensor([2, 0]), 3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    check_tensor("target", target)
    if target.is_floating_point():
        raise ShapeError("Class indices are whole numbers.", f"The target is {target.dtype}.", "Use target.long().")
    check_number("num_classes", num_classes, 1)
    result = torch.zeros(*target.shape, num_classes, dtype=dtype, device=target.device)
    try:
        return result.scatter(-1, target.long().unsqueeze(-1), 1.0)
    except RuntimeError:
        check_class_indices(target, num_classes)
        raise


def smooth_labels(target: Tensor, num_classes: int, label_smoothing: float) -> Tensor:
    """Move a share of each target's weight evenly to all classes.

    Parameters
    ----------
    target
        Class indices of any shape, or floating distributions with K at their end.
    num_classes
        K.
    label_smoothing
        The share, 0 to 1: the result is ``(1 - s) * target + s / K``.

    Returns
    -------
    Tensor
        Distributions; float32 for indices, else the target's dtype.

    Raises
    ------
    ShapeError
        If an index is out of range, or a distribution does not end in K.
    SettingError
        If the share is outside 0 to 1.

    Notes
    -----
    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision".

    Examples
    --------
    >>> smooth_labels(torch.tensor([1]), 4, 0.2)
    tensor([[0.0500, 0.8500, 0.0500, 0.0500]])
    """
    check_number("label_smoothing", label_smoothing, 0.0, 1.0)
    check_tensor("target", target)
    distribution = target if target.is_floating_point() else one_hot(target, num_classes)
    if not distribution.ndim or distribution.shape[-1] != num_classes:
        raise ShapeError(
            f"A distribution ends in K = {num_classes}.",
            f"Its shape is {tuple(target.shape)}.",
            "Give one probability for each class, or class indices as whole numbers.",
        )
    return distribution * (1 - label_smoothing) + label_smoothing / num_classes
