"""Mixup for networks on tables: whether it lowers the log-loss of held-out rows.

python benchmarks/mixup.py

Splits and seeds are the same with and without it; the whole classifier is evaluated, including calibration.
"""

import argparse

import numpy as np
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

import crossent as ce
from datasets import keel

NAMES = ("contraceptive", "marketing", "optdigits", "satimage", "segment", "splice", "texture")
ALPHAS = (0.0, 0.1, 0.2, 0.4)


def judge(name: str, alpha: float, seed: int) -> tuple[float, float]:
    """Return log-loss and accuracy on a quarter of the rows."""
    frame, target = keel(name)
    train, test = train_test_split(frame, test_size=0.25, stratify=frame[target], random_state=seed)
    classifier = ce.Classifier(model="network", folds=1, network__mixup=alpha, seed=seed)
    probs = classifier.fit(train.drop(columns=target), train[target]).predict_proba(test.drop(columns=target))
    predicted = classifier.classes_[probs.argmax(axis=1)]
    loss = log_loss(test[target], probs, labels=classifier.classes_)
    return loss, float(accuracy_score(test[target], predicted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--data", nargs="+", default=list(NAMES), choices=list(NAMES))
    arguments = parser.parse_args()
    print("| data | alpha | log-loss | change | of splits lower | accuracy |\n|---|---|---|---|---|---|")
    for name in arguments.data:
        without = np.zeros(arguments.splits)
        for alpha in ALPHAS:
            found = np.array([judge(name, alpha, seed) for seed in range(arguments.splits)])
            losses = found[:, 0]
            without = without if without.any() else losses
            print(
                f"| {name} | {alpha} | {losses.mean():.4f} | {losses.mean() / without.mean() - 1:+.1%} |"
                f" {int((losses < without).sum())} | {found[:, 1].mean():.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
