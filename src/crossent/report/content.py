"""What a report shows: plain strings and numbers, ready to be laid out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.evaluation.result import Comparison, Evaluation, SetsResult
from crossent.train.learning_rate import LearningRateCurve
from crossent.train.monitor import EpochRecord


@dataclass(frozen=True)
class ColumnSummary:
    """One column: ``missing`` is a share of the rows."""

    name: str
    kind: str
    missing: float
    distinct: int
    examples: tuple[str, ...]
    used: bool
    note: str


@dataclass(frozen=True)
class Trial:
    """One model that was tried; losses in nats on rows held out in training."""

    model: str
    log_loss: float
    calibrated_log_loss: float
    seconds: float
    chosen: bool
    note: str


@dataclass(frozen=True)
class CalibrationAttempt:
    """One calibrator that was tried; its loss in nats on rows held out in training that it was not fitted to."""

    name: str
    log_loss: float
    kept: bool


@dataclass(frozen=True)
class CalibrationSummary:
    """The calibration of the chosen model; losses in nats on rows held out in training."""

    method: str
    temperature: float
    log_loss_before: float
    log_loss_after: float
    kept: bool
    note: str
    attempts: tuple[CalibrationAttempt, ...]


@dataclass(frozen=True)
class WorstRow:
    """A row whose given label is improbable: ``row`` counts from 1, ``prob`` is that of the given label."""

    row: int
    values: tuple[tuple[str, str], ...]
    label: str
    predicted: str
    prob: float
    loss: float


@dataclass(frozen=True)
class ClassNgrams:
    """What speaks for a class: words and pairs of words, and pieces of words, from strong to weak."""

    label: str
    words: tuple[str, ...]
    pieces: tuple[str, ...]


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


@dataclass(frozen=True)
class ReportContent:
    """All that a report shows; sections without content are left out.

    ``before_after`` compares the rows held out before calibration with after, in this order.
    """

    title: str
    source: str
    target: str
    created: str
    training_rows: int
    class_counts: tuple[tuple[str, int], ...]
    columns: tuple[ColumnSummary, ...]
    notes: tuple[str, ...]
    evaluation: Evaluation
    history: tuple[EpochRecord, ...]
    trials: tuple[Trial, ...]
    calibration: CalibrationSummary
    worst_rows: tuple[WorstRow, ...]
    ngrams: tuple[ClassNgrams, ...]
    settings: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    before_after: Comparison | None = None
    sets: SetsSummary | None = None
    risk_coverage: RiskCoverage | None = None
    remedy: tuple[ClassRemedy, ...] = ()
    diagnosis: tuple[str, ...] = ()
    learning_rate: LearningRateCurve | None = None
