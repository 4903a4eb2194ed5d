"""Calibration of the logits of nine models on six public data sets, beside its peers, on the same rows in the same run.

pip install probmetrics==1.3.0 numba
python benchmarks/calibration.py                 the models on the data sets
python benchmarks/calibration.py --development   on the data sets for which penalties and rules were chosen
python benchmarks/calibration.py --methods crossent    only methods whose name begins with this
python benchmarks/calibration.py --many          seconds with 50,000 rows of 1,000 classes
"""

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from probmetrics.calibrators import get_calibrator
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

import crossent as ce
from calibration_logits import DEVELOPMENT, SOURCES, Case, Logits, Target, cases
from crossent.calibration.choose import Choice
from crossent.logits import log_softmax

Probs = npt.NDArray[np.float64]
# A function from logits and labels to a function from logits to probabilities.
Fit = Callable[[Logits, Target], Callable[[Logits], Probs]]


def crossent_fit(method: Choice) -> Fit:
    return lambda logits, target: ce.calibrate(logits, target, method).probs


def probmetrics_fit(method: str, **settings: str) -> Fit:
    def fit(logits: Logits, target: Target) -> Callable[[Logits], Probs]:
        calibrator = get_calibrator(method, **settings)
        calibrator.fit(_probs(logits), target)
        return lambda new: np.asarray(calibrator.predict_proba(_probs(new)))

    return fit


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose features are its logits."""

    def __init__(self, num_classes: int = 2) -> None:
        self.num_classes = num_classes

    def fit(self, _features: Logits, _target: Target) -> "Given":
        """Do nothing, because it is already fitted."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> npt.NDArray[np.int64]:
        """Class indices."""
        return np.arange(self.num_classes)

    def decision_function(self, logits: Logits) -> Logits:
        """Return the features unchanged; with two classes, one column, as scikit-learn expects."""
        return logits if self.num_classes > 2 else logits[:, 1] - logits[:, 0]

    def predict(self, logits: Logits) -> Target:
        """Return the likeliest classes."""
        return np.asarray(logits.argmax(axis=1))

    def predict_proba(self, logits: Logits) -> Probs:
        """Return their softmax."""
        return _probs(logits)


def sklearn_fit(method: str) -> Fit:
    def fit(logits: Logits, target: Target) -> Callable[[Logits], Probs]:
        # It fails if a class has no row to calibrate on: such classes are hidden from it, and get no probability.
        present, labels = np.unique(target, return_inverse=True)
        given = FrozenEstimator(Given(len(present)))
        model = CalibratedClassifierCV(given, method=method).fit(logits[:, present], labels)

        def probs(new: Logits) -> Probs:
            found = np.zeros(new.shape)
            found[:, present] = model.predict_proba(new[:, present])
            return found

        return probs

    return fit


def _probs(logits: Logits) -> Probs:
    return np.exp(log_softmax(logits))


METHODS: dict[str, Fit] = {
    "crossent temperature": crossent_fit("temperature"),
    "crossent vector": crossent_fit("vector"),
    "crossent matrix": crossent_fit("matrix"),
    "crossent auto": crossent_fit("auto"),
    "probmetrics ts-mix": probmetrics_fit("ts-mix"),
    "probmetrics svs": probmetrics_fit("svs"),
    "probmetrics svs, saga": probmetrics_fit("svs", svs_opt="saga"),
    "probmetrics sms": probmetrics_fit("sms"),
    "probmetrics sms, saga": probmetrics_fit("sms", sms_opt="saga"),
    "scikit-learn temperature": sklearn_fit("temperature"),
    "scikit-learn isotonic": sklearn_fit("isotonic"),
    "scikit-learn sigmoid": sklearn_fit("sigmoid"),
}


def log_loss(probs: Probs, target: Target) -> float:
    """Return the mean cross entropy; a probability of 0 counts as 1e-15, as it did in scikit-learn."""
    return float(-np.log(np.maximum(probs[np.arange(len(target)), target], 1e-15)).mean())


def compare(found: list[Case], methods: dict[str, Fit]) -> None:
    """Print the change of the log-loss of test rows by each method, and the seconds of its fits."""
    warm = found[0]
    for fit in methods.values():
        fit(warm.logits, warm.target)(warm.test_logits)
    changes: dict[str, list[float]] = {name: [] for name in methods}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for case in found:
        before = log_loss(_probs(case.test_logits), case.test_target)
        for name, fit in methods.items():
            started = time.perf_counter()
            to_probs = fit(case.logits, case.target)
            seconds[name].append(time.perf_counter() - started)
            changes[name].append(log_loss(to_probs(case.test_logits), case.test_target) - before)
        latest = [f"{changes[name][-1]:+.4f} {seconds[name][-1]:.2f}s" for name in methods]
        print(case.name, *latest, sep=" | ", file=sys.stderr, flush=True)
    print("| method | mean change of log-loss | worst | where | above 0.002 | mean seconds | most seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, values in changes.items():
        worst = int(np.argmax(values))
        above = sum(value > 0.002 for value in values)
        print(
            f"| {name} | {statistics.mean(values):+.4f} | {values[worst]:+.4f} | {found[worst].name} | {above}"
            f" | {statistics.mean(seconds[name]):.3f} | {max(seconds[name]):.2f} |"
        )
    _by_source(found, changes)


def _by_source(found: list[Case], changes: dict[str, list[float]]) -> None:
    sources = list(dict.fromkeys(case.source for case in found))
    print("\n| method | " + " | ".join(sources) + " |\n|---|" + "---|" * len(sources))
    for name, values in changes.items():
        means = [
            statistics.mean(value for case, value in zip(found, values, strict=True) if case.source == source)
            for source in sources
        ]
        print(f"| {name} | " + " | ".join(f"{mean:+.4f}" for mean in means) + " |")


def many_classes() -> None:
    """Print the seconds of each method of ours with 50,000 rows of 1,000 classes, labels drawn from other logits."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (50_000, 1_000)).astype(np.float32)
    target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    logits = honest * rng.uniform(1, 2, 1_000).astype(np.float32)
    print("| method | kept | seconds |\n|---|---|---|")
    methods: tuple[Choice, ...] = ("temperature", "vector", "matrix", "auto")
    for method in methods:
        started = time.perf_counter()
        calibration = ce.calibrate(logits, target, method)
        print(f"| {method} | {calibration.method} | {time.perf_counter() - started:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--methods", default="")
    parser.add_argument("--many", action="store_true")
    arguments: Any = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.many:
        many_classes()
    else:
        methods = {name: fit for name, fit in METHODS.items() if name.startswith(arguments.methods)}
        compare(cases(DEVELOPMENT if arguments.development else SOURCES), methods)


if __name__ == "__main__":
    main()
