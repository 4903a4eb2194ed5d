"""Held-out log-loss and accuracy on tables, beside peers at their best settings, on the same rows in the same run.

Needs ``pip install catboost pytabkit``. Takes hours for all; some models on some tables:

    python benchmarks/tables.py network CatBoost letter
"""

import functools
import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, QuantileTransformer

import crossent as ce
from datasets import diamonds, hpc, keel, letter, shuttle

Probs = npt.NDArray[np.float64]
Fit = Callable[[pd.DataFrame, pd.Series, pd.DataFrame], Probs]


def crossent_fit(train: pd.DataFrame, target: pd.Series, test: pd.DataFrame) -> Probs:
    return np.asarray(ce.Classifier().fit(train, target).predict_proba(test))


def network_fit(train: pd.DataFrame, target: pd.Series, test: pd.DataFrame) -> Probs:
    return np.asarray(ce.Classifier(model="network").fit(train, target).predict_proba(test))


def names(frame: pd.DataFrame) -> list[str]:
    return [str(column) for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]


def hist_fit(train: pd.DataFrame, target: pd.Series, test: pd.DataFrame) -> Probs:
    encoder = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), names(train)), remainder="passthrough"
    )
    categories = list(range(len(names(train)))) or None
    model = HistGradientBoostingClassifier(early_stopping=False, random_state=0, categorical_features=categories)
    pipeline = make_pipeline(encoder, model)
    rounds = {"histgradientboostingclassifier__max_iter": [50, 100, 200]}
    search = GridSearchCV(pipeline, rounds, scoring="neg_log_loss", cv=3).fit(train, target)
    return np.asarray(search.predict_proba(test))


def lightgbm_fit(train: pd.DataFrame, target: pd.Series, test: pd.DataFrame) -> Probs:
    categories = {column: pd.CategoricalDtype(sorted(train[column].unique())) for column in names(train)}
    train, test = train.astype(categories), test.astype(categories)
    rows, held_out, labels, held_out_labels = train_test_split(
        train, target, test_size=0.2, stratify=target, random_state=0
    )
    model = lightgbm.LGBMClassifier(learning_rate=0.05, n_estimators=2000, random_state=0, verbose=-1)
    stop: list[Callable[..., Any]] = [lightgbm.early_stopping(30, verbose=False)]
    model.fit(rows, labels, eval_X=held_out, eval_y=held_out_labels, callbacks=stop)
    return np.asarray(model.predict_proba(test))


def logistic_fit(train: pd.DataFrame, target: pd.Series, test: pd.DataFrame) -> Probs:
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), names(train)),
        remainder=QuantileTransformer(output_distribution="normal", n_quantiles=257),
    )
    model = LogisticRegressionCV(
        Cs=4, cv=5, l1_ratios=(0,), scoring="neg_log_loss", max_iter=1000, use_legacy_attributes=False
    )
    return np.asarray(make_pipeline(encoder, model).fit(train, target).predict_proba(test))


def catboost_fit(train: pd.DataFrame, target: pd.Series, test: pd.DataFrame) -> Probs:
    """Fit with the defaults, until held-out rows gain nothing for 50 rounds."""
    from catboost import CatBoostClassifier  # noqa: PLC0415 - a peer, not a dependency

    rows, held_out, labels, held_out_labels = train_test_split(
        train, target, test_size=0.2, stratify=target, random_state=0
    )
    model = CatBoostClassifier(
        cat_features=names(train), early_stopping_rounds=50, random_seed=0, verbose=False, allow_writing_files=False
    )
    model.fit(rows, labels, eval_set=(held_out, held_out_labels))
    return np.asarray(model.predict_proba(test))


def realmlp_fit(train: pd.DataFrame, target: pd.Series, test: pd.DataFrame) -> Probs:
    """Fit with the tuned defaults, except for settings that the authors advise for log-loss."""
    from pytabkit import RealMLP_TD_Classifier  # noqa: PLC0415 - a peer, not a dependency

    model = RealMLP_TD_Classifier(
        device="cpu",
        random_state=0,
        n_threads=os.cpu_count(),
        val_metric_name="cross_entropy",
        use_ls=False,
        calibration_method="ts-mix",
    )
    return np.asarray(model.fit(train, target, cat_col_names=names(train)).predict_proba(test))


def tabm_fit(train: pd.DataFrame, target: pd.Series, test: pd.DataFrame) -> Probs:
    """Fit with the tuned defaults, early stopping by errors among them, and temperature scaling.

    To stop by cross entropy harms it: pytabkit 1.7.3 takes it of probabilities as if these were logits, which goes on
    falling when confidence is far too high.
    """
    from pytabkit import TabM_D_Classifier  # noqa: PLC0415 - a peer, not a dependency

    model = TabM_D_Classifier(device="cpu", random_state=0, n_threads=os.cpu_count(), calibration_method="ts-mix")
    return np.asarray(model.fit(train, target, cat_col_names=names(train)).predict_proba(test))


@dataclass(frozen=True)
class Peer:
    """How a model is fitted, and the packages whose import is not part of its time."""

    fit: Fit
    packages: tuple[str, ...]


# Torch imports its compiler with the first optimizer of its own, used or not: 1.5 s.
OURS, PYTABKIT = ("crossent.estimators.classifier",), ("pytabkit", "torch._dynamo")
PEERS: dict[str, Peer] = {
    "crossent": Peer(crossent_fit, OURS),
    "network": Peer(network_fit, OURS),
    "CatBoost": Peer(catboost_fit, ("catboost",)),
    "RealMLP-TD": Peer(realmlp_fit, PYTABKIT),
    "TabM-D": Peer(tabm_fit, PYTABKIT),
    "HistGradientBoosting": Peer(hist_fit, ("sklearn",)),
    "LightGBM": Peer(lightgbm_fit, ("lightgbm",)),
    "LogisticRegressionCV": Peer(logistic_fit, ("sklearn",)),
}


T = TypeVar("T")


def chosen(named: dict[str, T], asked: list[str]) -> dict[str, T]:
    """Return what was asked for by name, or all."""
    return {name: value for name, value in named.items() if name in asked} or named


Source = Callable[[], tuple[pd.DataFrame, str]]
TABLES: dict[str, Source] = {
    "hpc": hpc,
    "shuttle": shuttle,
    "letter": letter,
    "penbased": functools.partial(keel, "penbased"),
    "diamonds": diamonds,
}


@dataclass(frozen=True)
class Result:
    """The scores of a model on held-out rows of a table, and the seconds to fit and predict."""

    log_loss: float
    accuracy: float
    seconds: float


def measure(table: str, name: str) -> Result:
    for package in PEERS[name].packages:
        importlib.import_module(package)
    frame, target = TABLES[table]()
    frame[target] = pd.factorize(frame[target], sort=True)[0]
    train, test = train_test_split(frame, test_size=0.25, stratify=frame[target], random_state=0)
    rows, labels, new = train.drop(columns=target), train[target], test.drop(columns=target)
    started = time.perf_counter()
    probs = PEERS[name].fit(rows, labels, new)
    seconds = time.perf_counter() - started
    loss, accuracy = log_loss(test[target], probs), accuracy_score(test[target], probs.argmax(axis=1))
    return Result(float(loss), float(accuracy), seconds)


def measure_alone(table: str, name: str) -> Result:
    """Measure in a process of its own: threads and memory that one model leaves behind would slow the next."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, table, name).result()


def main(asked: list[str]) -> None:
    print("| data | model | log-loss | accuracy | seconds |\n|---|---|---|---|---|")
    for table in chosen(TABLES, asked):
        for name in chosen(PEERS, asked):
            found = measure_alone(table, name)
            print(
                f"| {table} | {name} | {found.log_loss:.4f} | {found.accuracy:.4f} | {found.seconds:.1f} |", flush=True
            )


if __name__ == "__main__":
    main(sys.argv[1:])
