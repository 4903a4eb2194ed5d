"""Time to compute scores of boosted trees: crossent's kernel and LightGBM, on the same trees.

Each round runs both on the same rows, one after the other in alternating order; times are medians of the rounds, and
ratios are medians of the ratios within a round. Before that, all scores are compared bit by bit.

"One thread" is the kernel and LightGBM with ``num_threads=1``; "default" is what a user calls: as many threads as each
chooses.
"""

import statistics
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import numpy.typing as npt

import crossent.datasets
from crossent.data.encoder import fit_encoder
from crossent.data.read import read
from crossent.kernels.trees import add_scores, arrange
from crossent.models.lightgbm_text import trees_of_text
from crossent.models.trees import Trees
from paired import Run, median_ratio, seconds_by_round

# Rows of a call, and rounds.
SIZES = {1: 200, 100: 50, 100_000: 3}


@dataclass(frozen=True, eq=False)
class Model:
    """Trees of LightGBM, and 100,000 rows for them."""

    name: str
    booster: lightgbm.Booster
    trees: Trees
    numbers: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]


def hpc(rounds: int) -> Model:
    """Four classes, five numbers and two categories; rows are drawn with repetition."""
    dataset = read(Path(crossent.datasets.__file__).parent / "hpc.csv", "class")
    _, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, len(dataset.classes))
    rows = np.random.default_rng(0).integers(len(features), size=max(SIZES))
    return model(f"hpc, {rounds} rounds", features.numbers, features.codes, dataset.target, rounds, rows)


def letters(rounds: int) -> Model:
    """26 classes that lie about points in 16 numbers."""
    rng = np.random.default_rng(0)
    target = rng.integers(26, size=10_000)
    numbers = (rng.normal(size=(26, 16))[target] + rng.normal(size=(10_000, 16))).astype(np.float32)
    codes = np.empty((10_000, 0), np.int32)
    return model(f"26 classes, {rounds} rounds", numbers, codes, target, rounds, np.arange(max(SIZES)) % 10_000)


def model(
    name: str,
    numbers: npt.NDArray[np.float32],
    codes: npt.NDArray[np.int32],
    target: npt.NDArray[np.int64],
    rounds: int,
    rows: npt.NDArray[np.int64],
) -> Model:
    settings = {"objective": "multiclass", "num_class": int(target.max()) + 1, "learning_rate": 0.08, "verbosity": -1}
    places = list(range(numbers.shape[1], numbers.shape[1] + codes.shape[1]))
    data = lightgbm.Dataset(table_of(numbers, codes), target, categorical_feature=places)
    booster = lightgbm.train(settings, data, rounds)
    return Model(name, booster, trees_of_text(booster.model_to_string()), numbers[rows], codes[rows])


def table_of(numbers: npt.NDArray[np.float32], codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    return np.hstack([numbers, codes.astype(np.float32)])


def competitors(one: Model, rows: int) -> dict[str, Run]:
    numbers, codes = one.numbers[:rows], one.codes[:rows]
    table = table_of(numbers, codes)
    forest, scores = arrange(one.trees.splits), np.zeros((rows, one.trees.num_classes))
    return {
        "no rows": lambda: add_scores(forest, numbers[:0], codes[:0], scores[:0]),
        "kernel": lambda: add_scores(forest, numbers, codes, scores),
        "LightGBM, one thread": lambda: one.booster.predict(table, raw_score=True, num_threads=1),
        "crossent": lambda: one.trees.scores(numbers, codes),
        "LightGBM": lambda: one.booster.predict(table, raw_score=True),
    }


def line(one: Model, rows: int, rounds: int) -> str:
    seconds = seconds_by_round(competitors(one, rows), rounds)
    # A call without rows shows the time that Python takes to call the kernel.
    kernel = statistics.median(seconds["kernel"]) - statistics.median(seconds["no rows"])
    speeds = {name: rows / statistics.median(values) for name, values in seconds.items()}
    alone = median_ratio(seconds, "LightGBM, one thread", "kernel")
    default = median_ratio(seconds, "LightGBM", "crossent")
    return (
        f"| {one.name} | {len(one.trees.leaf_counts):,} | {rows:,} | {1e6 * kernel:,.0f} "
        f"| {speeds['kernel']:,.0f} | {speeds['LightGBM, one thread']:,.0f} | {alone:.1f} "
        f"| {speeds['crossent']:,.0f} | {speeds['LightGBM']:,.0f} | {default:.1f} |"
    )


def main() -> None:
    models = [hpc(100), hpc(300), letters(30)]
    for one in models:
        expected = np.asarray(one.booster.predict(table_of(one.numbers, one.codes), raw_score=True))
        same = one.trees.scores(one.numbers, one.codes).tobytes() == expected.tobytes()
        print(f"{one.name}: {expected.size:,} scores, {'the same bits' if same else 'OTHER BITS'}")
    print()
    print(
        "| | trees | rows | kernel, µs | kernel, rows/s | LightGBM, one thread | ratio | crossent | LightGBM | ratio |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for one in models:
        for rows, rounds in SIZES.items():
            print(line(one, rows, rounds), flush=True)


if __name__ == "__main__":
    main()
