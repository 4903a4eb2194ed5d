"""The report as one HTML page that needs nothing else: no network, no script."""

import math
from pathlib import Path

import jinja2
from markupsafe import Markup

from crossent.evaluation.result import Estimate
from crossent.report import figures, words
from crossent.report.content import ReportContent
from crossent.storage import write_file

# name: title, meaning, whether it is a share.
METRICS = {
    "log_loss": ("Log-loss", "mean surprise at the true class, in nats; 0 is perfect", False),
    "accuracy": ("Accuracy", "share of rows whose most probable class is the true one", True),
    "balanced_accuracy": ("Balanced accuracy", "accuracy with every class counting the same", True),
    "macro_f1": ("Macro F1", "precision and recall in one, every class counting the same", True),
    "brier": ("Brier score", "squared distance from probabilities to what happened; 0 is perfect, 2 the worst", False),
    "top_label_calibration_error": (
        "Calibration error",
        "how far confidence is from the share that was right, on average",
        True,
    ),
    "classwise_calibration_error": (
        "Classwise calibration error",
        "the same for the probability of each class, averaged over classes",
        True,
    ),
}
MOST_CLASSES_LISTED = 200


def render(content: ReportContent) -> str:
    """Return the page; the same content gives the same text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"estimate": _estimate, "percent": words.percent, "points": words.points, "number": _number}
    evaluation = content.evaluation
    most = max((count for _, count in content.class_counts), default=1)
    return environment.get_template("template.html").render(
        content=content,
        evaluation=evaluation,
        headline=words.headline(evaluation),
        confusions=words.confusion_words(evaluation),
        metrics=METRICS,
        most=most,
        most_classes_listed=MOST_CLASSES_LISTED,
        most_small_diagrams=figures.MOST_SMALL_DIAGRAMS,
        # Figures are our own markup; Matplotlib has escaped the class names in them.
        reliability=Markup(figures.reliability_figure(evaluation.reliability)),
        class_reliability=Markup(figures.class_reliability_figure(evaluation)),
        confusion=Markup(figures.confusion_figure(evaluation)),
        learning=Markup(figures.learning_figure(content.history)),
    )


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page in one step, so that a crash leaves no half of it."""
    write_file(path, render(content).encode())


def _estimate(estimate: Estimate, share: bool = False) -> str:
    form = words.percent if share else _number
    if not math.isfinite(estimate.value):
        return "-" if math.isnan(estimate.value) else "infinite"
    return form(estimate.value) + words.interval(estimate, form)


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"
