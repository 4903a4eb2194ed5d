from collections.abc import Iterator

import numpy as np
import pytest

from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.solver.data import RegressionData
from crossent.solver.newton import minimise
from crossent.solver.stream import draw_sample, minimise_stream


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_lead_to_the_optimum_of_all_rows(weighted: bool, dtype: type) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 4)).astype(dtype)
    y = (X @ rng.normal(size=(4, 3)) + rng.gumbel(size=(5000, 3))).argmax(1)
    weight = rng.random(5000).astype(dtype) if weighted else None
    whole = RegressionData(FeatureRows(X, None, 4), RowTargets(y, None, weight), 3)
    passes = []

    def batches() -> Iterator[RegressionData]:
        passes.append(1)
        for begin in range(0, 5000, 700):
            part = slice(begin, begin + 700)
            yield RegressionData(whole.rows.take(part), whole.targets.take(part), 3)

    sample = RegressionData(whole.rows.take(slice(0, 500)), whole.targets.take(slice(0, 500)), 3)
    penalty, start = np.append(np.full(4, 1e-4), 0), np.zeros((5, 3))
    options = {"tolerance": 1e-8, "max_steps": 50, "on_step": lambda _: False}
    found = minimise_stream(batches, whole.total_weight(), sample, penalty, start, **options)
    exact = minimise(whole, penalty, start, **options)
    assert found.converged
    assert found.objective == pytest.approx(exact.objective, rel=1e-6)
    np.testing.assert_allclose(found.theta, exact.theta, atol=2e-3)
    assert len(passes) == found.passes < 25


def test_a_sample_is_some_of_the_rows_and_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossent.solver.stream.SAMPLE_BYTES", 8 * 100)
    X = np.arange(1000.0)[:, None]

    def batches() -> Iterator[RegressionData]:
        for begin in range(0, 1000, 300):
            part = X[begin : begin + 300]
            codes = (part[:, 0] % 3).astype(np.int64)
            yield RegressionData(FeatureRows(part, None, 1), RowTargets(codes, None, part[:, 0]), 3)

    sample, again = draw_sample(batches, 1000), draw_sample(batches, 1000)
    rows = sample.rows.dense[:, 0]
    assert 60 < len(rows) < 140
    assert len(set(rows)) == len(rows)
    assert sample.targets.target is not None
    assert (sample.targets.target == rows % 3).all()
    assert (sample.targets.row_weight == rows).all()
    np.testing.assert_array_equal(rows, again.rows.dense[:, 0])
