"""The figures of the report, as SVG text."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossent.evaluation.drawing import (
    BLUE,
    GREY,
    ORANGE,
    confusion_shade,
    draw_confusion,
    draw_counts,
    draw_reliability,
    shorten,
    style,
    write_counts,
)
from crossent.evaluation.result import Evaluation, Reliability, SetsResult
from crossent.monitoring.records import EpochRecord
from crossent.train.learning_rate import LearningRateCurve

MOST_SMALL_DIAGRAMS = 24
MOST_CONFUSION_CLASSES = 30
MOST_POINTS = 300

# A date would make two reports of one run differ.
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
# Text stays text, so that it can be searched, and the reader's fonts draw any script.
_SVG: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "crossent"}


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context(_SVG), style():
        yield


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    text = buffer.getvalue()
    # Inline SVG has neither an XML declaration nor a document type; the width is left to the page.
    return text[text.index("<svg") :]


def reliability_figure(reliability: Reliability) -> str:
    """Draw confidence against accuracy of the predicted class, above a histogram of confidence."""
    with _style():
        figure = Figure(figsize=(5.2, 5.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
        draw_reliability(upper, reliability)
        draw_counts(lower, reliability)
        upper.set_ylabel("share of rows that are right")
        lower.set_ylabel("rows")
        lower.set_xlabel("confidence: probability of the predicted class")
        return _svg(figure)


def before_after_figure(before: Reliability, after: Reliability) -> str:
    """Draw two reliability diagrams of the same rows side by side: before calibration and after."""
    with _style():
        figure = Figure(figsize=(9.2, 5.4), layout="constrained")
        axes = figure.subplots(2, 2, height_ratios=[4, 1], sharex=True, sharey="row")
        for column, (reliability, title) in enumerate(((before, "before calibration"), (after, "after calibration"))):
            draw_reliability(axes[0, column], reliability)
            draw_counts(axes[1, column], reliability)
            axes[0, column].set_title(title, fontsize=10)
        axes[0, 0].set_ylabel("share of rows that are right")
        axes[1, 0].set_ylabel("rows")
        figure.supxlabel("confidence: probability of the predicted class", fontsize=10)
        return _svg(figure)


def class_reliability_figure(evaluation: Evaluation) -> str:
    """Draw a small diagram for each class, each class against the rest, for the classes with most rows."""
    ordered = sorted(evaluation.classes, key=lambda result: -result.support)[:MOST_SMALL_DIAGRAMS]
    columns = min(4, math.ceil(math.sqrt(len(ordered))))
    rows = -(-len(ordered) // columns)
    with _style():
        figure = Figure(figsize=(2.2 * columns, 2.3 * rows), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
        for axis, result in zip(axes, ordered, strict=False):
            draw_reliability(axis, result.reliability)
            axis.set_title(f"{shorten(result.label)} ({result.support:,})", fontsize=10)
        for axis in axes[len(ordered) :]:
            axis.set_visible(False)
        figure.supxlabel("predicted probability of the class", fontsize=10)
        figure.supylabel("share that was the class", fontsize=10)
        return _svg(figure)


def confusion_figure(evaluation: Evaluation) -> str:
    """Draw the confusion matrix, shaded by shares of the true class; empty text where it would be too large."""
    classes = len(evaluation.classes)
    if classes > MOST_CONFUSION_CLASSES:
        return ""
    shade = confusion_shade(evaluation.confusion)
    size = max(3.6, 0.45 * classes + 1.6)
    with _style():
        figure = Figure(figsize=(size, size), layout="constrained")
        axis = figure.subplots()
        draw_confusion(axis, shade, [result.label for result in evaluation.classes])
        write_counts(axis, evaluation.confusion, shade)
        return _svg(figure)


def learning_figure(history: Sequence[EpochRecord]) -> str:
    """Draw training and held-out log-loss by step, a panel a model, a thin line a fold, its best step marked."""
    models = list(dict.fromkeys(record.model for record in history))
    if not models:
        return ""
    with _style():
        figure = Figure(figsize=(4.6 * len(models), 3.2), layout="constrained")
        for axis, model in zip(np.atleast_1d(figure.subplots(1, len(models))), models, strict=True):
            records = [record for record in history if record.model == model]
            for fold in sorted({record.fold for record in records}):
                _draw_fold(axis, [record for record in records if record.fold == fold], labelled=fold == 1)
            axis.set_title(model, fontsize=10)
            axis.set_xlabel("step")
            axis.set_ylabel("log-loss")
            axis.legend(frameon=False, fontsize=9)
        return _svg(figure)


def _draw_fold(axis: Axes, records: Sequence[EpochRecord], *, labelled: bool) -> None:
    drawn = records[:: max(1, len(records) // MOST_POINTS)]
    steps = [record.epoch for record in drawn]
    for losses, colour, name in (
        ([record.train_loss for record in drawn], BLUE, "training rows"),
        ([record.valid_loss for record in drawn], ORANGE, "held-out rows"),
    ):
        axis.plot(steps, losses, color=colour, linewidth=1, alpha=0.8, label=name if labelled else None)
    held_out = [record for record in records if np.isfinite(record.valid_loss)]
    if held_out:
        best = min(held_out, key=lambda record: record.valid_loss)
        axis.plot([best.epoch], [best.valid_loss], marker="o", markersize=4, color=ORANGE)


def learning_rate_figure(curve: LearningRateCurve) -> str:
    """Draw the loss against the learning rate as it rose, with the usual rate and the one that was taken."""
    if not len(curve.rates):
        return ""
    with _style():
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axis = figure.subplots()
        axis.plot(curve.rates, curve.losses, color=GREY, linewidth=0.8, alpha=0.6, label="loss of each batch")
        axis.plot(curve.rates, curve.smoothed, color=BLUE, linewidth=1.4, label="its running mean")
        if curve.suggested != curve.usual:
            axis.axvline(curve.usual, color=GREY, linewidth=1, linestyle="--", label=f"usual: {curve.usual:.2g}")
        axis.axvline(curve.suggested, color=ORANGE, linewidth=1.2, label=f"taken: {curve.suggested:.2g}")
        axis.set_xscale("log")
        # Powers would be written as formulas.
        axis.xaxis.set_major_formatter("{x:g}")
        # A loss that diverges would press all else to a line.
        axis.set_ylim(0, min(1.15 * curve.smoothed.max(), 2 * curve.smoothed[0]))
        axis.set_xlabel("learning rate, rising from step to step")
        axis.set_ylabel("loss")
        axis.legend(frameon=False, fontsize=9)
        return _svg(figure)


def sets_figure(result: SetsResult, asked: float) -> str:
    """Draw how large prediction sets are, beside the coverage of each class and the coverage that was asked for."""
    ordered = sorted(result.classes, key=lambda each: -each.support)[:MOST_SMALL_DIAGRAMS]
    shown = [each for each in ordered if each.support][::-1]
    largest = int(np.flatnonzero(result.size_counts).max())
    with _style():
        figure = Figure(figsize=(9.2, max(3.0, 0.32 * len(shown) + 1.4)), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.bar(range(largest + 1), result.size_counts[: largest + 1], width=0.8, color=GREY)
        left.xaxis.get_major_locator().set_params(integer=True)
        left.set_xlabel("classes in the set")
        left.set_ylabel("rows")
        values = np.array([(each.coverage.low, each.coverage.value, each.coverage.high) for each in shown])
        errors = np.maximum([values[:, 1] - values[:, 0], values[:, 2] - values[:, 1]], 0)
        right.axvline(asked, color=ORANGE, linewidth=1, linestyle="--")
        right.errorbar(values[:, 1], range(len(shown)), xerr=errors, color=BLUE, fmt="o", markersize=4, elinewidth=1)
        right.set_yticks(range(len(shown)), [f"{shorten(each.label)} ({each.support:,})" for each in shown])
        right.set_ylim(-0.6, len(shown) - 0.4)
        right.set_xlim(right=1.02)
        right.set_xlabel("share of sets that hold the class")
        return _svg(figure)


def risk_coverage_figure(coverage: npt.NDArray[np.float64], risk: npt.NDArray[np.float64], area: float) -> str:
    """Draw the share of wrong answers against the share of rows that is answered, the surest first.

    Parameters
    ----------
    coverage, risk
        ``(m,)`` shares, 0 to 1, by rising coverage.
    area
        The area under the curve.
    """
    drawn = np.unique(np.linspace(0, len(coverage) - 1, MOST_POINTS).astype(int))
    with _style():
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axis = figure.subplots()
        axis.plot(coverage[drawn], risk[drawn], color=BLUE, linewidth=1.4)
        axis.fill_between(coverage[drawn], risk[drawn], color=BLUE, alpha=0.12, linewidth=0)
        axis.set_xlim(0, 1)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("share of rows that is answered, the surest first")
        axis.set_ylabel("share of answers that is wrong")
        axis.set_title(f"area {area:.4f}", fontsize=10)
        return _svg(figure)
