"""What an evaluation holds: every figure with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.evaluation.catalogue import COMPARED, LEAST_P_VALUE, METRICS
from crossent.kinds.column import Label


@dataclass(frozen=True)
class Estimate:
    """A figure and the bounds of its 95 % interval: bootstrap, if not said otherwise; NaN where none can be had."""

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
        ``(B,)`` number of rows in each bin, or sum of their weights.
    confidence, frequency
        ``(B,)`` mean predicted probability and observed frequency in each bin; NaN where a bin is empty.
    low, high
        ``(B,)`` 95 % Wilson interval of the frequency; NaN where a bin is empty.
    """

    edges: npt.NDArray[np.float64]
    count: npt.NDArray[Any]
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
    """The quality of probabilities on rows with known labels; printed, it is a table.

    Attributes
    ----------
    rows
        Number of rows that the figures rest on.
    metrics
        By name: ``log_loss`` (nats), ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``brier`` (sum over classes, 0
        to 2); ``log_loss_calibration``, ``log_loss_refinement``, ``brier_calibration`` and ``brier_refinement``: the
        two parts of each loss; ``top_label_calibration_error``, ``classwise_calibration_error``,
        ``debiased_top_label_error``, ``debiased_classwise_error`` and ``kernel_calibration_error``. `METRICS` of
        `crossent.evaluation.catalogue` says what each means.
    calibration_p_value
        Of the hypothesis that labels were drawn from the probabilities, 0.005 to 1: below 0.05 there is reason to doubt
        them.
    baseline
        ``log_loss`` and ``accuracy`` of the classifier that always answers with the training prior.
    classes
        One result a class, in column order.
    confusion
        ``(K, K)`` numbers of rows, or sums of their weights; rows are true classes, columns predicted ones.
    reliability
        Of the predicted (top) label.
    """

    rows: int
    metrics: Mapping[str, Estimate]
    calibration_p_value: float
    baseline: Mapping[str, float]
    classes: tuple[ClassResult, ...]
    confusion: npt.NDArray[Any]
    reliability: Reliability

    def summary(self) -> str:
        """Return a table of the figures with their 95 % intervals, as text."""
        cells = [(METRICS[name].title, *_cells(estimate)) for name, estimate in self.metrics.items()]
        head = f"{self.rows:,} rows, {len(self.classes):,} classes; 95 % intervals in brackets"
        shares = "Knowing only the class shares: log-loss {log_loss:.4f}, accuracy {accuracy:.4f}.".format(
            **self.baseline
        )
        return "\n".join([head, *aligned(cells), shares, p_value_words(self.calibration_p_value)])

    def __str__(self) -> str:
        return self.summary()


@dataclass(frozen=True)
class Comparison:
    """Probabilities of several sources on the same rows; printed, it is a table.

    Attributes
    ----------
    evaluations
        One for each source, by its name.
    differences
        For each source but the first, by name: its figures less those of the first, with the bootstrap interval of the
        difference. Both are judged on the same resampled rows, so that what is hard for both cancels.
    """

    evaluations: Mapping[str, Evaluation]
    differences: Mapping[str, Mapping[str, Estimate]]

    def summary(self) -> str:
        """Return a table with a column for each source, and one for its difference to the first."""
        first, *others = self.evaluations
        heads = ["", first, *(head for name in others for head in (name, f"{name} - {first}"))]
        lines = [heads]
        for metric in COMPARED:
            values = [f"{self.evaluations[first].metrics[metric].value:.4f}"]
            for name in others:
                values.append(f"{self.evaluations[name].metrics[metric].value:.4f}")
                values.append(" ".join(_cells(self.differences[name][metric], sign="+")))
            lines.append([METRICS[metric].title, *values])
        p_values = [f"{evaluation.calibration_p_value:.3f}" for evaluation in self.evaluations.values()]
        lines.append(["p-value of calibration", p_values[0], *(cell for p in p_values[1:] for cell in (p, ""))])
        rows = self.evaluations[first].rows
        return "\n".join([f"{rows:,} rows; 95 % intervals of the paired differences in brackets", *aligned(lines)])

    def __str__(self) -> str:
        return self.summary()


@dataclass(frozen=True)
class ClassSets:
    """How the prediction sets of one class's rows fare; without rows the figures are NaN."""

    label: Label
    support: int
    coverage: Estimate
    mean_size: Estimate


@dataclass(frozen=True)
class SetsResult:
    """How prediction sets fare on rows with known labels.

    Attributes
    ----------
    rows
        Number of rows.
    coverage
        Share of rows whose set holds the true class, with its 95 % Wilson interval.
    mean_size
        Mean number of classes in a set, with its 95 % normal interval.
    size_counts
        ``(K + 1,)`` number of rows with sets of 0, 1, … K classes.
    classes
        The same for the rows of each true class, in column order.
    """

    rows: int
    coverage: Estimate
    mean_size: Estimate
    size_counts: npt.NDArray[np.int64]
    classes: tuple[ClassSets, ...]


@dataclass(frozen=True)
class SetsSummary:
    """Prediction sets on the rows held out: the coverage that was asked for, and how they fare."""

    coverage: float
    result: SetsResult


@dataclass(frozen=True)
class RiskCoverage:
    """Share of wrong answers, ``risk`` (m,), when only the surest share of the rows, ``coverage`` (m,), is answered."""

    coverage: npt.NDArray[np.float64]
    risk: npt.NDArray[np.float64]
    area: float


@dataclass(frozen=True)
class ClassRemedy:
    """What a remedy of imbalance does for one class, on ``rows`` rows held out.

    ``recall``, ``precision`` and ``log_loss`` are those of the probabilities under the class shares of the data;
    ``remedied_…`` those under the shares that the remedy means. What is predicted follows the
    latter, and the probabilities that are given the former.
    """

    label: str
    rows: int
    recall: float
    precision: float
    log_loss: float
    remedied_recall: float
    remedied_precision: float
    remedied_log_loss: float


def p_value_words(p_value: float) -> str:
    """Say what a p-value of calibration means.

    Examples
    --------
    >>> p_value_words(0.4)
    'These rows give no reason to doubt the probabilities (p = 0.400).'
    """
    said = "p at most 0.005" if p_value <= LEAST_P_VALUE else f"p = {p_value:.3f}"
    if p_value < 0.05:
        return f"These rows are not what the probabilities promise: they are not calibrated ({said})."
    return f"These rows give no reason to doubt the probabilities ({said})."


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of cells as text, the first column to the left and the others to the right.

    Examples
    --------
    >>> aligned([["a", "10"], ["long", "9"]])
    ['a     10', 'long   9']
    """
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    first, rest = widths[0], widths[1:]
    return [
        "  ".join([line[0].ljust(first), *(cell.rjust(w) for cell, w in zip(line[1:], rest, strict=True))]).rstrip()
        for line in lines
    ]


def _cells(estimate: Estimate, sign: str = "-") -> tuple[str, str]:
    if np.isnan(estimate.low):
        return f"{estimate.value:{sign}.4f}", ""
    return f"{estimate.value:{sign}.4f}", f"({estimate.low:{sign}.4f} to {estimate.high:{sign}.4f})"
