"""Remedies of imbalance: whether they find more rows of rare classes, and whether probabilities stay calibrated.

python benchmarks/imbalance.py

Each remedy is trained on three data sets and five splits. "Plain" is the remedy as it is commonly used: the uncorrected
probabilities of the model, and the most probable class by them. The model is otherwise the same.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import train_test_split

import crossent as ce
from crossent.logits import log_softmax
from datasets import hpc, keel, letter

REMEDIES = ("class-weight", "oversample", "logit-adjust", "focal")
# The last class keeps this share of its rows, the first all of them, those between by equal ratios.
RAREST_LETTER, RAREST_SATIMAGE = 0.02, 0.05


@dataclass(frozen=True)
class Result:
    """Held-out figures of one fit."""

    log_loss: float
    balanced_accuracy: float
    plain_log_loss: float
    plain_balanced_accuracy: float
    seconds: float


def long_tail(frame: pd.DataFrame, target: str, rarest: float) -> pd.DataFrame:
    """Keep fewer rows of each class in turn, by equal ratios, down to a share `rarest` of the last."""
    code = pd.factorize(frame[target], sort=True)[0]
    keep = rarest ** (code / code.max())
    return pd.DataFrame(frame[np.random.default_rng(0).random(len(frame)) < keep])


def long_tailed_letter() -> tuple[pd.DataFrame, str]:
    frame, target = letter()
    return long_tail(frame, target, RAREST_LETTER), target


def long_tailed_satimage() -> tuple[pd.DataFrame, str]:
    frame, target = keel("satimage")
    return long_tail(frame, target, RAREST_SATIMAGE), target


def fit(train: pd.DataFrame, test: pd.DataFrame, target: str, model: str, imbalance: str) -> Result:
    started = time.perf_counter()
    classifier = ce.Classifier(model=model, imbalance=imbalance).fit(train.drop(columns=target), train[target])
    seconds = time.perf_counter() - started
    rows, labels = test.drop(columns=target), test[target]
    predictor = classifier.predictor_
    plain = log_softmax(plain_logits(predictor, rows))
    return Result(
        log_loss(labels, classifier.predict_proba(rows), labels=classifier.classes_),
        balanced_accuracy_score(labels, classifier.predict(rows)),
        log_loss(labels, np.exp(plain), labels=classifier.classes_),
        balanced_accuracy_score(labels, classifier.classes_[plain.argmax(axis=1)]),
        seconds,
    )


def plain_logits(predictor: ce.Predictor, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the mean log-probabilities of the models without any correction."""
    features = predictor.encoder.encode(rows)
    return np.asarray(np.mean([log_softmax(member.model.logits(features)) for member in predictor.members], axis=0))


SOURCES: dict[str, Callable[[], tuple[pd.DataFrame, str]]] = {
    "hpc": hpc,
    "letter, long-tailed": long_tailed_letter,
    "satimage, long-tailed": long_tailed_satimage,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--data", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    arguments = parser.parse_args()
    print(
        "| data | model | remedy | balanced accuracy | plain remedy's | log-loss | change |"
        " plain remedy's | change | s |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for name in arguments.data:
        frame, target = SOURCES[name]()
        for model in ("linear", "boosting"):
            without = 0.0
            for imbalance in ("none", *(REMEDIES if model == "boosting" else REMEDIES[:3])):
                results = []
                for seed in range(arguments.splits):
                    train, test = train_test_split(frame, test_size=0.25, stratify=frame[target], random_state=seed)
                    results.append(fit(train, test, target, model, imbalance))
                mean = Result(*np.mean([list(vars(result).values()) for result in results], axis=0))
                without = without or mean.log_loss
                print(
                    f"| {name} | {model} | {imbalance} | {mean.balanced_accuracy:.4f} |"
                    f" {mean.plain_balanced_accuracy:.4f} | {mean.log_loss:.4f} | {mean.log_loss / without - 1:+.1%} |"
                    f" {mean.plain_log_loss:.4f} | {mean.plain_log_loss / without - 1:+.1%} | {mean.seconds:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
