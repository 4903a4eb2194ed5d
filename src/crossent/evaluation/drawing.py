"""What is drawn more than once, onto axes of matplotlib: reliability diagrams and confusion matrices."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from crossent.evaluation.result import Reliability

# Okabe and Ito's palette, told apart by colour-blind readers too.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8a8f98"
LABEL_LENGTH = 16
# Class names below a matrix that need more characters than this, each as many as the longest, are turned on end.
MOST_LEVEL_CHARACTERS = 32

_STYLE: dict[Any, Any] = {
    # A class called "$x$" is no formula.
    "text.parse_math": False,
    "font.family": ["sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#333",
    "xtick.color": "#333",
    "ytick.color": "#333",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and write figures in the look of the project."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Matplotlib's own font need not know the script of a class name.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield


def shorten(label: object) -> str:
    """Return a class name that fits an axis.

    Examples
    --------
    >>> shorten("a name that goes on")
    'a name that goe…'
    """
    text = " ".join(str(label).split())
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def draw_reliability(axis: Axes, reliability: Reliability) -> None:
    """Draw confidence against how often it was right, with intervals, beside the diagonal of perfect calibration."""
    filled = reliability.count > 0
    confidence, frequency = reliability.confidence[filled], reliability.frequency[filled]
    below, above = frequency - reliability.low[filled], reliability.high[filled] - frequency
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    errors = np.maximum([below, above], 0)
    axis.errorbar(confidence, frequency, errors, color=BLUE, marker="o", markersize=4, linewidth=1.2, elinewidth=1)
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    axis.set_xticks([0, 0.5, 1])
    axis.set_yticks([0, 0.5, 1])


def draw_counts(axis: Axes, reliability: Reliability) -> None:
    """Draw how many rows each bin holds."""
    centres = (reliability.edges[:-1] + reliability.edges[1:]) / 2
    axis.bar(centres, reliability.count, width=np.diff(reliability.edges) * 0.9, color=GREY)


def draw_confusion(axis: Axes, shade: npt.NDArray[np.float64], labels: Sequence[object]) -> None:
    """Draw a confusion matrix: right answers in blue, errors in orange.

    Parameters
    ----------
    shade
        ``(K, K)`` from `confusion_shade`.
    labels
        Names of the K classes.
    """
    hue = np.where(np.eye(len(shade), dtype=bool)[..., None], to_rgb(BLUE), to_rgb(ORANGE))
    axis.imshow(1 - shade[..., None] * (1 - hue), interpolation="nearest")
    names = [shorten(label) for label in labels]
    axis.set_xticks(range(len(names)), names, rotation=0 if fit_level(names) else 90)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def fit_level(names: Sequence[str]) -> bool:
    """Say whether class names find room side by side below a matrix."""
    return len(names) * max(map(len, names)) <= MOST_LEVEL_CHARACTERS


def confusion_shade(counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return how dark each cell of a confusion matrix is, 0 to 1: the cube root of its share of the true class.

    The root makes an error of one row in a hundred visible.

    Examples
    --------
    >>> confusion_shade(np.array([[992, 8], [0, 0]])).round(2)
    array([[1. , 0.2],
           [0. , 0. ]])
    """
    support = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    shade: npt.NDArray[np.float64] = np.cbrt(share)
    return shade


def write_counts(axis: Axes, counts: npt.NDArray[Any], shade: npt.NDArray[np.float64]) -> None:
    """Write the counts that are not zero into the cells of a confusion matrix."""
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shade[row, column] > 0.8 else "#222"
            shown = f"{count:,}" if isinstance(count, np.integer) else f"{count:,.1f}"
            axis.text(column, row, shown, ha="center", va="center", color=colour, fontsize=9)
