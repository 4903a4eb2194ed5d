"""Several annotators who disagree: whether it is better to learn the shares of their votes, or the majority.

python benchmarks/soft_targets.py

The votes are simulated, because no public table has them: trees are fitted to half of the rows, and their probabilities
for the other half stand for the opinions of people. Each of these rows gets five votes, drawn from its probabilities. A
quarter of them is held out, and evaluated by the mean log-loss of one more vote, whose lowest value is the entropy.
"""

import argparse

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

import crossent as ce
from datasets import keel

NAMES = ("contraceptive", "marketing", "satimage")
VOTES = 5

Array = npt.NDArray[np.float64]


def annotated(name: str, seed: int) -> tuple[pd.DataFrame, Array]:
    """Return rows, and the probabilities that a vote for them is of each class."""
    frame, target = keel(name)
    known, rest = train_test_split(frame, test_size=0.5, stratify=frame[target], random_state=seed)
    teacher = ce.Classifier(model="boosting", seed=seed).fit(known.drop(columns=target), known[target])
    rows = rest.drop(columns=target)
    return rows, teacher.predict_proba(rows)


def targets(votes: npt.NDArray[np.int64], rng: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    """Return what to learn: all votes, the class with most (of several one by chance), or the first vote alone."""
    shares = votes / VOTES
    return {
        "shares": shares,
        "majority": (votes + rng.random(votes.shape)).argmax(axis=1),
        "one vote": np.array([rng.choice(len(row), p=row) for row in shares]),
    }


def judge(model: str, train: pd.DataFrame, y: npt.NDArray[np.generic], test: pd.DataFrame, probs: Array) -> float:
    """Return the mean log-loss of one more vote."""
    classifier = ce.Classifier(model=model, folds=1).fit(train, y)
    found = np.full(probs.shape, 1e-12)
    # A class without a majority anywhere has no column.
    found[:, classifier.classes_] = np.maximum(classifier.predict_proba(test), 1e-12)
    return float(-(probs * np.log(found)).sum(axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--data", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--models", nargs="+", default=["linear", "boosting", "network"])
    arguments = parser.parse_args()
    print("| data | model | entropy | shares | majority | one vote |\n|---|---|---|---|---|---|")
    for name in arguments.data:
        losses: dict[tuple[str, str], list[float]] = {}
        entropies = []
        for seed in range(arguments.splits):
            rng = np.random.default_rng(seed)
            rows, probs = annotated(name, seed)
            held_out = rng.permutation(len(rows)) < len(rows) // 4
            votes = np.asarray(rng.multinomial(VOTES, probs[~held_out]), np.int64)
            entropies.append(-(probs[held_out] * np.log(probs[held_out])).sum(axis=1).mean())
            for target, y in targets(votes, rng).items():
                for model in arguments.models:
                    loss = judge(model, rows[~held_out], y, rows[held_out], probs[held_out])
                    losses.setdefault((model, target), []).append(loss)
        for model in arguments.models:
            means = " | ".join(f"{np.mean(losses[model, target]):.4f}" for target in ("shares", "majority", "one vote"))
            print(f"| {name} | {model} | {np.mean(entropies):.4f} | {means} |", flush=True)


if __name__ == "__main__":
    main()
