"""Checks whether tensors share memory.

**Shape.** Tensors of any shape, as the bytes from their first to their last element.
"""

import ctypes

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from crossent.errors import ShapeError
from crossent.losses.terms import LossTerms


def check_out_is_apart(out: Tensor, target: Tensor, terms: LossTerms) -> None:
    """Check that `out` shares no memory with the inputs of a loss other than its logits.

    Parameters
    ----------
    out
        Tensor for the gradient. All tensors are in memory: see `lie_in_memory`.
    target, terms
        The other inputs of the loss.

    Raises
    ------
    ShapeError
        If one of them shares memory with `out`.
    """
    begin, end = _range(out)
    for name, values in (
        ("target", target),
        ("class_weight", terms.class_weight),
        ("sample_weight", terms.sample_weight),
        ("log_prior", terms.log_prior),
        ("class_mask", terms.class_mask),
    ):
        if values is None:
            continue
        other_begin, other_end = _range(values)
        if begin < other_end and other_begin < end and _share_memory(out, values):
            raise ShapeError(
                "out shares no memory with the other inputs of the loss.",
                f"It shares memory with {name}.",
                "Give torch.empty_like(logits), or the logits themselves.",
            )


def have_common_range(a: Tensor, b: Tensor) -> bool:
    """Say whether the bytes from the first to the last element of two tensors overlap."""
    begin, end = _range(a)
    other_begin, other_end = _range(b)
    return begin < other_end and other_begin < end


def lie_in_memory(*tensors: Tensor | None) -> bool:
    """Say whether the elements of all given tensors are in the CPU's memory, at the addresses that they say."""
    # Subclasses may have other addresses than they say, and tensors of torch.func have none.
    return not torch._C._are_functorch_transforms_active() and all(
        tensor.is_cpu and tensor.layout is torch.strided and type(tensor) in (Tensor, torch.nn.Parameter)
        for tensor in tensors
        if tensor is not None
    )


def _range(values: Tensor) -> tuple[int, int]:
    """Return the address of the first byte, and the address after the last."""
    begin = values.data_ptr()
    if values.is_contiguous():
        return begin, begin + values.nbytes
    last = sum((size - 1) * step for size, step in zip(values.shape, values.stride(), strict=True))
    return begin, begin + (last + 1) * values.element_size()


def _share_memory(a: Tensor, b: Tensor) -> bool:
    """Say whether an element of one tensor shares memory with an element of the other."""
    return np.shares_memory(_as_numpy(a), _as_numpy(b))


def _as_numpy(values: Tensor) -> npt.NDArray[np.void]:
    """Return a view of the same elements, whatever their dtype."""
    begin, end = _range(values)
    strides = [step * values.element_size() for step in values.stride()]
    memory = np.ctypeslib.as_array((ctypes.c_uint8 * (end - begin)).from_address(begin))
    return np.ndarray(tuple(values.shape), f"V{values.element_size()}", memory, strides=strides)
