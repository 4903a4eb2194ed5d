import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_allclose

from crossent.evaluation import resampled
from crossent.evaluation.intervals import resample_rows
from crossent.evaluation.resampled import classwise_errors, top_label_errors


def draw(rng, rows, class_count, temperature=1.0):
    logits = 2 * rng.normal(size=(rows, class_count))
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return scipy.special.softmax(logits / temperature, axis=1), target


def test_classes_taken_some_at_a_time_give_what_all_at_once_do(monkeypatch):
    rng = np.random.default_rng(0)
    probs, target = draw(rng, 100, 5)
    resamples = resample_rows(100, rng)
    whole_deviations, whole = classwise_errors(probs, target, resamples)
    monkeypatch.setattr(resampled, "_AT_ONCE", 200)
    deviations, some = classwise_errors(probs, target, resamples)
    assert_allclose(deviations, whole_deviations)
    assert_allclose(some.draws, whole.draws, atol=1e-7)


@pytest.mark.slow
def test_intervals_of_debiased_errors_cover_the_truth():
    # Calibrated: the truth is 0. Sharpened: it is what 200,000 rows give.
    for temperature in (1.0, 0.4):
        truth = top_label_errors(
            *draw(np.random.default_rng(9), 200_000, 3, temperature), resample_rows(200_000, np.random.default_rng(0))
        )[1].value
        truth = 0.0 if temperature == 1.0 else truth
        rng, covered = np.random.default_rng(1), 0
        for _ in range(100):
            estimate = top_label_errors(*draw(rng, 150, 3, temperature), resample_rows(150, rng))[1].estimate(150)
            assert estimate.low <= estimate.high
            covered += estimate.low <= truth <= estimate.high
        assert covered / 100 >= 0.9
