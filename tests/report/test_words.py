import dataclasses

import numpy as np
import pytest

from crossent.evaluation.result import Estimate
from crossent.report import words
from tests.report.conftest import draw_evaluation


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.834, "83 %"),
        (0.996, "99.6 %"),
        (0.9999, ">99.9 %"),
        (0.0001, "<0.1 %"),
        (0.004, "0.4 %"),
        (float("nan"), "unknown"),
    ],
)
def test_percent_never_claims_all_or_nothing(share: float, text: str) -> None:
    assert words.percent(share) == text


def test_headline_says_accuracy_loss_calibration_and_confusion() -> None:
    evaluation = draw_evaluation(("a", "b", "c"))
    accuracy, loss, calibration, confusion = words.headline(evaluation)
    assert accuracy.startswith(words.percent(evaluation.metrics["accuracy"].value) + " right")
    assert f"{evaluation.metrics['log_loss'].value:.3f}" in loss
    assert "removes" in loss
    assert "points" in calibration
    assert "is taken for" in confusion


def test_model_no_better_than_the_prior_is_called_so() -> None:
    useless = draw_evaluation(("a", "b", "c"), sharpness=-1.0)
    assert "the model adds nothing" in words.log_loss_words(useless)


def test_few_rows_are_too_few_to_tell() -> None:
    few = draw_evaluation(("a", "b", "c"), rows=60)
    close = Estimate(few.baseline["log_loss"] - 0.01, few.baseline["log_loss"] - 0.2, few.baseline["log_loss"] + 0.2)
    said = words.log_loss_words(dataclasses.replace(few, metrics={**few.metrics, "log_loss": close}))
    assert "too close to tell on 60 rows" in said


def test_overconfidence_is_warned_of() -> None:
    assert "with care" in words.calibration_words(draw_evaluation(("a", "b", "c"), sharpness=10.0))
    assert "10 rows are too few to tell" in words.calibration_words(draw_evaluation(("a", "b", "c"), rows=10))
    assert "at their word" in words.calibration_words(draw_evaluation(("a", "b", "c"), rows=20_000))


def test_confusions_are_counted_from_the_matrix() -> None:
    evaluation = draw_evaluation(("a", "b", "c"))
    matrix = np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]])
    said = words.confusion_words(dataclasses.replace(evaluation, confusion=matrix))
    assert said == ("a is taken for b in 20 % of cases (2 of 10 rows).",)
    assert words.confusion_words(dataclasses.replace(evaluation, confusion=np.eye(3, dtype=np.int64))) == ()


def test_intervals_that_are_not_known_are_left_out() -> None:
    assert words.interval(Estimate(0.5, float("nan"), float("nan")), words.percent) == ""
    assert words.interval(Estimate(0.5, 0.25, 0.75), words.percent) == " (25 % to 75 %)"
