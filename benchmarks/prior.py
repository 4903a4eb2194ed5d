"""The class shares of new rows, by estimate_prior and by counting predicted labels, on test sets with random shares.

python benchmarks/prior.py
"""

import time

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

import crossent as ce
from held_out import HeldOut, held_out_rows

MIXES = 50
ROWS = 1000
FloatArray = npt.NDArray[np.float64]


def draw(rows: HeldOut, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw rows with class shares that are drawn first, uniformly among all class shares."""
    class_count = len(rows.prior)
    wanted = rng.choice(class_count, size=ROWS, p=rng.dirichlet(np.ones(class_count)))
    of_class = [np.flatnonzero(rows.target == k) for k in range(class_count)]
    return np.array([rng.choice(of_class[k]) for k in wanted])


def run(rows: HeldOut) -> None:
    class_count = len(rows.prior)
    probs = softmax(rows.log_probs.astype(np.float64), axis=1)
    errors, held, seconds = [], [], 0.0
    for seed in range(MIXES):
        chosen = draw(rows, np.random.default_rng(seed))
        share = np.bincount(rows.target[chosen], minlength=class_count) / ROWS
        counted = np.bincount(probs[chosen].argmax(axis=1), minlength=class_count) / ROWS
        start = time.perf_counter()
        found = ce.estimate_prior(probs[chosen], rows.prior)
        seconds += time.perf_counter() - start
        guesses = (found.prior, counted, probs[chosen].mean(axis=0), rows.prior)
        errors.append([np.abs(guess - share).mean() for guess in guesses])
        held.append(((found.low <= share) & (share <= found.high)).mean())
    mean = np.mean(errors, axis=0)
    cells = [f"{100 * error:.3f}" for error in mean] + [f"{mean[0] / mean[1]:.2f}", f"{np.mean(held):.1%}"]
    print(f"| {rows.name} | {class_count} | " + " | ".join(cells) + f" | {seconds / MIXES:.2f} |", flush=True)


def main() -> None:
    print("Mean absolute error of the share of a class, in percentage points:\n")
    print("| data | K | estimate_prior | counting | mean probability | training mix | ratio | in interval | seconds |")
    print("|" + "---|" * 9)
    for rows in held_out_rows():
        run(rows)


if __name__ == "__main__":
    main()
