"""Figures of the held-out rows in an epoch, as pictures."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from crossent.evaluation.calibration import calibration_error, top_label
from crossent.evaluation.drawing import (
    confusion_shade,
    draw_confusion,
    draw_counts,
    draw_reliability,
    fit_level,
    shorten,
    style,
    write_counts,
)
from crossent.evaluation.metrics import confusion_matrix
from crossent.logits import LabelledLogits, log_softmax

# With more classes than this, only those with most errors are drawn.
MOST_CLASSES = 30
# With more classes than this, cells are only shaded, because numbers would be too small to read.
MOST_WITH_COUNTS = 12
_DOTS_PER_INCH = 100
# Size in inches of a cell, of the smallest matrix, and approximately of a character.
_CELL, _LEAST_SIDE, _CHARACTER = 0.27, 2.8, 0.085


def reliability_picture(held_out: LabelledLogits) -> bytes:
    """Draw confidence against accuracy of the predicted class, above the rows at each confidence; a PNG."""
    diagram = top_label(np.exp(log_softmax(held_out.logits)), held_out.target)
    with style():
        # The margins are set by hand, because computing them takes as long as everything else.
        figure = Figure(figsize=(5.2, 5.8))
        grid = {"left": 0.14, "right": 0.97, "bottom": 0.09, "top": 0.94, "hspace": 0.08}
        upper, lower = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True, gridspec_kw=grid)
        draw_reliability(upper, diagram)
        draw_counts(lower, diagram)
        rows = f"{len(held_out.target):,} rows held out"
        upper.set_title(f"{rows}, calibration error {calibration_error(diagram):.3f}", fontsize=10)
        upper.set_ylabel("share of rows that are right")
        lower.set_ylabel("rows")
        lower.set_xlabel("confidence: probability of the predicted class")
        return _png(figure)


def confusion_picture(held_out: LabelledLogits, classes: Sequence[object]) -> bytes:
    """Draw the confusion matrix, with many classes only the part with most errors; a PNG."""
    counts = confusion_matrix(held_out.target, held_out.logits.argmax(axis=1), len(classes))
    shade, shown = confusion_shade(counts), most_confused(counts)
    cell = np.ix_(shown, shown)
    names = [shorten(classes[i]) for i in shown]
    part = "" if len(shown) == len(classes) else f"\nthe {len(shown)} with most errors of {len(classes):,} classes"
    right = np.trace(counts) / counts.sum()
    side = max(_LEAST_SIDE, _CELL * len(shown))
    name_width = _CHARACTER * max(map(len, names))
    left, below = 0.5 + name_width, 0.55 + (0 if fit_level(names) else name_width)
    width, height = left + side + 0.2, below + side + (0.6 if part else 0.4)
    with style():
        figure = Figure(figsize=(width, height))
        axis = figure.add_axes((left / width, below / height, side / width, side / height))
        draw_confusion(axis, shade[cell], names)
        if len(shown) <= MOST_WITH_COUNTS:
            write_counts(axis, counts[cell], shade[cell])
        axis.set_title(f"{len(held_out.target):,} rows held out, {right:.1%} right{part}", fontsize=10)
        return _png(figure)


def most_confused(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Return, in their order, the classes to draw: all, or with many classes those with most errors.

    Examples
    --------
    >>> most_confused(np.array([[3, 1], [0, 4]]))
    array([0, 1])
    """
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    return np.sort(np.argsort(-errors, kind="stable")[:MOST_CLASSES])


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()
