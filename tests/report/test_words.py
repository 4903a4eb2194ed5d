import dataclasses

import numpy as np
import pytest

from crossent.evaluation.result import Estimate
from crossent.report import words
from tests.report.draw import draw_before_after, draw_evaluation


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


def test_the_test_of_calibration_is_put_in_words() -> None:
    honest, bold = draw_evaluation(("a", "b", "c")), draw_evaluation(("a", "b", "c"), sharpness=3.0)
    assert "no reason to doubt" in words.calibration_test_words(honest)
    assert "not calibrated (p at most 0.005)" in words.calibration_test_words(bold)
    close = dataclasses.replace(honest, calibration_p_value=0.01)
    small = {name: Estimate(0.01, 0.0, 0.02) for name in ("debiased_top_label_error", "debiased_classwise_error")}
    close = dataclasses.replace(close, metrics={**close.metrics, **small})
    assert "(p = 0.01), but by little" in words.calibration_test_words(close)


def test_what_recalibration_would_remove_is_said() -> None:
    honest, bold = draw_evaluation(("a", "b", "c")), draw_evaluation(("a", "b", "c"), sharpness=3.0)
    assert "could gain nothing" in words.refinement_words(honest)
    assert f"remove {bold.metrics['log_loss_calibration'].value:.3f}" in words.refinement_words(bold)
    infinite = {"log_loss_calibration": Estimate(float("inf"), 0.0, float("inf"))}
    said = words.refinement_words(dataclasses.replace(honest, metrics={**honest.metrics, **infinite}))
    assert "probability of 0" in said


def test_the_effect_of_calibration_is_said() -> None:
    assert "lowered the log-loss by" in words.calibration_effect_words(draw_before_after(("a", "b", "c")))
    assert "changed nothing" in words.calibration_effect_words(draw_before_after(("a", "b", "c"), sharpness=1.0))
    assert "may be chance" in words.calibration_effect_words(draw_before_after(("a", "b", "c"), 20, sharpness=1.2))
    better_before = draw_before_after(("a", "b", "c"))
    worse = {"after": {"log_loss": Estimate(0.02, 0.01, 0.03)}}
    said = words.calibration_effect_words(dataclasses.replace(better_before, differences=worse))
    assert "raised the log-loss by 0.020 (0.010 to 0.030)" in said
