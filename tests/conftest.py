"""What every test needs: drawn tables and one small trained predictor."""

import os

# One thread a worker: the tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pytest

from crossent.data.read import read
from crossent.datasets import hpc_path
from crossent.fit import FitResult, fit
from crossent.recipe import Recipe


def draw_table(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Three classes that follow from a number and a category, with a date, a flag and gaps beside them."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=rows)
    colour = rng.choice(["red", "green", "blue"], size=rows)
    score = np.column_stack([size, -size + (colour == "red"), (colour == "blue") * 1.5])
    label = np.array(["a", "b", "c"])[(2 * score + rng.gumbel(size=score.shape)).argmax(axis=1)]
    return pd.DataFrame(
        {
            "size": np.where(rng.random(rows) < 0.1, np.nan, size),
            "colour": pd.Series(colour).where(rng.random(rows) > 0.05, None),
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 500, size=rows), unit="D"),
            "flag": rng.random(rows) < 0.5,
            "label": label,
        }
    )


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    return draw_table()


@pytest.fixture(scope="session")
def hpc() -> pd.DataFrame:
    return pd.read_csv(hpc_path())


@pytest.fixture(scope="session")
def linear_fit(table: pd.DataFrame) -> FitResult:
    return fit(read(table, "label"), Recipe(model="linear", folds=2))


@pytest.fixture(scope="session")
def boosting_fit(table: pd.DataFrame) -> FitResult:
    return fit(read(table, "label"), Recipe(model="boosting", folds=2, max_rounds=20))
