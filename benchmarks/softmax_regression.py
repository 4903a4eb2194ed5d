"""Time until softmax regression is within 1e-6 of its optimum, beside scikit-learn's solvers and its Intel extension.

python benchmarks/softmax_regression.py [--data letter fashion correlated newsgroups] [--stream 10000000]

Each solver gets tighter and tighter tolerances until one is tight enough, and the time with this tolerance counts;
peers have one or two threads of BLAS, whichever is faster. A peer that takes longer than ``--most-times`` times the
time of crossent is stopped. Each fit has a separate process, and fits a few rows first, so that libraries are loaded
and threads are started. Memory is the peak of the fit minus the memory before it. The path is C="auto": ten penalties,
compared on held-out rows, and the best one fitted to all rows.
"""

import argparse
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import crossent as ce
import datasets

try:
    import sklearnex.linear_model as intel
except ImportError:
    intel = None

NEAR = 1e-6
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky", "saga")
INTEL = "scikit-learn-intelex"
# Features up to which newton-cholesky runs.
MOST_CHOLESKY = 100
FEWEST_SECONDS = 20.0
# Rows fitted first.
WARMING_ROWS = 500


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


def resident(name: str) -> float:
    """Return megabytes: ``VmRSS`` for those in use, ``VmHWM`` for the most since it was last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def fit(model: Any, problem: Problem, threads: int, sender: Connection) -> None:
    warnings.simplefilter("ignore")
    threadpool_limits(threads, user_api="blas")
    some = slice(None, None, max(problem.features.shape[0] // WARMING_ROWS, 1))
    model.fit(problem.features[some], problem.labels[some])
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.perf_counter()
    model.fit(problem.features, problem.labels)
    seconds = time.perf_counter() - start
    memory = resident("VmHWM") - before
    coefficients = (np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64))
    sender.send((seconds, memory, coefficients, getattr(model, "C_", 1.0)))


class Run(NamedTuple):
    """What a fit took, its objective at C = 1, and the C that it took."""

    seconds: float
    memory: float
    objective: float
    strength: float


def in_process(model: Any, problem: Problem, limit: float, threads: int = 2) -> Run | None:
    """Return what the fit took, or None beyond the limit."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=fit, args=(model, problem, threads, sender))
    process.start()
    answer = receiver.recv() if receiver.poll(limit) else None
    process.kill()
    process.join()
    return None if answer is None else Run(answer[0], answer[1], problem.objective(answer[2]), answer[3])


def compare(name: str, rounds: int, most_times: float) -> float:
    problem = DATA[name]()
    exact = in_process(ce.SoftmaxRegression(tol=1e-9, max_iter=1000), problem, 3600)
    assert exact is not None
    best = exact.objective
    for tolerance in TOLERANCES:
        runs = [in_process(ce.SoftmaxRegression(tol=tolerance), problem, 3600) for _ in range(rounds)]
        seconds, memory, objective, _ = sorted(run for run in runs if run is not None)[rounds // 2]
        if objective <= best * (1 + NEAR):
            break
    share = memory / problem.megabytes()
    cell = f"{seconds:.2f} (tol {tolerance:g}) | {objective / best - 1:.1e} | {share:.2f}"
    print(f"| {name} | crossent | {cell} | |", flush=True)
    run = in_process(ce.SoftmaxRegression(), problem, 3600)
    assert run is not None
    print(f"| {name} | crossent as it comes | {run.seconds:.2f} | {run.objective / best - 1:.1e} | | |", flush=True)
    path = in_process(ce.SoftmaxRegression(C="auto"), problem, 3600)
    assert path is not None
    chosen = in_process(ce.SoftmaxRegression(C=path.strength), problem, 3600)
    assert chosen is not None
    cells = (
        f"{path.seconds:.2f} | the best of them alone {chosen.seconds:.2f} | {path.memory / problem.megabytes():.2f}"
    )
    print(f"| {name} | crossent, ten penalties | {cells} | |", flush=True)
    fastest, limit = float("inf"), max(most_times * seconds, FEWEST_SECONDS)
    for solver in peers(problem):
        taken, cell = until_near(solver, problem, best, limit)
        fastest = min(fastest, taken)
        ratio = f"{taken / seconds:.1f}x" if taken < float("inf") else "-"
        print(f"| {name} | {solver} | {cell} | {ratio} |", flush=True)
    return min(fastest, limit) / seconds


def peers(problem: Problem) -> list[str]:
    """Return the solvers that can take the problem."""
    found = list(SOLVERS)
    if problem.features.shape[1] > MOST_CHOLESKY:
        found.remove("newton-cholesky")  # its matrix would have (d * K) ** 2 elements
    return found if intel is None else [*found, INTEL]


def peer(solver: str, tolerance: float) -> Any:
    if solver == INTEL:
        return intel.LogisticRegression(tol=tolerance, max_iter=100_000)
    return LogisticRegression(solver=solver, tol=tolerance, max_iter=100_000)


def until_near(solver: str, problem: Problem, best: float, limit: float) -> tuple[float, str]:
    """Return the seconds with the loosest tolerance that is exact enough, infinite if none is in time."""
    last = "| |"
    for tolerance in TOLERANCES:
        model = peer(solver, tolerance)
        # On a busy machine threads of BLAS that wait for each other may take longer than one.
        runs = [run for threads in (1, 2) if (run := in_process(model, problem, limit, threads)) is not None]
        if not runs:
            return float("inf"), f"> {limit:.0f} {last}"
        seconds, memory, objective, _ = min(runs)
        excess = objective / best - 1
        last = f"| {excess:.1e} | {memory / problem.megabytes():.2f}"
        if excess <= NEAR:
            return seconds, f"{seconds:.2f} (tol {tolerance:g}) {last}"
    return float("inf"), f"never {last}"


def fit_file(path: Path, sender: Connection) -> None:
    # Libraries must be loaded and threads started.
    ce.SoftmaxRegression().fit(np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.perf_counter()
    model = ce.SoftmaxRegression().fit(path, "label")
    sender.send((time.perf_counter() - start, resident("VmHWM") - before, model.n_iter_))


def stream(rows: int) -> None:
    """Fit drawn rows of 50 features and 10 classes from a Parquet file."""
    rng, part = np.random.default_rng(0), 500_000
    weight = rng.normal(size=(50, 10)) / 5
    with tempfile.TemporaryDirectory() as folder:
        path, names = Path(folder) / "rows.parquet", [f"feature_{j}" for j in range(50)]
        schema = pa.schema([*((name, pa.float32()) for name in names), ("label", pa.int64())])
        with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
            for begin in range(0, rows, part):
                features = rng.normal(size=(min(part, rows - begin), 50)).astype(np.float32)
                labels = (features @ weight + rng.gumbel(size=(len(features), 10))).argmax(axis=1)
                writer.write_table(pa.table([*features.T, labels], schema=schema))
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=fit_file, args=(path, sender))
        process.start()
        seconds, memory, steps = receiver.recv()
        process.join()
        size = path.stat().st_size / 2**20
    print(f"{rows:,} rows, {size:.0f} MB of Parquet: {seconds:.0f} s, {steps} steps, {memory:.0f} MB of memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=DATA, default=list(DATA))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most-times", type=float, default=10, help="of our time, after which a peer is stopped")
    parser.add_argument("--stream", type=int, default=0, help="rows to draw, write to Parquet and fit from there")
    arguments = parser.parse_args()
    if arguments.stream:
        stream(arguments.stream)
    if not arguments.data:
        return
    if intel is None:
        print(f"{INTEL} is not there to compare with: pip install {INTEL}")
    print("| data | solver | seconds | above the optimum | memory / data | over crossent |\n|---|---|---|---|---|---|")
    ratios = [compare(name, arguments.rounds, arguments.most_times) for name in arguments.data]
    mean = float(np.exp(np.mean(np.log(ratios))))
    print(
        f"\nfastest peer over crossent: {', '.join(f'{r:.1f}x' for r in ratios)}; geometric mean at least {mean:.1f}x"
    )


if __name__ == "__main__":
    main()
