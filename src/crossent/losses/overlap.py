"""Whether tensors lie over each other in memory.

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
    """Check that no element of `out` lies over what a loss is made of besides its logits.

    Parameters
    ----------
    out
        Where the gradient is to be written. All tensors lie in memory: see `lie_in_memory`.
    target, terms
        What the loss is made of.

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
                "out shares no memory with what else the loss is made of.",
                f"It shares memory with {name}.",
                "Give torch.empty_like(logits), or the logits themselves.",
            )


def have_common_range(a: Tensor, b: Tensor) -> bool:
    """Say whether the bytes from the first to the last element of two tensors overlap."""
    begin, end = _range(a)
    other_begin, other_end = _range(b)
    return begin < other_end and other_begin < end


def lie_in_memory(*tensors: Tensor | None) -> bool:
    """Say whether the elements of all tensors that there are lie in the CPU's memory, where they say."""
    # Subclasses may not lie where they say, and what torch.func gives lies nowhere.
    return not torch._C._are_functorch_transforms_active() and all(
        one.is_cpu and one.layout is torch.strided and type(one) in (Tensor, torch.nn.Parameter)
        for one in tensors
        if one is not None
    )


def _range(values: Tensor) -> tuple[int, int]:
    """Return the address of the first byte, and that behind the last."""
    begin = values.data_ptr()
    if values.is_contiguous():
        return begin, begin + values.nbytes
    last = sum((size - 1) * step for size, step in zip(values.shape, values.stride(), strict=True))
    return begin, begin + (last + 1) * values.element_size()


def _share_memory(a: Tensor, b: Tensor) -> bool:
    """Say whether an element of one lies over an element of the other."""
    return np.shares_memory(_as_numpy(a), _as_numpy(b))


def _as_numpy(values: Tensor) -> npt.NDArray[np.void]:
    """Return a view of the same elements, whatever their dtype."""
    begin, end = _range(values)
    strides = [step * values.element_size() for step in values.stride()]
    memory = np.ctypeslib.as_array((ctypes.c_uint8 * (end - begin)).from_address(begin))
    return np.ndarray(tuple(values.shape), f"V{values.element_size()}", memory, strides=strides)
