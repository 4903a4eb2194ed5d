"""Time until softmax regression is within 1e-6 of its optimum, beside the solvers of scikit-learn.

python benchmarks/softmax_regression.py [--data letter fashion correlated newsgroups]

Each peer gets ever tighter tolerances until one is tight enough, and the time of that one counts; a peer that takes
more than ten times as long as crossent is stopped. Peak memory is that of a process of its own, less what is there
before.
"""

import argparse
import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import crossent as ce
import datasets

NEAR = 1e-6
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky", "saga")
# Limits of the peers, as a multiple of our time and in seconds.
MOST_TIMES, FEWEST_SECONDS = 10, 20.0


@dataclass(frozen=True, eq=False)
class Problem:
    """Features and labels."""

    features: Any
    labels: npt.NDArray[Any]

    def objective(self, coefficients: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]) -> float:
        """Return the objective of a model with C = 1, in float64."""
        coef, intercept = coefficients
        logits = np.asarray(self.features @ coef.T, dtype=np.float64) + intercept
        index = np.searchsorted(np.unique(self.labels), self.labels)
        top = logits.max(axis=1)
        log_sum = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
        return float((log_sum - logits[np.arange(len(index)), index]).sum() + (coef**2).sum() / 2)

    def megabytes(self) -> float:
        """Return the memory of the features."""
        parts = [self.features] if isinstance(self.features, np.ndarray) else vars(self.features).values()
        return sum(part.nbytes for part in parts if isinstance(part, np.ndarray)) / 2**20


def letter() -> Problem:
    frame, target = datasets.letter()
    frame = frame[:15_000]
    features = frame.drop(columns=target).to_numpy(np.float32)
    return Problem((features - features.mean(0)) / features.std(0), pd.factorize(frame[target], sort=True)[0])


def newsgroups() -> Problem:
    frame = datasets.newsgroups("train")
    matrix = TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit_transform(frame["text"])
    return Problem(matrix, pd.factorize(frame["label"], sort=True)[0])


DATA: dict[str, Callable[[], Problem]] = {
    "letter": letter,
    "fashion": lambda: Problem(*datasets.fashion_mnist()),
    "correlated": lambda: Problem(*datasets.correlated()),
    "newsgroups": newsgroups,
}


def fit(model: Any, problem: Problem, sender: Connection) -> None:
    warnings.simplefilter("ignore")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    model.fit(problem.features, problem.labels)
    seconds = time.perf_counter() - start
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    sender.send((seconds, memory, (np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64))))


def in_process(model: Any, problem: Problem, limit: float) -> tuple[float, float, float] | None:
    """Return seconds, megabytes and objective, or None beyond the limit."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=fit, args=(model, problem, sender))
    process.start()
    answer = receiver.recv() if receiver.poll(limit) else None
    process.kill()
    process.join()
    return None if answer is None else (answer[0], answer[1], problem.objective(answer[2]))


def compare(name: str, rounds: int) -> float:
    problem = DATA[name]()
    exact = in_process(ce.SoftmaxRegression(tol=1e-10, max_iter=1000), problem, 3600)
    assert exact is not None
    best = exact[2]
    runs = [in_process(ce.SoftmaxRegression(), problem, 3600) for _ in range(rounds)]
    seconds, memory, objective = sorted(run for run in runs if run is not None)[rounds // 2]
    assert objective <= best * (1 + NEAR)
    share = memory / problem.megabytes()
    print(f"| {name} | crossent | {seconds:.2f} | {objective / best - 1:.1e} | {share:.2f} | |", flush=True)
    fastest = float("inf")
    for solver in SOLVERS:
        if solver == "newton-cholesky" and problem.features.shape[1] > 100:
            continue  # its matrix would have (d * K) ** 2 elements
        limit = max(MOST_TIMES * seconds, FEWEST_SECONDS)
        taken, cell = until_near(solver, problem, best, limit)
        fastest = min(fastest, taken)
        ratio = f"{taken / seconds:.1f}x" if taken < float("inf") else "-"
        print(f"| {name} | {solver} | {cell} | {ratio} |", flush=True)
    return min(fastest, max(MOST_TIMES * seconds, FEWEST_SECONDS)) / seconds


def until_near(solver: str, problem: Problem, best: float, limit: float) -> tuple[float, str]:
    """Return the seconds of the loosest tolerance that gets near, infinite if none does in time."""
    last = "| |"
    for tolerance in TOLERANCES:
        model = LogisticRegression(solver=solver, tol=tolerance, max_iter=100_000)
        run = in_process(model, problem, limit)
        if run is None:
            return float("inf"), f"> {limit:.0f} {last}"
        seconds, memory, objective = run
        excess = objective / best - 1
        last = f"| {excess:.1e} | {memory / problem.megabytes():.2f}"
        if excess <= NEAR:
            return seconds, f"{seconds:.2f} (tol {tolerance:g}) {last}"
    return float("inf"), f"never {last}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| data | solver | seconds | above the optimum | memory / data | over crossent |\n|---|---|---|---|---|---|")
    ratios = [compare(name, arguments.rounds) for name in arguments.data]
    mean = float(np.exp(np.mean(np.log(ratios))))
    print(
        f"\nfastest peer over crossent: {', '.join(f'{r:.1f}x' for r in ratios)}; geometric mean at least {mean:.1f}x"
    )


if __name__ == "__main__":
    main()
