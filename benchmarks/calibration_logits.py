"""Logits of nine kinds of models on public data, for the benchmark of calibration; kept in benchmarks/.cache.

Each data set is divided into rows to train on, rows to calibrate on and rows to test on. Probabilities below a
millionth become a millionth, because calibrators of logits cannot use -inf.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import crossent as ce
from datasets import CACHE, fashion_mnist, hpc, keel, letter, newsgroups, r8, shuttle

LEAST_PROB = 1e-6
TEST_ROWS = 10_000

Features = npt.NDArray[np.float32]
Target = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """A data set and how many of its rows train and calibrate; the rest, up to 10,000, are test rows."""

    name: str
    read: Callable[[], tuple[Features, Target]]
    train_rows: int
    calibration_rows: int


@dataclass(frozen=True, eq=False)
class Case:
    """Logits of one model on one data set."""

    source: str
    model: str
    logits: Logits
    target: Target
    test_logits: Logits
    test_target: Target

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.source}, {self.model}"


def table(read: Callable[[], tuple[pd.DataFrame, str]]) -> Callable[[], tuple[Features, Target]]:
    """Return a reader of numbers: categories become indicators."""

    def numbers() -> tuple[Features, Target]:
        frame, target = read()
        features = pd.get_dummies(frame.drop(columns=target), dtype=np.float32).to_numpy(np.float32)
        return features, pd.factorize(frame[target], sort=True)[0].astype(np.int64)

    return numbers


def texts(read: Callable[[str], pd.DataFrame]) -> Callable[[], tuple[Features, Target]]:
    """Return a reader of the 100 directions that tf-idf of the words varies most along."""

    def numbers() -> tuple[Features, Target]:
        frame = pd.concat([read("train"), read("test")])
        reduced = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=3), TruncatedSVD(100, random_state=0))
        return reduced.fit_transform(frame["text"]).astype(np.float32), pd.factorize(frame["label"], sort=True)[0]

    return numbers


def pictures() -> tuple[Features, Target]:
    """Return the 50 directions that the pictures vary most along."""
    pixels, labels = fashion_mnist()
    return PCA(50, random_state=0).fit_transform(pixels).astype(np.float32), labels


SOURCES = (
    Source("hpc", table(hpc), 2_000, 450),
    Source("penbased", table(lambda: keel("penbased")), 2_000, 1_000),
    Source("shuttle", table(shuttle), 4_000, 2_000),
    Source("newsgroups", texts(newsgroups), 4_000, 3_000),
    Source("letter", table(letter), 4_000, 5_000),
    Source("fashion", pictures, 4_000, 10_000),
)
# Penalties and rules were chosen only on these.
DEVELOPMENT = (
    Source("contraceptive", table(lambda: keel("contraceptive")), 500, 450),
    Source("segment", table(lambda: keel("segment")), 700, 600),
    Source("splice", table(lambda: keel("splice")), 900, 800),
    Source("satimage", table(lambda: keel("satimage")), 2_000, 450),
    Source("optdigits", table(lambda: keel("optdigits")), 1_000, 1_500),
    Source("texture", table(lambda: keel("texture")), 1_000, 1_000),
    Source("marketing", table(lambda: keel("marketing")), 2_000, 2_000),
    Source("r8", texts(r8), 2_000, 3_000),
)


def models() -> dict[str, Any]:
    """Return estimators that are not fitted yet."""
    return {
        "LightGBM": lightgbm.LGBMClassifier(n_estimators=100, num_leaves=15, random_state=0, verbose=-1),
        "hist boosting": HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0),
        "random forest": RandomForestClassifier(200, random_state=0),
        "extra trees": ExtraTreesClassifier(200, random_state=0),
        "network": make_pipeline(StandardScaler(), MLPClassifier((100,), alpha=0, max_iter=150, random_state=0)),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(10)),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        "naive Bayes": make_pipeline(StandardScaler(), GaussianNB(var_smoothing=1e-3)),
        "crossent": ce.Classifier(calibration="none", folds=1),
    }


def cases(sources: tuple[Source, ...]) -> list[Case]:
    """Return the logits of every model on every data set; models are fitted if the cache does not have them."""
    found = []
    for source in sources:
        for model in models():
            path = CACHE / f"calibration-{source.name}-{model.replace(' ', '-')}.npz"
            if not path.exists():
                _fit(source)
            with np.load(path) as stored:
                found.append(Case(source.name, model, *(stored[key] for key in _KEYS)))
    return found


_KEYS = ("logits", "target", "test_logits", "test_target")


def _fit(source: Source) -> None:
    features, target = source.read()
    rows, test, labels, test_labels = train_test_split(
        features,
        target,
        train_size=source.train_rows + source.calibration_rows,
        stratify=target,
        random_state=0,
    )
    train, held_out, train_labels, held_out_labels = train_test_split(
        rows, labels, test_size=source.calibration_rows, random_state=0
    )
    test, test_labels = test[:TEST_ROWS], test_labels[:TEST_ROWS]
    for name, model in models().items():
        with warnings.catch_warnings():
            # Training is cut short on purpose, and LightGBM gives its own names to columns.
            warnings.simplefilter("ignore")
            model.fit(train, train_labels)
            logits, test_logits = (_log_probs(model, some, int(target.max()) + 1) for some in (held_out, test))
        path = CACHE / f"calibration-{source.name}-{name.replace(' ', '-')}.npz"
        np.savez(path, logits=logits, target=held_out_labels, test_logits=test_logits, test_target=test_labels)


def _log_probs(model: Any, features: Features, num_classes: int) -> Logits:
    probs = np.zeros((len(features), num_classes))
    probs[:, model.classes_.astype(np.int64)] = model.predict_proba(features)
    return np.asarray(np.log(np.maximum(probs, LEAST_PROB)), np.float32)
