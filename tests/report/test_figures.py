import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from crossent.evaluation.drawing import shorten
from crossent.report import figures
from crossent.train.learning_rate import LearningRateCurve
from tests.report.draw import draw_content, draw_evaluation, draw_learning_rate, draw_risk_coverage, draw_sets


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", "$x_1$", "机器学习", "a & b", "_" * 80])
def test_class_names_are_shown_as_they_are(label: str) -> None:
    svg = figures.confusion_figure(draw_evaluation((label, "other")))
    assert shorten(label) in texts(svg)
    assert "<script" not in svg


def test_counts_of_the_confusion_matrix_are_written_out() -> None:
    evaluation = draw_evaluation(("a", "b", "c"))
    shown = texts(figures.confusion_figure(evaluation))
    for count in evaluation.confusion.ravel():
        assert not count or f"{count:,}" in shown


def test_large_confusion_is_left_to_words_and_many_classes_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each small diagram takes its time.
    monkeypatch.setattr(figures, "MOST_SMALL_DIAGRAMS", 6)
    evaluation = draw_evaluation(tuple(range(200)), rows=3000)
    assert figures.confusion_figure(evaluation) == ""
    titles = [text for text in texts(figures.class_reliability_figure(evaluation)) if text.endswith(")")]
    assert len(titles) == 6


def test_before_and_after_are_two_diagrams_in_one() -> None:
    before, after = (draw_evaluation(("a", "b"), sharpness=sharpness).reliability for sharpness in (3.0, 1.0))
    shown = texts(figures.before_after_figure(before, after))
    assert {"before calibration", "after calibration", "share of rows that are right"} <= set(shown)
    assert figures.before_after_figure(before, after) != figures.before_after_figure(after, after)


def test_sets_show_classes_with_rows_only() -> None:
    summary = draw_sets(("a", "b", "c"))
    absent = dataclasses.replace(summary.result.classes[2], label="never", support=0)
    result = dataclasses.replace(summary.result, classes=(*summary.result.classes[:2], absent))
    shown = texts(figures.sets_figure(result, summary.coverage))
    assert f"a ({result.classes[0].support})" in shown
    assert not any("never" in text for text in shown)
    assert len(texts(figures.sets_figure(draw_sets(tuple(range(100)), rows=3000).result, 0.9))) < 60


def test_long_risk_coverage_curves_are_thinned() -> None:
    found = draw_risk_coverage()
    coverage = np.linspace(0.0, 1.0, 100_000)
    short = figures.risk_coverage_figure(found.coverage, found.risk, found.area)
    long = figures.risk_coverage_figure(coverage, 0.2 * coverage, 0.1)
    assert len(long) < 1.5 * len(short)
    assert "area 0.0667" in texts(short)


def test_the_search_for_a_rate_names_the_one_taken_and_the_usual_one_where_it_is_another() -> None:
    shown = texts(figures.learning_rate_figure(draw_learning_rate(0.002)))
    assert {"taken: 0.002", "usual: 0.01", "learning rate, rising from step to step", "0.001", "0.1"} <= set(shown)
    assert not any("$" in text for text in shown)
    kept = texts(figures.learning_rate_figure(draw_learning_rate(0.01)))
    assert "taken: 0.01" in kept
    assert "usual: 0.01" not in kept
    nothing = np.empty(0)
    assert figures.learning_rate_figure(LearningRateCurve(nothing, nothing, nothing, 0.01, 0.01, "")) == ""


def test_same_figures_same_text() -> None:
    evaluation = draw_evaluation(("a", "b"))
    assert figures.reliability_figure(evaluation.reliability) == figures.reliability_figure(evaluation.reliability)


def test_long_history_is_thinned() -> None:
    short = figures.learning_figure(draw_content(("a", "b"), steps=300).history)
    long = figures.learning_figure(draw_content(("a", "b"), steps=3000).history)
    assert len(long) < 1.5 * len(short)
    assert {"linear", "boosting", "training rows", "held-out rows"} <= set(texts(long))
    assert figures.learning_figure(()) == ""
