"""Held-out log-loss and accuracy on tables, beside peers at their best settings, on the same rows in the same run.

python benchmarks/tables.py
python benchmarks/tables.py network letter   # some models, on some tables
"""

import functools
import sys
import time
from collections.abc import Callable
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
from datasets import hpc, keel, letter, shuttle

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


PEERS: dict[str, Fit] = {
    "crossent": crossent_fit,
    "network": network_fit,
    "HistGradientBoosting": hist_fit,
    "LightGBM": lightgbm_fit,
    "LogisticRegressionCV": logistic_fit,
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
}


def main(asked: list[str]) -> None:
    print("| data | model | log-loss | accuracy | seconds |\n|---|---|---|---|---|")
    for table, source in chosen(TABLES, asked).items():
        frame, target = source()
        frame[target] = pd.factorize(frame[target], sort=True)[0]
        train, test = train_test_split(frame, test_size=0.25, stratify=frame[target], random_state=0)
        for name, fit in chosen(PEERS, asked).items():
            started = time.perf_counter()
            probs = fit(train.drop(columns=target), train[target], test.drop(columns=target))
            seconds = time.perf_counter() - started
            loss = log_loss(test[target], probs)
            accuracy = accuracy_score(test[target], probs.argmax(axis=1))
            print(f"| {table} | {name} | {loss:.4f} | {accuracy:.4f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
