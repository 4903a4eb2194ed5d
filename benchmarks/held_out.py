"""Probabilities of a classifier for held-out rows, from which prediction sets and class shares are computed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import crossent as ce
from datasets import hpc, letter


@dataclass(frozen=True)
class HeldOut:
    """Rows held out: (n, K) log-probabilities, (n,) class indices, and the (K,) shares of classes in training."""

    name: str
    log_probs: npt.NDArray[np.float32]
    target: npt.NDArray[np.int64]
    prior: npt.NDArray[np.float64]


def digits() -> tuple[pd.DataFrame, str]:
    """Handwritten digits, 1,797 rows of 64 numbers, 10 classes; it comes with scikit-learn."""
    features, target = load_digits(return_X_y=True)
    return pd.DataFrame(features).add_prefix("pixel_").assign(digit=target.astype(str)), "digit"


def held_out_rows() -> list[HeldOut]:
    """Train `ce.Classifier` on half of each of three data sets, and return its probabilities for the other half."""
    found = []
    for source, model in ((digits, "linear"), (hpc, "auto"), (letter, "linear")):
        frame, label = source()
        train, rest = train_test_split(frame, test_size=0.5, stratify=frame[label], random_state=0)
        classifier = ce.Classifier(model=model).fit(train.drop(columns=label), train[label])
        log_probs = classifier.predictor_.log_probs(rest.drop(columns=label)).astype(np.float32)
        target = np.searchsorted(classifier.classes_, rest[label])
        found.append(HeldOut(source.__name__, log_probs, target, classifier.predictor_.prior))
    return found
