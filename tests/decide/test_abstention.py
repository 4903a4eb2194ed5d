import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossent.decide.abstention import risk_coverage, threshold_for_coverage, threshold_for_risk
from crossent.errors import SettingError, ShapeError


def draw(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet([0.5, 0.5, 0.5], size=rows)
    return probs, (np.log(probs) + rng.gumbel(size=probs.shape)).argmax(axis=1)


def test_a_curve_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.8, 0.2]])
    curve = risk_coverage(probs, np.array([0, 0, 0, 1]))
    assert curve.threshold.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk.tolist() == [0, 1 / 2, 2 / 3, 2 / 4]
    assert curve.area == pytest.approx((0 + 1 / 2 + 2 / 3 + 2 / 4) / 4)


def test_a_curve_of_other_answers_than_the_most_probable() -> None:
    probs = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.8, 0.2]])
    curve = risk_coverage(probs, np.array([0, 0, 0, 1]), predicted=[0, 0, 1, 1])
    # Confidence is the probability of what is answered.
    assert curve.threshold.tolist() == [0.9, 0.4, 0.3, 0.2]
    assert curve.risk.tolist() == [0, 1 / 2, 1 / 3, 1 / 4]
    for predicted in ([0, 0, 1], [0, 0, 1, 2]):
        with pytest.raises(ShapeError, match="predicted"):
            risk_coverage(probs, np.array([0, 0, 0, 1]), predicted=predicted)


@settings(max_examples=20)
@given(st.integers(0, 200))
def test_the_area_is_the_mean_over_random_orders_of_rows_of_equal_confidence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.choice([0.5, 0.625, 0.75], size=8)
    target = rng.integers(2, size=8)
    curve = risk_coverage(np.column_stack([first, 1 - first]), target)
    areas = []
    for _ in range(3000):
        order = np.lexsort((rng.random(8), -first))
        areas.append((np.cumsum(target[order] != 0) / np.arange(1, 9)).mean())
    assert curve.area == pytest.approx(np.mean(areas), abs=5 * np.std(areas) / np.sqrt(3000) + 1e-12)
    assert len(curve.threshold) == len(set(first))


@given(st.floats(0.001, 1), st.integers(0, 20))
def test_a_coverage_is_reached_and_the_next_higher_threshold_would_not(coverage: float, seed: int) -> None:
    curve = risk_coverage(*draw(57, seed))
    threshold = threshold_for_coverage(curve, coverage)
    confidence = draw(57, seed)[0].max(axis=1)
    assert (confidence >= threshold).mean() >= coverage - 1e-9
    assert (confidence > threshold).mean() < coverage


def test_whole_shares_are_not_rounded_up() -> None:
    probs, target = draw(20, 0)
    for rows in range(1, 21):
        threshold = threshold_for_coverage(risk_coverage(probs, target), rows / 20)
        assert (probs.max(axis=1) >= threshold).sum() == rows


def test_the_risk_is_kept_to_as_often_as_promised() -> None:
    """The true risk of a threshold follows from the probabilities, which are right."""
    new = draw(200_000, 10**6)[0].max(axis=1)
    broken, answered = 0, []
    for seed in range(200):
        try:
            threshold = threshold_for_risk(risk_coverage(*draw(800, seed)), 0.15, level=0.9)
        except SettingError:
            answered.append(0.0)  # a risk that is not promised is not broken
            continue
        kept = new >= threshold
        broken += (1 - new[kept]).mean() > 0.15
        answered.append(kept.mean())
    # 10 % may break it; the bound is safe, so that fewer do.
    assert broken <= 20
    # At the right threshold it would be 0.47; the price of the promise is high with 800 rows.
    assert np.mean(answered) > 0.2


def test_every_row_is_answered_where_the_risk_is_low_anyway() -> None:
    curve = risk_coverage(np.tile([0.9, 0.1], (1000, 1)), (np.arange(1000) < 50).astype(int))
    assert threshold_for_risk(curve, 0.1) == 0.0


def test_ties_are_answered_all_or_none() -> None:
    """100 sure rows without an error, 900 of one confidence with many: only the first are answered, also in float32."""
    probs = np.column_stack([np.repeat([0.99, 0.7], [200, 800]), np.repeat([0.01, 0.3], [200, 800])])
    target = (np.arange(1000) >= 760).astype(int)
    for values in (probs, probs.astype(np.float32)):
        threshold = threshold_for_risk(risk_coverage(values, target), 0.05)
        assert (values.max(axis=1) >= threshold).tolist() == [True] * 200 + [False] * 800


def test_a_risk_that_cannot_be_promised_says_which_can() -> None:
    with pytest.raises(SettingError, match=r"A risk of 0.01 .* lowest risk that they confirm, .*is about 0\.\d+"):
        threshold_for_risk(risk_coverage(np.tile([0.6, 0.4], (1000, 1)), np.arange(1000) % 2), 0.01)
    with pytest.raises(SettingError, match=r"needs at least 59 held-out rows.* There are 58"):
        threshold_for_risk(risk_coverage(np.tile([0.9, 0.1], (58, 1)), np.zeros(58, dtype=int)), 0.05)
    assert threshold_for_risk(risk_coverage(np.tile([0.9, 0.1], (59, 1)), np.zeros(59, dtype=int)), 0.05) == 0.0


@pytest.mark.parametrize("bad", [0.0, 1.0, -1.0, np.nan])
def test_settings_outside_their_bounds(bad: float) -> None:
    curve = risk_coverage(*draw(10, 0))
    with pytest.raises(SettingError, match="risk is between"):
        threshold_for_risk(curve, bad)
    with pytest.raises(SettingError, match="level is between"):
        threshold_for_risk(curve, 0.1, level=bad)
    if bad != 1:
        with pytest.raises(SettingError, match="coverage is above 0"):
            threshold_for_coverage(curve, bad)


def test_bad_rows_get_one_error() -> None:
    with pytest.raises(ShapeError, match="0 rows"):
        risk_coverage(np.zeros((0, 2)), np.zeros(0, dtype=int))
    with pytest.raises(ShapeError, match="Row 0 is"):
        risk_coverage(np.array([[0.5, 0.6]]), np.array([0]))
