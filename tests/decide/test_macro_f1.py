import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from crossent.decide.macro_f1 import macro_f1, macro_f1_of_prefixes


@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 1000))
def test_it_is_scikit_learns_for_every_number_of_rows_moved(class_count: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, k = rng.integers(class_count, size=rows), int(rng.integers(class_count))
    rest = rng.choice(np.delete(np.arange(class_count), k), size=rows)
    scores = macro_f1_of_prefixes(rest, target, k)
    for moved in range(rows + 1):
        predicted = np.where(np.arange(rows) < moved, k, rest)
        expected = f1_score(target, predicted, average="macro", zero_division=0)
        assert scores[moved] == pytest.approx(expected, abs=1e-12)
        assert macro_f1(target, predicted) == pytest.approx(expected, abs=1e-12)
