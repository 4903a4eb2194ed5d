"""Contents of reports, drawn."""

import numpy as np

from crossent.evaluation.compare import compare_log_probs
from crossent.evaluation.evaluate import evaluate_log_probs
from crossent.evaluation.result import Comparison, Evaluation, Label
from crossent.evaluation.sets import evaluate_sets
from crossent.logits import log_softmax
from crossent.monitoring.records import EpochRecord
from crossent.report.content import (
    CalibrationAttempt,
    CalibrationSummary,
    ClassNgrams,
    ColumnSummary,
    ReportContent,
    RiskCoverage,
    SetsSummary,
    Trial,
    WorstRow,
)
from crossent.train.learning_rate import LearningRateCurve, running_mean


def draw_evaluation(classes: tuple[Label, ...], rows: int = 400, sharpness: float = 1.0) -> Evaluation:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, size=(rows, len(classes)))
    target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    prior = (np.bincount(target, minlength=len(classes)) + 1) / (rows + len(classes))
    return evaluate_log_probs(log_softmax(sharpness * honest), target, classes, prior, rng)


def draw_before_after(classes: tuple[Label, ...], rows: int = 400, sharpness: float = 2.5) -> Comparison:
    """An overconfident model before calibration and after."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, size=(rows, len(classes)))
    target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    sources = {"before": log_softmax(sharpness * honest), "after": log_softmax(honest)}
    return compare_log_probs(sources, target, classes, np.full(len(classes), 1 / len(classes)), 0)


def draw_sets(classes: tuple[Label, ...], rows: int = 400) -> SetsSummary:
    """Sets that hold each class about as often as it is likely."""
    rng = np.random.default_rng(0)
    target = rng.integers(len(classes), size=rows)
    sets = rng.random((rows, len(classes))) < 0.2
    sets[np.arange(rows), target] = rng.random(rows) < 0.9
    return SetsSummary(0.9, evaluate_sets(sets, target, classes))


def draw_risk_coverage() -> RiskCoverage:
    coverage = np.linspace(0.0, 1.0, 2001)
    return RiskCoverage(coverage, 0.2 * coverage**2, 0.0667)


def draw_learning_rate(suggested: float = 0.002) -> LearningRateCurve:
    """A loss that falls, is lowest at 0.1, and diverges."""
    rates = np.geomspace(1e-5, 1, 120)
    losses = 2 / (1 + 100 * rates) + 0.3 * rates**2 + np.random.default_rng(0).normal(0, 0.05, 120)
    return LearningRateCurve(rates, losses, running_mean(losses), 0.01, suggested, "It fell from 2 to 0.2.")


def draw_content(classes: tuple[Label, ...], *, name: str = "size", value: str = "1", steps: int = 40) -> ReportContent:
    evaluation = draw_evaluation(classes)
    history = tuple(
        EpochRecord(model, fold, 2, step, steps, 1 / step, 1 / step + 0.1)
        for model in ("linear", "boosting")
        for fold in (1, 2)
        for step in range(1, steps + 1)
    )
    return ReportContent(
        title="label from jobs.csv",
        source="jobs.csv",
        target="label",
        created="2024-01-01T00:00:00+00:00",
        training_rows=1200,
        class_counts=tuple((str(label), 400) for label in classes),
        columns=(
            ColumnSummary(name, "number", 0.1, 30, (value, "2"), used=True, note=""),
            ColumnSummary("id", "identifier", 0.0, 1600, ("1", "2"), used=False, note="counts the rows"),
        ),
        notes=("3 rows have no value.",),
        evaluation=evaluation,
        history=history,
        trials=(
            Trial("linear", 0.7, 0.69, 1.0, chosen=False, note=""),
            Trial("boosting", 0.6, 0.59, 2.0, chosen=True, note="lowest"),
        ),
        calibration=CalibrationSummary(
            method="temperature",
            temperature=1.1,
            log_loss_before=0.6,
            log_loss_after=0.59,
            kept=True,
            note="the model was overconfident",
            attempts=(CalibrationAttempt("none", 0.6, kept=False),),
        ),
        worst_rows=(WorstRow(17, ((name, value),), str(classes[0]), str(classes[1]), 0.001, 6.9),),
        ngrams=(ClassNgrams(str(classes[0]), (value,), ("·val",)),),
        settings=(("model", "auto"), ("seed", "0")),
        environment=(("python", "3.11"),),
        commands=("crossent predict runs/jobs new.csv",),
    )
