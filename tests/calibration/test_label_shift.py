import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from crossent.calibration.label_shift import sample_of_prior

OLD = np.array([0.7, 0.25, 0.05])


@pytest.mark.parametrize("new", [[1 / 3, 1 / 3, 1 / 3], [0.05, 0.25, 0.7], [0.8, 0.19, 0.01]])
def test_the_rows_that_stay_have_the_new_shares(new: list[float]) -> None:
    rng = np.random.default_rng(0)
    target = rng.choice(3, size=200_000, p=OLD)
    chosen = sample_of_prior(target, OLD, np.array(new), rng)
    counts = np.bincount(target[chosen], minlength=3)
    assert chisquare(counts, counts.sum() * np.array(new)).pvalue > 1e-4
    assert chosen.mean() == pytest.approx((OLD / new).min(), rel=0.05)
    # Of the class that gains most, every row stays.
    assert chosen[target == np.argmax(np.array(new) / OLD)].all()


def test_whether_a_row_stays_depends_on_its_class_alone() -> None:
    rng = np.random.default_rng(0)
    target = rng.choice(3, size=100_000, p=OLD)
    value = rng.normal(target)
    chosen = sample_of_prior(target, OLD, np.full(3, 1 / 3), rng)
    for k in range(3):
        rows = chosen & (target == k)
        assert value[rows].mean() == pytest.approx(k, abs=5 / np.sqrt(rows.sum()))


@given(st.integers(0, 1000), st.integers(0, 50))
def test_all_rows_stay_under_the_same_shares(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    old = rng.dirichlet(np.ones(4)) + 1e-9
    assert sample_of_prior(rng.integers(4, size=rows), old, old, rng).all()
