"""What every test needs: drawn tables and one small trained predictor."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# One thread a worker: the tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pandas as pd
import pytest

from crossent.data.read import read
from crossent.datasets import hpc_path
from crossent.fitting.fit import FitResult, fit
from crossent.fitting.recipe import Recipe
from crossent.models.settings import Boosting, Network

# A busy machine is no error.
hypothesis.settings.register_profile("crossent", deadline=None)
hypothesis.settings.load_profile("crossent")


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


def draw_imbalanced(rows: int, seed: int) -> pd.DataFrame:
    """Three classes around points of their own, of which one is rare."""
    rng = np.random.default_rng(seed)
    label = rng.choice(["common", "other", "rare"], size=rows, p=[0.7, 0.25, 0.05])
    centre = pd.DataFrame({"common": [0.0, 0], "other": [1.5, 0], "rare": [0, 1.5]}).T.loc[label].to_numpy()
    return pd.DataFrame(centre + rng.normal(size=(rows, 2)), columns=["x", "y"]).assign(label=label)


def draw_reviews(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Reviews of three classes that follow from their words and from a number beside them."""
    rng = np.random.default_rng(seed)
    words = {
        "angry": ["awful", "broken", "refund"],
        "happy": ["lovely", "perfect", "thanks"],
        "unsure": ["perhaps", "okay"],
    }
    filling = "the parcel came on monday and my sister opened it with me in our garden"
    label = rng.choice(list(words), size=rows)
    texts = [
        " ".join(rng.permutation([*rng.choice(filling.split(), 7), *rng.choice(words[name], 2)])) for name in label
    ]
    stars = np.select([label == "angry", label == "happy"], [1.0, 5.0], 3.0) + rng.normal(0, 1.5, rows)
    return pd.DataFrame({"review": texts, "stars": stars, "label": label})


@contextmanager
def size_limit(most: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: writing then fails as on a full disk."""
    import resource  # noqa: PLC0415 - not there on Windows

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


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
def text_fit() -> FitResult:
    return fit(read(draw_reviews(), "label"), Recipe(folds=2))


@pytest.fixture(scope="session")
def boosting_fit(table: pd.DataFrame) -> FitResult:
    return fit(read(table, "label"), Recipe(model="boosting", folds=2, boosting=Boosting(max_rounds=20)))


@pytest.fixture(scope="session")
def network_fit(table: pd.DataFrame) -> FitResult:
    return fit(read(table, "label"), Recipe(model="network", folds=2, network=Network(max_epochs=10)))
