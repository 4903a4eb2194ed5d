"""Scales numbers to features of the order of 1, by the quantiles of the training rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special

from crossent.value_checks import check_bounded, check_number

# A column with values farther than this many interquartile ranges from the median is scaled by its quantiles.
LONG_TAIL = 10.0
# Larger numbers are cut to this, so that differences of two numbers, and quantiles, stay finite.
LARGEST_NUMBER = 1e300
# New values beyond the training rows are cut to this many interquartile ranges.
FARTHEST = 100.0
KNOTS = 257


@dataclass(frozen=True, eq=False)
class Scale:
    """How one number becomes a feature.

    ``knots`` maps to ``scores`` by linear interpolation, constant outside; where there are none, the feature is
    ``(x - center) / scale``. Missing values take ``center``; with ``flag`` a second feature says so.
    """

    center: float
    scale: float
    knots: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    flag: bool

    def __post_init__(self) -> None:
        if self.knots.ndim != 1 or self.knots.shape != self.scores.shape:
            raise ValueError(f"knots {self.knots.shape} and scores {self.scores.shape} do not fit")
        check_bounded("the knots of a number", self.knots, LARGEST_NUMBER)
        check_bounded("the scores of a number", self.scores, FARTHEST)
        check_number("the centre of a number", self.center, -LARGEST_NUMBER, LARGEST_NUMBER)
        if not (np.diff(self.knots) > 0).all() or not 0 < self.scale <= 2 * LARGEST_NUMBER:
            raise ValueError(f"the scale of a number, {self.scale!r}, must be above 0 and finite, and its knots rise")

    @property
    def width(self) -> int:
        """Number of features."""
        return 1 + self.flag

    def encode(self, numbers: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float32]]:
        """Return the ``(n,)`` features of ``(n,)`` numbers, NaN where missing."""
        numbers = _bounded(numbers)
        missing = np.isnan(numbers)
        numbers[missing] = self.center
        if len(self.knots):
            scaled = np.interp(numbers, self.knots, self.scores)
        else:
            scaled = _clipped((numbers - self.center) / self.scale, FARTHEST)
        feature = scaled.astype(np.float32)
        return [feature, missing.astype(np.float32)] if self.flag else [feature]


def learn_scale(numbers: npt.NDArray[np.float64]) -> Scale:
    """Learn the scale of ``(n,)`` numbers, NaN where missing.

    Examples
    --------
    >>> scale = learn_scale(np.array([1.0, 2.0, np.nan, 4.0]))
    >>> scale.encode(np.array([2.0, np.nan]))
    [array([0., 0.], dtype=float32), array([0., 1.], dtype=float32)]
    """
    numbers = _bounded(numbers)
    missing = np.isnan(numbers)
    present = numbers[~missing]
    if not len(present):
        present = np.zeros(1)
    lower, center, upper = np.quantile(present, [0.25, 0.5, 0.75])
    reach = max(present.max() - center, center - present.min())
    spread = upper - lower
    # Any linear scale would squeeze half of a column with a long tail into one point.
    long_tail = len(np.unique(present)) > 2 and reach > LONG_TAIL * spread
    knots, scores = _normal_scores(present) if long_tail else (np.empty(0), np.empty(0))
    scale = spread if spread > 0 else reach
    return Scale(float(center), float(scale) or 1.0, knots, scores, bool(missing.any()))


def _bounded(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return _clipped(numbers, LARGEST_NUMBER)


def _clipped(numbers: npt.NDArray[np.float64], largest: float) -> npt.NDArray[np.float64]:
    # np.clip takes twice as long for a single row.
    return np.minimum(np.maximum(numbers, -largest), largest)


def _normal_scores(present: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return knots at quantiles and their standard normal scores; a value of several quantiles gets their middle."""
    levels = np.linspace(0, 1, KNOTS)
    # The first and last knot are the extremes, so that different values of the training rows stay different.
    knots, position, count = np.unique(
        np.quantile(present, levels, method="nearest"), return_inverse=True, return_counts=True
    )
    middle = np.bincount(position, levels) / count
    margin = 0.5 / min(len(present), KNOTS)
    return knots, scipy.special.ndtri(np.clip(middle, margin, 1 - margin))
