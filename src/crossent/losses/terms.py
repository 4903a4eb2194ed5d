"""The options of a loss, checked."""

from dataclasses import dataclass
from typing import Literal, SupportsIndex

from torch import Tensor

from crossent.checks import check_choice, check_int64, check_number, check_tensor
from crossent.errors import SettingError
from crossent.losses.softmax import check_temperature

# Of settings that multiply or divide: float32, in which losses are computed, holds them and leaves room for logits.
SMALLEST_FACTOR, LARGEST_FACTOR = 1e-30, 1e30

Reduction = Literal["none", "mean", "sum"]
Empty = Literal["nan", "zero"]
Smoothing = Literal["weighted", "unweighted"]


@dataclass(frozen=True, eq=False)
class LossTerms:
    """What the loss of each row is made of and how the rows become one number, as in `crossent.cross_entropy`."""

    class_weight: Tensor | None = None
    ignore_index: int = -100
    reduction: Reduction = "mean"
    label_smoothing: float = 0.0
    sample_weight: Tensor | None = None
    temperature: float = 1.0
    log_prior: Tensor | None = None
    z_loss: float = 0.0
    softcap: float | None = None
    focal_gamma: float = 0.0
    class_mask: Tensor | None = None
    normalizer: float | None = None
    empty: Empty = "nan"
    smoothing: Smoothing = "weighted"

    def __post_init__(self) -> None:
        if self.class_weight is self.sample_weight is self.log_prior is self.class_mask is None:
            return
        for name in ("class_weight", "sample_weight", "log_prior", "class_mask"):
            if getattr(self, name) is not None:
                check_tensor(name, getattr(self, name))


def check_reduction(reduction: str, normalizer: float | None, empty: str) -> None:
    """Check the options of `cross_entropy` that say how rows become one number.

    Raises
    ------
    SettingError
        If one is out of bounds, or if a normalizer is given without ``"mean"``.
    """
    check_choice("reduction", reduction, ("none", "mean", "sum"))
    check_choice("empty", empty, ("nan", "zero"))
    if normalizer is None:
        return
    check_number("normalizer", normalizer, SMALLEST_FACTOR, LARGEST_FACTOR)
    if reduction != "mean":
        raise SettingError(
            "normalizer divides the sum in reduction='mean'.",
            f"The reduction is {reduction!r}.",
            "Use reduction='mean', or leave the normalizer out.",
        )


def check_terms(
    ignore_index: SupportsIndex,
    label_smoothing: float,
    temperature: float,
    z_loss: float,
    softcap: float | None,
    focal_gamma: float,
    smoothing: str,
) -> None:
    """Check the options of `cross_entropy` that make the loss of a row.

    Raises
    ------
    SettingError
        If one is out of bounds.
    """
    check_int64("ignore_index", ignore_index)
    check_number("label_smoothing", label_smoothing, 0.0, 1.0)
    check_temperature(temperature)
    check_number("z_loss", z_loss, 0.0, LARGEST_FACTOR)
    check_number("focal_gamma", focal_gamma, 0.0, LARGEST_FACTOR)
    if softcap is not None:
        check_number("softcap", softcap, SMALLEST_FACTOR, LARGEST_FACTOR)
    check_choice("smoothing", smoothing, ("weighted", "unweighted"))
