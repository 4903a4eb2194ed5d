"""What an evaluation and a comparison print, against pages worked by hand."""

import dataclasses

import numpy as np
import pytest

from crossent.evaluation.catalogue import COMPARED
from crossent.evaluation.result import Comparison, Estimate, Evaluation, Reliability, aligned, p_value_words

NAN = float("nan")


def evaluation(log_loss: float, p_value: float, names: tuple[str, ...] = ("log_loss", "accuracy")) -> Evaluation:
    nothing = np.zeros(0)
    return Evaluation(
        rows=1200,
        metrics={name: Estimate(log_loss, log_loss - 0.1, log_loss + 0.1) for name in names},
        calibration_p_value=p_value,
        baseline={"log_loss": 1.0986, "accuracy": 0.5},
        classes=(),
        confusion=np.zeros((0, 0)),
        reliability=Reliability(np.zeros(1), *[nothing] * 5),
    )


def test_a_summary_lists_figures_with_intervals_in_columns() -> None:
    shown = evaluation(0.25, 0.4)
    shown = dataclasses.replace(shown, metrics={**shown.metrics, "accuracy": Estimate(12.5, NAN, NAN)})
    head, log_loss, accuracy, shares, p_value = str(shown).splitlines()
    assert head == "1,200 rows, 0 classes; 95 % intervals in brackets"
    assert log_loss.split() == ["Log-loss", "0.2500", "(0.1500", "to", "0.3500)"]
    assert accuracy.split() == ["Accuracy", "12.5000"]
    # Aligned to the right.
    assert log_loss.index("0.2500") + len("0.2500") == accuracy.index("12.5000") + len("12.5000") == len(accuracy)
    assert shares == "Knowing only the class shares: log-loss 1.0986, accuracy 0.5000."
    assert "p = 0.400" in p_value


def test_a_comparison_has_a_column_for_each_source_and_one_for_each_difference_to_the_first() -> None:
    sources = {"old": evaluation(0.5, 0.25, COMPARED), "new": evaluation(0.375, 0.5, COMPARED)}
    differences = {"new": {name: Estimate(-0.125, -0.25, 0.125) for name in COMPARED}}
    lines = str(Comparison(sources, differences)).splitlines()
    assert lines[0].startswith("1,200 rows;")
    assert lines[1].split() == ["old", "new", "new", "-", "old"]
    assert lines[2].split()[-6:] == ["0.5000", "0.3750", "-0.1250", "(-0.2500", "to", "+0.1250)"]
    assert lines[-1].split()[-2:] == ["0.250", "0.500"]
    assert len(lines) == len(COMPARED) + 3


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (0.005, "they are not calibrated (p at most 0.005)"),
        (0.0051, "they are not calibrated (p = 0.005)"),
        (0.0499, "they are not calibrated (p = 0.050)"),
        (0.05, "no reason to doubt the probabilities (p = 0.050)"),
        (1.0, "no reason to doubt the probabilities (p = 1.000)"),
    ],
)
def test_a_p_value_below_five_percent_is_reason_to_doubt(p_value: float, words: str) -> None:
    assert words in p_value_words(p_value)


def test_lines_are_as_wide_as_their_widest_cells_and_end_without_blanks() -> None:
    assert aligned([["a", "1", ""], ["bcd", "234", "x"], ["", "", ""]]) == ["a      1", "bcd  234  x", ""]
