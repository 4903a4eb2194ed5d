"""Coverage and size of prediction sets over 200 re-splits of rows held out, beside MAPIE's on the same rows.

python benchmarks/prediction_sets.py
"""

import argparse
import time
from typing import get_args

import numpy as np
import numpy.typing as npt
from mapie.classification import SplitConformalClassifier
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

import crossent as ce
from crossent.calibration.conformal_groups import By
from crossent.calibration.conformity import Method
from held_out import HeldOut, held_out_rows

COVERAGES = (0.8, 0.9, 0.95)
METHODS: tuple[Method, ...] = get_args(Method)
GROUPINGS: tuple[By, ...] = ("overall", "class")
BoolArray = npt.NDArray[np.bool_]


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose probabilities are its inputs."""

    def __init__(self, class_count: int) -> None:
        self.class_count = class_count
        self.classes_ = np.arange(class_count)
        self.is_fitted_ = True

    def predict_proba(self, probs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the inputs."""
        return probs

    def predict(self, probs: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the most probable class."""
        return np.asarray(probs.argmax(axis=1))


def mapie_sets(rows: HeldOut, apart: BoolArray, method: Method, seed: int) -> list[BoolArray]:
    probs = softmax(rows.log_probs.astype(np.float64), axis=1)
    given = Given(probs.shape[1])
    model = SplitConformalClassifier(given, confidence_level=COVERAGES, conformity_score=method, random_state=seed)
    model.conformalize(probs[apart], rows.target[apart])
    parameters = {} if method == "lac" else {"include_last_label": "randomized"}
    _, sets = model.predict_set(probs[~apart], conformity_score_params=parameters)
    return [sets[:, :, i] for i in range(len(COVERAGES))]


def our_sets(rows: HeldOut, apart: BoolArray, method: Method, by: By, seed: int) -> list[BoolArray]:
    held_out, target, new = rows.log_probs[apart], rows.target[apart], rows.log_probs[~apart]
    return [
        ce.conformal_sets(held_out, target, new, coverage=coverage, method=method, by=by, seed=seed)
        for coverage in COVERAGES
    ]


def judge(sets: BoolArray, target: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the coverage of each class, the coverage, and the mean size."""
    right = sets[np.arange(len(target)), target].astype(np.float64)
    count = np.bincount(target, minlength=sets.shape[1])
    of_class = np.bincount(target, weights=right, minlength=sets.shape[1]) / count
    return np.append(of_class, [right.mean(), sets.sum(axis=1).mean()])


def run(rows: HeldOut, method: Method, by: By, splits: int) -> None:
    ours, theirs, seconds = [], [], np.zeros(2)
    for seed in range(splits):
        apart = np.random.default_rng(seed).permutation(len(rows.target)) < len(rows.target) // 2
        start = time.perf_counter()
        ours.append([judge(sets, rows.target[~apart]) for sets in our_sets(rows, apart, method, by, seed)])
        middle = time.perf_counter()
        if by == "overall":
            theirs.append([judge(sets, rows.target[~apart]) for sets in mapie_sets(rows, apart, method, seed)])
        seconds += middle - start, time.perf_counter() - middle
    mean = np.mean(ours, axis=0)
    for i, coverage in enumerate(COVERAGES):
        of_class, (met, size) = mean[i, :-2], mean[i, -2:]
        cells = [rows.name, method, by, f"{coverage:g}", f"{met:.4f}", f"{of_class.min():.3f} to {of_class.max():.3f}"]
        cells.append(f"{size:.3f}")
        if theirs:
            peer = np.mean(theirs, axis=0)[i]
            difference = np.array(ours)[:, i, -1] - np.array(theirs)[:, i, -1]
            error = difference.std() / np.sqrt(splits)
            cells += [f"{peer[-2]:.4f}", f"{peer[-1]:.3f}", f"{difference.mean():+.3f} ± {error:.3f}"]
            cells.append(f"{seconds[0] / splits * 1e3:.0f} | {seconds[1] / splits * 1e3:.0f}")
        else:
            cells += ["", "", "", f"{seconds[0] / splits * 1e3:.0f} | "]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--splits", type=int, default=200)
    splits = parser.parse_args().splits
    print("| data | method | by | promised | coverage | by class | size | MAPIE's coverage | size | difference", end="")
    print(" | ms | MAPIE's |\n|" + "---|" * 12)
    for rows in held_out_rows():
        for method in METHODS:
            for by in GROUPINGS:
                run(rows, method, by, splits)


if __name__ == "__main__":
    main()
