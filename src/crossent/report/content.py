"""What a report shows: plain strings and numbers, ready to be laid out."""

from dataclasses import dataclass

from crossent.evaluation.result import ClassRemedy, Comparison, Evaluation, RiskCoverage, SetsSummary
from crossent.explain.rows import WorstRow
from crossent.monitoring.records import EpochRecord
from crossent.train.learning_rate import LearningRateCurve


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
    """One calibration that was tried; its loss in nats on rows held out in training that it was not fitted to."""

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
class ClassNgrams:
    """The evidence for a class: words and pairs of words, and pieces of words, the strongest first."""

    label: str
    words: tuple[str, ...]
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class ReportContent:
    """All that a report shows; sections without content are left out.

    ``before_after`` compares the held-out rows before calibration with the same rows after it, in this order.
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
