"""Rules that choose a learning rate from a range test, compared by the held-out loss of trainings with their rates.

Each case is trained with six rates; the log-loss is interpolated between them. It takes 20 minutes on one core:

    .venv/bin/python benchmarks/learning_rate.py            # all cases
    .venv/bin/python benchmarks/learning_rate.py segment    # cases whose name begins with this
    .venv/bin/python benchmarks/learning_rate.py --whole    # find_lr against the usual rate, in all that training does
"""

import dataclasses
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

import datasets
from crossent.calibration.temperature import best_temperature
from crossent.data.encoder import fit_encoder
from crossent.data.labels import label_positions
from crossent.data.read import read
from crossent.fitting.fit import fit
from crossent.fitting.recipe import Recipe
from crossent.fitting.remedies import Remedy, apply_remedy
from crossent.logits import mean_cross_entropy
from crossent.models import network
from crossent.models.effort import choose_batch_size, choose_epochs
from crossent.models.model import Examples, Task
from crossent.models.settings import Network
from crossent.train.learning_rate import LearningRateCurve

USUAL = 0.01
RATES = (0.0003, 0.001, 0.003, USUAL, 0.03, 0.1)
SEEDS = (0, 1)
MOST_JUDGING = 3000
WRONG_LABELS = 0.4
# Shares of the rows of each class that are kept where rare classes are wanted.
THIN = np.array([1.0, 0.03, 0.3, 0.1, 0.02, 1.0, 0.5, 0.05, 0.2, 0.03, 0.6])

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A table of KEEL, a number of its training rows, settings, and changes: label noise, rare or many classes."""

    table: str
    rows: int
    settings: dict[str, Any] = field(default_factory=dict)
    change: str = ""
    network: dict[str, Any] = field(default_factory=dict)

    def recipe(self, *, find_lr: bool = False, folds: int | None = None, seed: int = 0) -> Recipe:
        """Return the settings of a training."""
        network = Network(find_lr=find_lr, **self.network)
        return Recipe(model="network", folds=folds, seed=seed, network=network, **self.settings)


CASES = {
    **{name: Case(name, 1000) for name in ("contraceptive", "segment", "splice", "texture")},
    **{name: Case(name, 1500) for name in ("marketing", "satimage")},
    "optdigits": Case("optdigits", 1200),
    **{f"{name}-150": Case(name, 150) for name in ("contraceptive", "optdigits", "splice")},
    "marketing-200": Case("marketing", 200),
    "segment-100": Case("segment", 100),
    **{f"{name}-noise": Case(name, 1000, change="noise") for name in ("optdigits", "segment")},
    "satimage-weight": Case("satimage", 1500, {"imbalance": "class-weight"}, "thin"),
    "texture-adjust": Case("texture", 1200, {"imbalance": "logit-adjust"}, "thin"),
    "marketing-many": Case("marketing", 1500, change="many"),
    "optdigits-batch1024": Case("optdigits", 1200, network={"batch_size": 1024}),
    "texture-batch1024": Case("texture", 1000, network={"batch_size": 1024}),
    "segment-batch8": Case("segment", 600, network={"batch_size": 8}),
    "satimage-epochs5": Case("satimage", 1500, network={"max_epochs": 5}),
    "texture-dropout0": Case("texture", 800, network={"dropout": 0.0}),
    "optdigits-dropout6": Case("optdigits", 1000, network={"dropout": 0.6}),
    "satimage-decay3": Case("satimage", 1500, network={"weight_decay": 3.0}),
    "satimage-focal": Case("satimage", 1500, {"imbalance": "focal"}),
    "segment-smooth": Case("segment", 1000, {"label_smoothing": 0.3}),
}


@dataclass(frozen=True)
class Measured:
    """The results of a draw of a case: the curve, the steps of a training, and the log-loss with each of `RATES`."""

    curve: LearningRateCurve
    steps: int
    losses: tuple[float, ...]


WHOLE = (
    *(Case(name, 1000) for name in ("contraceptive", "segment", "optdigits", "texture", "splice")),
    *(Case(name, 1500) for name in ("satimage", "marketing")),
    Case("optdigits", 300, network={"max_epochs": 200}),
    Case("segment", 1000, network={"batch_size": 256}),
    Case("satimage", 1500, network={"max_epochs": 8}),
)
WHOLE_SEEDS = (5, 6)


def main() -> None:
    if sys.argv[1:] == ["--whole"]:
        compare_whole()
        return
    chosen = {name: case for name, case in CASES.items() if name.startswith(tuple(sys.argv[1:]) or "")}
    measured = {name: [measure(case, seed) for seed in SEEDS] for name, case in chosen.items()}
    print("100 times the logarithm of the held-out log-loss, against that with the usual rate")
    print(f"{'rule':56}{'mean':>8}{'worst':>8}{'better':>8}{'worse':>8}")
    for name, rule in rules().items():
        gains = np.array([np.mean([gain(rule, one) for one in draws]) for draws in measured.values()])
        better, worse = (gains < -1).sum(), (gains > 1).sum()
        print(f"{name:56}{gains.mean():>8.1f}{gains.max():>8.1f}{better:>8}{worse:>8}")


def compare_whole() -> None:
    print(f"{'table':14}{'settings':22}{'seed':>5}{'usual':>9}{'searched':>10}{'rate':>9}")
    for seed in WHOLE_SEEDS:
        for case in WHOLE:
            frame, target = datasets.keel(case.table)
            train, judging = train_test_split(frame, train_size=case.rows, stratify=frame[target], random_state=seed)
            dataset, judging = read(train.reset_index(drop=True), target), judging[:MOST_JUDGING]
            results = [fit(dataset, case.recipe(find_lr=search, folds=3, seed=seed)) for search in (False, True)]
            labels = label_positions(judging[target], dataset.classes)
            usual, searched = (mean_cross_entropy(one.predictor.logits(judging), labels) for one in results)
            curve = results[1].learning_rate
            rate = USUAL if curve is None else curve.suggested
            print(f"{case.table:14}{case.network!s:22}{seed:>5}{usual:>9.4f}{searched:>10.4f}{rate:>9.4f}")


def measure(case: Case, seed: int) -> Measured:
    recipe, remedy, valid, judging = load(case, seed)
    losses = []
    for rate in RATES:
        settings = dataclasses.replace(recipe.network, learning_rate=rate)
        rng = np.random.default_rng(seed)
        task = Task(train=remedy.train, valid=valid, objective=remedy.objective, rng=rng)
        fitted = network.fit(settings, task)
        prior_correction = remedy.objective.prior_correction_or_zeros(judging.classes)
        logits = (fitted.logits(judging.features) + prior_correction).astype(np.float32)
        losses.append(mean_cross_entropy(logits / best_temperature(logits, judging.target), judging.target))
    rng = np.random.default_rng(100 + seed)
    task = Task(train=remedy.train, valid=None, objective=remedy.objective, rng=rng)
    searched = dataclasses.replace(recipe.network, find_lr=True)
    _, curve = network.search_learning_rate(searched, lambda: task)
    assert curve is not None
    rows = len(remedy.train.target)
    batches = math.ceil(rows / (recipe.network.batch_size or choose_batch_size(rows)))
    return Measured(curve, (recipe.network.max_epochs or choose_epochs(rows)) * batches, tuple(losses))


def load(case: Case, seed: int) -> tuple[Recipe, Remedy, Examples, Examples]:
    frame, target = datasets.keel(case.table)
    rng = np.random.default_rng(seed)
    if case.change == "many":
        frame = with_many_classes(frame, target)
    if case.change == "thin":
        frame = frame[rng.random(len(frame)) < THIN[frame[target].astype("category").cat.codes]]
    dataset = read(frame.reset_index(drop=True), target)
    _, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, len(dataset.classes))
    order = rng.permutation(len(dataset))
    labels = dataset.target
    if case.change == "noise":
        drawn = rng.integers(len(dataset.classes), size=len(labels))
        labels = np.where(rng.random(len(labels)) < WRONG_LABELS, drawn, labels)
    examples = Examples(features, labels, len(dataset.classes))
    rows = min(case.rows, int(0.6 * len(dataset)))
    ends = np.cumsum([rows, max(rows // 4, 30), MOST_JUDGING])
    train, valid, judging = (examples.take(part) for part in np.split(order, ends)[:3])
    recipe = Recipe(model="network", **case.settings)
    return recipe, apply_remedy(train, recipe, None, rng), valid, judging


def with_many_classes(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """Tell the classes apart by another column too."""
    other = frame.columns[3]
    joined = frame[target].astype(str) + "_" + frame[other].astype(str)
    often = joined.map(joined.value_counts()) >= 10
    return frame.assign(**{target: joined})[often].drop(columns=other)


Rule = Callable[[LearningRateCurve, int], float]


def rules() -> dict[str, Rule]:
    plain: dict[str, Rule] = {
        "steepest": lambda curve, _: steepest(curve),
        "valley": lambda curve, _: valley(curve),
        "tenth of lowest": lambda curve, _: lowest(curve) / 10,
        "two thirds of the fall": lambda curve, _: two_thirds(curve),
        "lowest / sqrt(S / 50)": lambda curve, steps: lowest(curve) / math.sqrt(max(steps / 50, 1)),
        "no search: 0.01 / sqrt(S / 100)": lambda _, steps: USUAL / math.sqrt(max(steps / 100, 1)),
    }
    guarded = {
        f"{name}, or usual within {factor}": within(rule, factor) for name, rule in plain.items() for factor in (3, 10)
    }
    return plain | guarded | {"as built": lambda curve, _: curve.suggested}


def within(rule: Rule, factor: float) -> Rule:
    def guarded(curve: LearningRateCurve, steps: int) -> float:
        rate = rule(curve, steps)
        return USUAL if USUAL / factor <= rate <= USUAL * factor else rate

    return guarded


def lowest(curve: LearningRateCurve) -> float:
    return float(curve.rates[curve.smoothed.argmin()])


def steepest(curve: LearningRateCurve) -> float:
    falling = curve.smoothed[: max(int(curve.smoothed.argmin()) + 1, 2)]
    return float(curve.rates[np.gradient(falling).argmin()])


def two_thirds(curve: LearningRateCurve) -> float:
    start, end = curve.losses[:10].mean(), curve.smoothed.min()
    return float(curve.rates[(curve.smoothed <= start - (start - end) * 2 / 3).argmax()])


def valley(curve: LearningRateCurve) -> float:
    """Return the middle of the longest falling subsequence, as fastai does."""
    lengths = np.ones(len(curve.rates), dtype=int)
    for i in range(len(lengths)):
        before = lengths[:i][curve.smoothed[:i] > curve.smoothed[i]]
        lengths[i] += before.max(initial=0)
    end = int(lengths.argmax())
    return float(curve.rates[max(0, end - int(lengths[end]) // 2)])


def gain(rule: Rule, measured: Measured) -> float:
    log_losses = np.log(measured.losses)
    log_rate = math.log(rule(measured.curve, measured.steps))
    return 100 * float(np.interp(log_rate, np.log(RATES), log_losses) - log_losses[RATES.index(USUAL)])


if __name__ == "__main__":
    main()
