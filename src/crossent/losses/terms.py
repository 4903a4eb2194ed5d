"""The options of a loss: one dataclass, whose fields are set by name and checked as it is made."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from crossent.checks import check_choice, check_int64, check_number, check_tensor
from crossent.errors import SettingError
from crossent.losses.softmax import check_temperature

# Bounds of settings that multiply or divide: float32, in which losses are computed, holds them and leaves room for
# logits.
SMALLEST_FACTOR, LARGEST_FACTOR = 1e-30, 1e30

Reduction = Literal["none", "mean", "sum"]
Empty = Literal["nan", "zero"]
Smoothing = Literal["weighted", "unweighted"]


@dataclass(frozen=True, eq=False, kw_only=True)
class LossTerms:
    """What the loss of each row is made of and how the rows become one number, as in `crossent.cross_entropy`.

    Raises
    ------
    SettingError
        If an option is out of bounds, or if a normalizer is given without ``reduction="mean"``.
    ShapeError
        If an option that holds a value for each class or row is not a tensor. Shapes are checked with the logits.
    """

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
        _check_reduction(self)
        _check_row_options(self)
        if self.class_weight is self.sample_weight is self.log_prior is self.class_mask is None:
            return
        for name in ("class_weight", "sample_weight", "log_prior", "class_mask"):
            if getattr(self, name) is not None:
                check_tensor(name, getattr(self, name))


def _check_reduction(terms: LossTerms) -> None:
    check_choice("reduction", terms.reduction, ("none", "mean", "sum"))
    check_choice("empty", terms.empty, ("nan", "zero"))
    if terms.normalizer is None:
        return
    check_number("normalizer", terms.normalizer, SMALLEST_FACTOR, LARGEST_FACTOR)
    if terms.reduction != "mean":
        raise SettingError(
            "normalizer divides the sum in reduction='mean'.",
            f"The reduction is {terms.reduction!r}.",
            "Use reduction='mean', or leave the normalizer out.",
        )


def _check_row_options(terms: LossTerms) -> None:
    check_int64("ignore_index", terms.ignore_index)
    check_number("label_smoothing", terms.label_smoothing, 0.0, 1.0)
    check_temperature(terms.temperature)
    check_number("z_loss", terms.z_loss, 0.0, LARGEST_FACTOR)
    check_number("focal_gamma", terms.focal_gamma, 0.0, LARGEST_FACTOR)
    if terms.softcap is not None:
        check_number("softcap", terms.softcap, SMALLEST_FACTOR, LARGEST_FACTOR)
    check_choice("smoothing", terms.smoothing, ("weighted", "unweighted"))
