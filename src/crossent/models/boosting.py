"""Boosted trees: LightGBM with its softmax objective; its raw scores are the logits."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import lightgbm
import numpy as np
import numpy.typing as npt

from crossent.data.table import Features
from crossent.models.model import Examples
from crossent.storage import LongText
from crossent.train.monitor import EpochRecord, OnEpoch

# A leaf's step is -gradient / (hessian + L2_PENALTY). Where a class has a handful of rows, the rows of a leaf can all
# be nearly certain, their hessians vanish, and without a penalty the step, and soon the loss, goes to infinity.
L2_PENALTY = 1.0
# Rounds without a gain of LEAST_GAIN nats in the held-out log-loss before training stops.
PATIENCE = 30
LEAST_GAIN = 1e-5
# Each split chooses among a share of the features: trees that differ err less together.
FEATURES_A_SPLIT = 0.7
# Below so many cells the work of a thread is shorter than the wait for the others, above all on a busy machine.
CELLS_FOR_THREADS = 1_000_000
# Without rows held out nothing says when to stop.
ROUNDS_UNWATCHED = 100


@dataclass(frozen=True)
class FittedBoosting:
    """Trees in LightGBM's own text form, and K, the number of classes."""

    trees: LongText
    classes: int

    def __post_init__(self) -> None:
        if self._booster.num_model_per_iteration() != self.classes:
            raise ValueError(f"the trees are for {self._booster.num_model_per_iteration()} classes, not {self.classes}")

    @functools.cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.trees)

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return ``(n, K)`` float32 logits."""
        if not len(features):
            return np.empty((0, self.classes), dtype=np.float32)
        scores = self._booster.predict(_matrix(features), raw_score=True)
        return np.asarray(scores, dtype=np.float32).reshape(-1, self.classes)


@dataclass(frozen=True)
class Boosting:
    """Boosted trees.

    Attributes
    ----------
    learning_rate
        Step size of a round.
    max_rounds
        Most rounds; training stops before, once rows held out gain no more.
    max_leaves
        Most leaves of a tree.

    Source: Ke et al. 2017, "LightGBM".
    """

    learning_rate: float = 0.08
    max_rounds: int = 2000
    max_leaves: int = 31
    name: ClassVar[str] = "boosting"

    def fit(
        self, train: Examples, valid: Examples | None, *, rng: np.random.Generator, on_epoch: OnEpoch
    ) -> FittedBoosting:
        """Fit to training rows, stopping at the lowest log-loss of rows held out."""
        settings = self._settings(train, int(rng.integers(2**31)))
        rounds = self.max_rounds if valid is not None else min(self.max_rounds, ROUNDS_UNWATCHED)
        train_set = _lightgbm_set(train, settings)
        watch = _Watch(rounds, on_epoch)
        sets, names = [train_set], ["train"]
        callbacks: list[Callable[..., Any]] = [watch]
        if valid is not None:
            sets.insert(0, lightgbm.Dataset(_matrix(valid.features), valid.target, reference=train_set))
            names.insert(0, "valid")
            callbacks.append(
                lightgbm.early_stopping(PATIENCE, first_metric_only=True, verbose=False, min_delta=LEAST_GAIN)
            )
        booster = lightgbm.train(
            settings, train_set, rounds, sets, names, callbacks=callbacks, keep_training_booster=True
        )
        best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
        return FittedBoosting(booster.model_to_string(num_iteration=best), train.classes)

    def _settings(self, train: Examples, seed: int) -> dict[str, object]:
        cells = len(train.features) * (train.features.numbers.shape[1] + train.features.codes.shape[1])
        return {
            "objective": "multiclass",
            "metric": "multi_logloss",
            "num_class": train.classes,
            "learning_rate": self.learning_rate,
            "num_leaves": self.max_leaves,
            "lambda_l2": L2_PENALTY,
            "feature_fraction_bynode": FEATURES_A_SPLIT,
            # 0 leaves the number to LightGBM.
            "num_threads": 1 if cells < CELLS_FOR_THREADS else 0,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "feature_pre_filter": False,
            "verbosity": -1,
        }


def _lightgbm_set(examples: Examples, settings: dict[str, object]) -> lightgbm.Dataset:
    numbers = examples.features.numbers.shape[1]
    categories = list(range(numbers, numbers + len(examples.features.cardinalities)))
    return lightgbm.Dataset(
        _matrix(examples.features), examples.target, categorical_feature=categories, params=dict(settings)
    )


def _matrix(features: Features) -> npt.NDArray[np.float32]:
    """Put the codes beside the numbers; float32 holds every code exactly."""
    return np.hstack([features.numbers, features.codes.astype(np.float32)])


class _Watch:
    """A LightGBM callback that passes each round on, and ends training where it is told to."""

    def __init__(self, epochs: int, on_epoch: OnEpoch) -> None:
        self._epochs = epochs
        self._on_epoch = on_epoch

    def __call__(self, env: lightgbm.callback.CallbackEnv) -> None:
        results = env.evaluation_result_list or []
        losses = {result[0]: float(result[2]) for result in results}
        record = EpochRecord(
            model=Boosting.name,
            fold=1,
            folds=1,
            epoch=env.iteration + 1,
            epochs=self._epochs,
            train_loss=losses["train"],
            valid_loss=losses.get("valid", float("nan")),
        )
        if self._on_epoch(record):
            raise lightgbm.callback.EarlyStopException(env.iteration, results)
