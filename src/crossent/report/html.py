"""The report as one HTML page that needs nothing else: no network, no script."""

import functools
import math
from pathlib import Path

import jinja2
from markupsafe import Markup

from crossent.disk import write_file
from crossent.evaluation.catalogue import COMPARED, METRICS
from crossent.evaluation.result import Estimate
from crossent.report import figures, words
from crossent.report.content import ReportContent

MOST_CLASSES_LISTED = 200
# What a browser may do for the page, whatever it contains: use its styles and the pictures inside it, and nothing else.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)


def render(content: ReportContent) -> str:
    """Return the page; the same content gives the same text."""
    evaluation, sets = content.evaluation, content.sets
    most = max((count for _, count in content.class_counts), default=1)
    return _template().render(
        content=content,
        content_security_policy=Markup(CONTENT_SECURITY_POLICY),
        evaluation=evaluation,
        headline=words.headline(evaluation),
        confusions=words.confusion_words(evaluation),
        trust=words.trust(evaluation),
        calibration_effect=words.calibration_effect_words(content.before_after) if content.before_after else "",
        metrics=METRICS,
        compared=COMPARED,
        most=most,
        most_classes_listed=MOST_CLASSES_LISTED,
        most_small_diagrams=figures.MOST_SMALL_DIAGRAMS,
        # Figures are our own markup; Matplotlib has escaped the class names in them.
        reliability=Markup(_reliability(content)),
        class_reliability=Markup(figures.class_reliability_figure(evaluation)),
        confusion=Markup(figures.confusion_figure(evaluation)),
        learning=Markup(figures.learning_figure(content.history)),
        learning_rate=Markup(figures.learning_rate_figure(content.learning_rate) if content.learning_rate else ""),
        sets=Markup(figures.sets_figure(sets.result, sets.coverage) if sets else ""),
        risk_coverage=Markup(_risk_coverage(content)),
    )


@functools.cache
def _template() -> jinja2.Template:
    """Return the compiled page: compiling takes longer than filling it in, and several pages may be written."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "estimate": _estimate,
        "difference": _difference,
        "figure": _figure,
        "percent": words.percent,
        "points": words.points,
        "number": _number,
    }
    return environment.get_template("template.html")


def _reliability(content: ReportContent) -> str:
    if content.before_after is None:
        return figures.reliability_figure(content.evaluation.reliability)
    before, after = (evaluation.reliability for evaluation in content.before_after.evaluations.values())
    return figures.before_after_figure(before, after)


def _risk_coverage(content: ReportContent) -> str:
    curve = content.risk_coverage
    return figures.risk_coverage_figure(curve.coverage, curve.risk, curve.area) if curve else ""


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page in one step, so that a crash leaves no partial page."""
    write_file(path, render(content).encode())


def _estimate(estimate: Estimate, share: bool = False) -> str:
    if not math.isfinite(estimate.value):
        return "-" if math.isnan(estimate.value) else "infinite"
    form = words.percent if share else _number
    return form(estimate.value) + words.interval(estimate, form)


def _figure(estimate: Estimate, share: bool = False) -> str:
    """Return the value alone."""
    if not math.isfinite(estimate.value):
        return "-" if math.isnan(estimate.value) else "infinite"
    return f"{100 * estimate.value:.1f} %" if share else _number(estimate.value)


def _difference(estimate: Estimate, share: bool = False) -> str:
    if estimate.value == estimate.low == estimate.high == 0:
        return "none"
    form = words.signed_points if share else _signed
    return form(estimate.value) + words.interval(estimate, form)


def _signed(value: float) -> str:
    return f"{value:+.3f}" if math.isfinite(value) else "-"


def _number(value: float) -> str:
    # Plus 0.0, so that what rounds to zero has no sign.
    return f"{round(value, 3) + 0.0:.3f}" if math.isfinite(value) else "-"
