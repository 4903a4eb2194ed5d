"""Checks of the arguments of kernels, which read and write at the addresses that they get and know no bounds.

All checks take constant time. A failure is a fault of the calling code, because public functions convert and check.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crossent.errors import ShapeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def check_tensor(name: str, values: "Tensor", shape: tuple[int, ...], dtype: "torch.dtype") -> None:
    """Check that a tensor is contiguous, on the CPU, and of a shape and a dtype.

    Raises
    ------
    ShapeError
        If it is not.
    """
    fits = values.shape == shape and values.dtype == dtype
    if not fits or not values.is_contiguous() or values.device.type != "cpu":
        met = f"{values.dtype} of shape {tuple(values.shape)} and strides {values.stride()} on {values.device}"
        raise _unfit(name, f"{dtype} of shape {shape}", met)


def check_rows(name: str, values: "Tensor", shape: tuple[int, int], *dtypes: "torch.dtype") -> None:
    """Check that a tensor is on the CPU, of a shape and one of several dtypes, the elements of its rows side by side.

    Raises
    ------
    ShapeError
        If it is not.
    """
    fits = values.shape == shape and values.dtype in dtypes and values.device.type == "cpu"
    if not fits or (values.stride(1) != 1 and shape[1] > 1):
        met = f"{values.dtype} of shape {tuple(values.shape)} and strides {values.stride()} on {values.device}"
        raise _unfit(name, f"{' or '.join(map(str, dtypes))} of shape {shape}", met)


def check_array(name: str, values: npt.NDArray[Any], shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    """Check that an array is contiguous, in the byte order of the machine, and of a shape and a dtype.

    Raises
    ------
    ShapeError
        If it is not.
    """
    if values.shape != shape or values.dtype != dtype or not values.flags.c_contiguous or not values.flags.aligned:
        met = f"{values.dtype} of shape {values.shape} and strides {values.strides}"
        raise _unfit(name, f"{np.dtype(dtype)} of shape {shape}", met)


def check_ends(name: str, ends: npt.NDArray[np.int64], rows: int, elements: int) -> None:
    """Check that the places where the elements of some rows begin and end are within bounds.

    Raises
    ------
    ShapeError
        If they are not.
    """
    check_array(name, ends, (rows + 1,), np.int64)
    if not 0 <= ends[0] <= ends[-1] <= elements:
        raise _unfit(name, f"from 0 to {elements}", f"from {ends[0]} to {ends[-1]}")


def _unfit(name: str, wanted: str, met: str) -> ShapeError:
    return ShapeError(f"A kernel takes {name} as contiguous {wanted}.", f"It is {met}.", "Convert it first.")
