import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from crossent.evaluation import metrics
from crossent.evaluation.calibration import bin_of, calibration_error, reliability
from crossent.evaluation.intervals import (
    GROUPS,
    RESAMPLES,
    deviation_interval,
    draw_cells,
    percentile_interval,
    resample_confusion,
    resample_rows,
)

TARGET = np.repeat([0, 1, 2], [30, 15, 5])
PREDICTED = np.where(np.arange(50) % 4 == 0, (TARGET + 1) % 3, TARGET)


def resample_row_by_row(rng):
    """The plain row bootstrap, as the reference."""
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(TARGET), size=len(TARGET))
        yield metrics.class_counts(metrics.confusion_matrix(TARGET[drawn], PREDICTED[drawn], 3))


@pytest.mark.parametrize("figure", [metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1])
def test_resampled_cells_are_distributed_as_resampled_rows(figure):
    confusion = metrics.confusion_matrix(TARGET, PREDICTED, 3)
    by_cell = figure(resample_confusion(confusion, np.random.default_rng(1)))
    by_row = np.array([figure(counts) for counts in resample_row_by_row(np.random.default_rng(2))])
    assert scipy.stats.ks_2samp(by_cell, by_row).pvalue > 0.01


def test_resampled_cells_have_the_moments_of_the_multinomial():
    confusion = np.array([[40, 10], [0, 50]])
    counts = resample_confusion(confusion, np.random.default_rng(0))
    for drawn, expected in ((counts.correct[:, 0], 40), (counts.actual[:, 0], 50), (counts.predicted[:, 1], 60)):
        deviation = np.sqrt(expected * (1 - expected / 100))
        assert abs(drawn.mean() - expected) < 4 * deviation / np.sqrt(RESAMPLES)
        assert_allclose(drawn.std(), deviation, rtol=0.1)
    assert_array_equal(counts.correct[:, 1], counts.actual[:, 1])  # class 1 has no row beside the diagonal


def test_resampled_means_are_distributed_as_resampled_rows():
    values = np.random.default_rng(0).exponential(size=40)
    means = resample_rows(40, np.random.default_rng(1)).means(values)
    by_row = np.random.default_rng(2).choice(values, size=(RESAMPLES, 40)).mean(axis=1)
    assert scipy.stats.ks_2samp(means, by_row).pvalue > 0.01


def test_groups_of_many_rows_give_the_spread_of_the_mean():
    rng = np.random.default_rng(0)
    rows = 5 * GROUPS + 7
    values = np.sort(rng.exponential(size=rows))  # sorted: neighbours are alike, as in a table
    means = resample_rows(rows, rng).means(values)
    assert_allclose(means.std(), values.std() / np.sqrt(rows), rtol=0.08)
    assert_allclose(means.mean(), values.mean(), atol=4 * means.std() / np.sqrt(RESAMPLES))


def test_cells_of_resamples_are_those_of_the_repeated_rows():
    rng = np.random.default_rng(0)
    probability, outcome = rng.random((40, 3)), rng.random((40, 3)) < 0.5
    resamples = resample_rows(40, rng)
    cells = draw_cells(resamples, probability, outcome, bins=4)
    for i in (0, 1):
        rows = np.repeat(np.arange(40), resamples.repeats[i, resamples.group].astype(int))
        squared, deviation = 0.0, 0.0
        for k in range(3):
            gap, bin_index = outcome[:, k] - probability[:, k], bin_of(probability[:, k], 4)
            for b in range(4):
                own = gap[rows][bin_index[rows] == b]
                squared += own.sum() ** 2 / (40 * len(own)) if len(own) else 0.0
                deviation += abs(own.sum() - gap[bin_index == b].sum()) / 40
        assert_allclose(cells.squared_errors()[i], squared, atol=1e-12)
        assert_allclose(cells.deviations()[i], deviation, atol=1e-12)


def test_one_infinite_value_makes_infinite_just_the_resamples_that_hold_it():
    rng = np.random.default_rng(0)
    values = np.append(np.zeros(49), np.inf)
    resamples = resample_rows(50, rng)
    means = resamples.means(values)
    holds = resamples.repeats[:, resamples.group[-1]] > 0
    assert_array_equal(means, np.where(holds, np.inf, 0.0))
    estimate = percentile_interval(np.inf, means, rows=50)
    assert (estimate.low, estimate.high) == (0.0, np.inf)


def test_interval_of_the_accuracy_covers_the_truth_about_95_percent_of_the_time():
    rng = np.random.default_rng(0)
    truth, simulations, covered = 0.7, 200, 0
    for _ in range(simulations):
        right = int(rng.binomial(200, truth))
        confusion = np.array([[right, 200 - right], [0, 0]])
        draws = metrics.accuracy(resample_confusion(confusion, rng))
        estimate = percentile_interval(right / 200, draws, rows=200)
        covered += estimate.low <= truth <= estimate.high
    assert 0.91 <= covered / simulations <= 0.98


@pytest.mark.parametrize(("shift", "least"), [(0.0, 0.91), (0.15, 0.97)])
def test_interval_of_a_calibration_error_covers_the_truth(shift, least):
    # All probabilities are 0.05 above an edge of five bins, the event happens with probability + shift: the error of
    # the bins is the shift itself. Where that is 0, the cover is 95 % give or take the 1.5 % of 200 simulations.
    rng = np.random.default_rng(1)
    simulations, covered = 200, 0
    for _ in range(simulations):
        probability = rng.integers(4, size=150) / 5 + 0.05
        outcome = rng.random(150) < probability + shift
        cells = draw_cells(resample_rows(150, rng), probability[:, None], outcome[:, None], bins=5)
        error = calibration_error(reliability(probability, outcome, bins=5))
        estimate = deviation_interval(error, cells.deviations(), 150)
        assert estimate.low <= estimate.value <= estimate.high
        covered += estimate.low <= shift <= estimate.high
    assert covered / simulations >= least


def test_undefined_resamples_are_left_out():
    draws = np.append(np.full(900, np.nan), np.full(100, 0.25))
    assert percentile_interval(0.5, draws, rows=3).high == 0.25
    assert np.isnan(percentile_interval(np.nan, np.full(10, np.nan), rows=3).low)


@pytest.mark.parametrize("interval", [percentile_interval, deviation_interval])
def test_one_row_has_no_interval(interval):
    estimate = interval(0.5, np.full(RESAMPLES, 0.5), rows=1)
    assert estimate.value == 0.5
    assert np.isnan([estimate.low, estimate.high]).all()


def test_the_same_seed_gives_the_same_resamples():
    first, second = (resample_rows(30, np.random.default_rng(5)) for _ in range(2))
    assert_array_equal(first.repeats, second.repeats)
    assert_array_equal(first.group, second.group)
