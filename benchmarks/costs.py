"""Processor seconds of one fit of each model, against what its settings expect; new constants by least squares.

With text they include those of its n-grams, which each fold learns anew.

python benchmarks/costs.py [--models linear boosting network text] [--rows 300 1000 3000 10000]

Everything runs on one processor, and only the time of this process is counted, so that other programs matter little.
The constants that are printed belong in `crossent.models.settings`; they minimise the squared differences of the
logarithms.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.optimize
from sklearn.model_selection import train_test_split

import datasets
from crossent.data.encoder import fit_encoder
from crossent.data.read import read
from crossent.models.catalogue import model_of
from crossent.models.costs import Size
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Boosting, Linear, Network

Array = npt.NDArray[np.float64]
VALID_SHARE = 0.2
# Number of starts of the least squares, because each may end in a minimum that is not the lowest.
STARTS = 20
Tables = dict[str, Callable[[], tuple[pd.DataFrame, str]]]
TABLES: Tables = {
    "hpc": datasets.hpc,
    "contraceptive": lambda: datasets.keel("contraceptive"),
    "satimage": lambda: datasets.keel("satimage"),
    "penbased": lambda: datasets.keel("penbased"),
    "diamonds": datasets.diamonds,
}
TEXTS: Tables = {
    "r8": lambda: (datasets.r8("train"), "label"),
    "newsgroups": lambda: (datasets.newsgroups("train"), "label"),
}
# Each model with settings that differ in what matters for the time.
CASES: dict[str, tuple[tuple[Linear | Boosting | Network, ...], Tables]] = {
    "linear": ((Linear(), Linear(C=1.0)), TABLES),
    "text": ((Linear(), Linear(C=1.0)), TEXTS),
    "boosting": ((Boosting(), Boosting(learning_rate=0.02), Boosting(max_leaves=7)), TABLES),
    "network": ((Network(), Network(max_epochs=10), Network(batch_size=32)), TABLES),
}


@dataclass(frozen=True)
class Fit:
    """A fit that was measured."""

    data: str
    settings: Linear | Boosting | Network
    size: Size
    seconds: float

    @property
    def ratio(self) -> float:
        """Expected seconds over measured ones."""
        return self.settings.seconds(self.size) / self.seconds


def examples(frame: pd.DataFrame, target: str, rows: int) -> tuple[Examples, Examples, float]:
    """Return some of the rows to train on, a quarter as many held out, and the seconds that it took to encode them."""
    drawn = frame.sample(min(round(rows / (1 - VALID_SHARE)), len(frame)), random_state=0)
    dataset = read(drawn, target)
    sides = train_test_split(np.arange(len(dataset)), test_size=VALID_SHARE, random_state=0)
    train, valid = (dataset.take(np.isin(np.arange(len(dataset)), rows)) for rows in sides)
    began = time.process_time()
    encoder, features = fit_encoder(train.frame, train.columns, train.target, len(train.classes))
    held_out = encoder.encode(valid.frame)
    seconds = time.process_time() - began
    classes = len(dataset.classes)
    return Examples(features, train.target, classes), Examples(held_out, valid.target, classes), seconds


def size_of(train: Examples) -> Size:
    features = train.features
    return Size(
        rows=len(features),
        numbers=features.numbers.shape[1],
        codes=features.codes.shape[1],
        ngrams=0 if features.ngrams is None else features.ngrams.nnz,
        classes=train.classes,
    )


def fits(all_settings: tuple[Linear | Boosting | Network, ...], tables: Tables, counts: list[int]) -> Iterator[Fit]:
    for name, load in tables.items():
        frame, target = load()
        for rows in counts:
            if rows > len(frame):
                break
            train, valid, seconds = examples(frame, target, rows)
            size = size_of(train)
            # A table is encoded once for all folds and models.
            encoding = seconds if size.ngrams else 0.0
            for settings in all_settings:
                task = Task(train=train, valid=valid, objective=Objective(), rng=np.random.default_rng(0))
                began = time.process_time()
                model_of(settings).fit(settings, task)
                yield Fit(name, settings, size, encoding + time.process_time() - began)


def least_squares(work: Array, seconds: Array) -> Array:
    """Return the costs, not negative, of least squared differences of the logarithms; NaN where there was no work."""
    paid = np.flatnonzero(work.sum(axis=0))
    costs = np.full(work.shape[1], np.nan)
    work = work[:, paid]

    def differences(log_costs: Array) -> Array:
        return np.log(work @ np.exp(log_costs)) - np.log(seconds)

    rng = np.random.default_rng(0)
    equal = np.log(np.median(seconds[:, None] / np.maximum(work, 1), axis=0))
    starts = equal + rng.normal(size=(STARTS, len(equal)))
    best = min((scipy.optimize.least_squares(differences, start) for start in starts), key=lambda fit: fit.cost)
    costs[paid] = np.exp(best.x)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 1000, 3000, 10_000])
    args = parser.parse_args()
    # Before the first thread is made, so that all of them share this processor.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in args.models:
        all_settings, tables = CASES[name]
        print(f"{name}\n{'data':14}{'rows':>7}{'p':>4}{'q':>4}{'n-grams':>10}{'K':>4}{'s':>9}{'ratio':>7}  settings")
        measured = []
        for fit in fits(all_settings, tables, args.rows):
            size = fit.size
            numbers = f"{size.rows:7}{size.numbers:4}{size.codes:4}{size.ngrams:10}{size.classes:4}"
            number = all_settings.index(fit.settings)
            print(f"{fit.data:14}{numbers}{fit.seconds:9.2f}{fit.ratio:7.2f}  {number}", flush=True)
            measured.append(fit)
        within = np.mean([0.5 <= fit.ratio <= 2 for fit in measured])
        print(f"expected within a factor of 2 of measured: {within:.0%} of {len(measured)}; by least squares:")
        work, seconds = (
            [*map(of, measured)] for of in (lambda fit: fit.settings.work(fit.size), lambda fit: fit.seconds)
        )
        print(np.array2string(least_squares(np.array(work, float), np.array(seconds)), precision=1))


if __name__ == "__main__":
    main()
