"""What an evaluation holds: every figure with its bootstrap interval."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.data.column import Label


@dataclass(frozen=True)
class Estimate:
    """A figure and the bounds of its 95 % bootstrap interval; bounds are NaN where no interval can be had."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """Binned confidence against what happened, for one reliability diagram.

    Attributes
    ----------
    edges
        ``(B + 1,)`` bin edges from 0 to 1; a bin holds its upper edge, the first bin its lower edge too.
    count
        ``(B,)`` rows in each bin.
    confidence, frequency
        ``(B,)`` mean predicted probability and observed frequency in each bin; NaN where a bin is empty.
    low, high
        ``(B,)`` 95 % Wilson interval of the frequency; NaN where a bin is empty.
    """

    edges: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    frequency: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassResult:
    """How one class fares, one against the rest; a figure with no rows to rest on is NaN."""

    label: Label
    support: int
    precision: Estimate
    recall: Estimate
    f1: Estimate
    reliability: Reliability


@dataclass(frozen=True)
class Evaluation:
    """The quality of probabilities on rows with known labels.

    Attributes
    ----------
    rows
        Number of rows that the figures rest on.
    metrics
        By name: ``log_loss`` (nats), ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``brier`` (sum over classes, 0
        to 2), ``top_label_calibration_error`` and ``classwise_calibration_error`` (0 to 1).
    baseline
        ``log_loss`` and ``accuracy`` of the classifier that always answers with the training prior.
    classes
        One result a class, in column order.
    confusion
        ``(K, K)`` counts; rows are true classes, columns predicted ones.
    reliability
        Of the predicted (top) label.
    """

    rows: int
    metrics: Mapping[str, Estimate]
    baseline: Mapping[str, float]
    classes: tuple[ClassResult, ...]
    confusion: npt.NDArray[np.int64]
    reliability: Reliability
