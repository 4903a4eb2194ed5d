import numpy as np
import pandas as pd
import pytest
import scipy.special
from numpy.testing import assert_allclose

from crossent.errors import CrossentError
from crossent.evaluation.catalogue import COMPARED, METRICS
from crossent.evaluation.compare import compare
from crossent.evaluation.evaluate import evaluate
from crossent.evaluation.metrics import log_loss_of_rows


def draw(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(rows, 3))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def test_evaluations_are_those_of_each_source_alone():
    logits, y = draw()
    sources = {"bold": scipy.special.softmax(3 * logits, axis=1), "honest": scipy.special.softmax(logits, axis=1)}
    found = compare(sources, y, seed=3)
    for name, probs in sources.items():
        assert found.evaluations[name].metrics == evaluate(probs, y, seed=3).metrics
    for metric in COMPARED:
        values = [found.evaluations[name].metrics[metric].value for name in ("bold", "honest")]
        assert_allclose(found.differences["honest"][metric].value, values[1] - values[0], atol=1e-12)


def test_pairs_have_the_interval_of_the_mean_difference():
    logits, y = draw(1500)
    first, second = (scipy.special.log_softmax(t * logits, axis=1) for t in (1.2, 1.0))
    found = compare({"first": np.exp(first), "second": np.exp(second)}, y).differences["second"]["log_loss"]
    differences = log_loss_of_rows(second, y) - log_loss_of_rows(first, y)
    half = 1.96 * differences.std() / np.sqrt(1500)
    assert_allclose([found.low, found.high], [differences.mean() - half, differences.mean() + half], atol=0.15 * half)


def test_a_difference_that_overlapping_intervals_hide_is_found():
    logits, y = draw(400)
    found = compare({f"t{t}": scipy.special.softmax(t * logits, axis=1) for t in (1.5, 1.0)}, y)
    first, second = (evaluation.metrics["log_loss"] for evaluation in found.evaluations.values())
    assert first.low < second.high
    assert found.differences["t1.0"]["log_loss"].high < 0


def test_the_same_probabilities_do_not_differ():
    probs = scipy.special.softmax(draw()[0], axis=1)
    found = compare({"a": probs, "b": probs.copy()}, draw()[1])
    assert all((d.value, d.low, d.high) == (0, 0, 0) for d in found.differences["b"].values())


def test_table_has_a_column_for_each_source_and_difference():
    logits, y = draw(100)
    found = compare({name: scipy.special.softmax(t * logits, axis=1) for name, t in (("a", 1), ("b", 2), ("c", 3))}, y)
    lines = str(found).splitlines()
    assert lines[1].split() == ["a", "b", "b", "-", "a", "c", "c", "-", "a"]
    assert [line.startswith(METRICS[name].title) for name, line in zip(COMPARED, lines[2:], strict=False)]
    assert lines[-1].startswith("p-value of calibration")
    assert len(lines) == 3 + len(COMPARED)


def test_frames_of_other_classes_and_a_single_source_are_refused():
    probs = np.full((2, 2), 0.5)
    with pytest.raises(CrossentError, match="'second' has"):
        compare(
            {"first": pd.DataFrame(probs, columns=["a", "b"]), "second": pd.DataFrame(probs, columns=["b", "a"])},
            ["a", "b"],
        )
    with pytest.raises(CrossentError, match="There are 1"):
        compare({"only": probs}, [0, 1])
    with pytest.raises(CrossentError, match="There are 0"):
        compare({}, [0, 1])


def test_an_impossible_event_in_both_sources_leaves_no_difference_to_tell():
    probs = np.array([[1.0, 0.0], [0.5, 0.5]])
    found = compare({"a": probs, "b": probs}, [1, 0])
    assert np.isnan(found.differences["b"]["log_loss"].value)


def test_sources_that_predict_other_classes_are_judged_on_the_same_rows_too():
    logits, y = draw(1500)
    other = logits + 0.3 * np.random.default_rng(1).normal(size=logits.shape)
    first, second = (scipy.special.log_softmax(each, axis=1) for each in (logits, other))
    assert (first.argmax(axis=1) != second.argmax(axis=1)).mean() > 0.05
    found = compare({"first": np.exp(first), "second": np.exp(second)}, y).differences["second"]["log_loss"]
    differences = log_loss_of_rows(second, y) - log_loss_of_rows(first, y)
    half = 1.96 * differences.std() / np.sqrt(1500)
    assert_allclose([found.low, found.high], [differences.mean() - half, differences.mean() + half], atol=0.15 * half)
