"""Softmax and its logarithm.

**Shape.** Logits of any shape, with the K classes in the dimension `dim`; out come values of the same shape.
"""

import torch
from torch import Tensor

from crossent.checks import check_logits, check_number

SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE = 1e-6, 1e6


def softmax(logits: Tensor, dim: int = -1, *, temperature: float = 1.0) -> Tensor:
    """Turn logits into probabilities.

    Parameters
    ----------
    logits
        Floating tensor of any shape; half precision is computed in float32.
    dim
        The dimension of the K classes.
    temperature
        Divides the logits; above 1 flattens, below 1 sharpens (Guo et al. 2017).

    Returns
    -------
    Tensor
        Probabilities, of the shape and dtype of the logits; they sum to 1 over `dim`.

    Raises
    ------
    ShapeError
        If the logits are not floating, or have no dimension.
    SettingError
        If the temperature is not between 1e-6 and 1e6.

    Examples
    --------
    >>> softmax(torch.tensor([0.0, 0.0, 0.0, 0.0]))
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    return torch.softmax(scale(logits, temperature), dim).to(logits.dtype)


def log_softmax(logits: Tensor, dim: int = -1, *, temperature: float = 1.0) -> Tensor:
    """Turn logits into log-probabilities.

    The log-probability of a nearly certain class rounds to 0 in float32; `crossent.cross_entropy` keeps its digits.

    Parameters
    ----------
    logits, dim, temperature
        As in `softmax`.

    Returns
    -------
    Tensor
        Log-probabilities in nats, of the shape of the logits; float32 for half precision, which could not
        hold them, else their dtype.

    Raises
    ------
    ShapeError
        If the logits are not floating, or have no dimension.
    SettingError
        If the temperature is not between 1e-6 and 1e6.

    Examples
    --------
    >>> log_softmax(torch.tensor([1000.0, 0.0]))
    tensor([    0., -1000.])
    """
    return torch.log_softmax(scale(logits, temperature), dim)


def scale(logits: Tensor, temperature: float) -> Tensor:
    """Widen half precision to float32 and divide by the temperature."""
    check_logits(logits)
    check_temperature(temperature)
    wide = widen(logits)
    return wide if temperature == 1.0 else wide / temperature


def widen(logits: Tensor) -> Tensor:
    """Turn half precision into float32, and leave wider dtypes unchanged."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def check_temperature(temperature: float) -> None:
    """Check that the temperature is between 1e-6 and 1e6.

    Raises
    ------
    SettingError
        If it is not.
    """
    check_number("temperature", temperature, SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE)
