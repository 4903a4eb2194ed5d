"""Boosted trees: LightGBM trains them with its softmax objective; the sums of their leaves are the logits.

LightGBM is imported by training alone: prediction needs neither it nor its threads.
"""

import dataclasses
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crossent.errors import ShapeError
from crossent.kinds.blocks import Features, Widths
from crossent.logits import LARGEST_GAMMA, log_focal_slope, log_softmax, mean_cross_entropy, posterior_logits
from crossent.models.lightgbm_text import trees_of_text
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Boosting
from crossent.models.trees import Trees
from crossent.monitoring.records import EpochRecord, OnEpoch
from crossent.storage import LongText
from crossent.value_checks import LARGEST_LOGIT, check_bounded, check_number

if typing.TYPE_CHECKING:
    import lightgbm

Array = npt.NDArray[np.float64]

# A leaf's step is -gradient / (hessian + L2_PENALTY). Where a class has a handful of rows, the rows of a leaf can all
# be nearly certain, their hessians vanish, and without a penalty the step, and soon the loss, goes to infinity.
L2_PENALTY = 1.0
# Rounds without a gain of LEAST_GAIN nats in the held-out log-loss before training stops.
PATIENCE = 30
LEAST_GAIN = 1e-5
# Each split chooses among a share of the features: trees that differ err less together.
FEATURES_A_SPLIT = 0.7
# Below this number of cells the work of a thread is shorter than the wait for the others, above all on a busy machine.
CELLS_FOR_THREADS = 1_000_000
# A leaf holds about this number of rows or more, as LightGBM has it by default; what it counts is their curvature.
LEAST_LEAF_ROWS = 20
# Without rows held out nothing says when to stop.
ROUNDS_UNWATCHED = 100


@dataclass(frozen=True, eq=False)
class FittedBoostingOfFormat1:
    """A `FittedBoosting` as model format 1 holds it: the trees as LightGBM's text."""

    trees: LongText
    bias: npt.NDArray[np.float64]
    focal_gamma: float


@dataclass(frozen=True, eq=False)
class FittedBoosting:
    """Trees, and what is to be done with their scores.

    Attributes
    ----------
    trees
        Whose scores are those of LightGBM to the bit.
    bias
        ``(K,)`` where the scores begin.
    focal_gamma
        Exponent of the focal loss that they minimise; 0 for cross entropy.

    Raises
    ------
    ValueError
        If the bias is not one finite number for each class of the trees, or the exponent is not one of a focal loss.
    """

    trees: Trees
    bias: npt.NDArray[np.float64]
    focal_gamma: float

    def __post_init__(self) -> None:
        if self.bias.shape != (self.trees.num_classes,):
            raise ValueError(
                f"the trees are for {self.trees.num_classes} classes, and the bias has shape {self.bias.shape}"
            )
        check_bounded("the bias", self.bias, LARGEST_LOGIT)
        check_number("the exponent of the focal loss", self.focal_gamma, 0, LARGEST_GAMMA)

    @classmethod
    def from_format_1(cls, former: FittedBoostingOfFormat1) -> Self:
        """Return what a saved model of format 1 holds, its text read without LightGBM.

        Raises
        ------
        ValueError
            If the text is damaged, or was not written by LightGBM for such a model.
        """
        return cls(trees_of_text(former.trees), former.bias, former.focal_gamma)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.bias)

    @property
    def rounds(self) -> int:
        """How often each class got a tree."""
        return len(self.trees.leaf_counts) // self.classes

    def ngram_weight(self) -> None:
        """Return None: trees read no n-grams."""

    def reads(self, widths: Widths) -> bool:
        """Say whether it is for rows of these widths."""
        return widths.ngrams == 0 and self.trees.reads(widths.numbers, len(widths.cardinalities))

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return ``(n, K)`` float32 logits.

        Raises
        ------
        ShapeError
            If the rows have other widths than the trees read.
        """
        numbers, codes = features.numbers, features.codes
        try:
            self.trees.check_widths(numbers.shape[1], codes.shape[1])
        except ValueError as error:
            raise ShapeError(
                "Rows have the numbers and codes that the trees were trained with.",
                f"Here {error}.",
                "Encode rows with the encoder of the trees.",
            ) from error
        logits = self.trees.scores(numbers, codes) + self.bias
        return _without_focus(logits, self.focal_gamma).astype(np.float32)


def fit(settings: Boosting, task: Task) -> FittedBoosting:
    """Fit to training rows, stopping at the lowest log-loss of held-out rows."""
    import lightgbm  # noqa: PLC0415 - see above

    train, valid, objective = task.train, task.valid, task.objective
    parameters = _parameters(settings, train, int(task.rng.integers(2**31)))
    own = _OwnObjective(objective, train) if _needs_own(objective, train) else None
    # LightGBM begins its own objective at the shares of the classes; a given one begins at the scores that it gets.
    bias = np.zeros(train.classes) if own is None else train.log_prior()
    if own is not None:
        parameters |= {"objective": own, "metric": "none"}
    rounds = settings.max_rounds if valid is not None else min(settings.max_rounds, ROUNDS_UNWATCHED)
    train_set = _lightgbm_set(train, parameters)
    _start_train(train_set, train, objective, bias)
    sets, names = [train_set], ["train"]
    callbacks: list[Callable[..., Any]] = [_OnRound(task.name, rounds, task.on_epoch)]
    if valid is not None:
        sets.insert(0, _valid_set(train_set, valid, objective, bias))
        names.insert(0, "valid")
        callbacks.append(lightgbm.early_stopping(PATIENCE, first_metric_only=True, verbose=False, min_delta=LEAST_GAIN))
    booster = lightgbm.train(
        parameters,
        train_set,
        rounds,
        sets,
        names,
        feval=None if own is None else own.loss,
        callbacks=callbacks,
        keep_training_booster=True,
    )
    best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
    trees = trees_of_text(booster.model_to_string(num_iteration=best))
    return FittedBoosting(trees, bias, objective.focal_gamma)


def settings_for_all_rows(settings: Boosting, fits: tuple[FittedBoosting, ...]) -> Boosting:
    """Return the settings of a fit to all rows: with the middle of the numbers of rounds that folds chose."""
    rounds = sorted(fitted.rounds for fitted in fits)
    return dataclasses.replace(settings, max_rounds=max(rounds[len(rounds) // 2], 1))


def _parameters(settings: Boosting, train: Examples, seed: int) -> dict[str, Any]:
    rows = len(train.features)
    cells = rows * (train.features.numbers.shape[1] + train.features.codes.shape[1])
    # LightGBM takes the weights of all rows together for their number.
    weight = rows if train.weight is None else float(train.weight.sum())
    return {
        "objective": "multiclass",
        "metric": "multi_logloss",
        "num_class": train.classes,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.max_leaves,
        "lambda_l2": L2_PENALTY,
        "feature_fraction_bynode": FEATURES_A_SPLIT,
        "min_data_in_leaf": max(round(LEAST_LEAF_ROWS * rows / weight), 1),
        # 0 leaves the number to LightGBM.
        "num_threads": 1 if cells < CELLS_FOR_THREADS else 0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


def _lightgbm_set(examples: Examples, settings: dict[str, object]) -> "lightgbm.Dataset":
    import lightgbm  # noqa: PLC0415 - see above

    numbers = examples.features.numbers.shape[1]
    categories = list(range(numbers, numbers + len(examples.features.cardinalities)))
    return lightgbm.Dataset(
        _matrix(examples.features), examples.target, categorical_feature=categories, params=dict(settings)
    )


def _start_train(train_set: "lightgbm.Dataset", train: Examples, objective: Objective, bias: Array) -> None:
    """Give the training rows their weights, and the scores that the trees add to."""
    weight = objective.row_weight(train.learned_target, train.weight)
    if weight is not None:
        train_set.set_weight(weight)
    start = bias if objective.log_prior is None else bias + objective.log_prior
    if start.any():
        train_set.set_init_score(np.tile(start, (len(train.target), 1)))


def _valid_set(train_set: "lightgbm.Dataset", valid: Examples, objective: Objective, bias: Array) -> "lightgbm.Dataset":
    """Return the rows held out, their scores begun so that they are logits under the class shares of the data."""
    import lightgbm  # noqa: PLC0415 - see above

    valid_set = lightgbm.Dataset(_matrix(valid.features), valid.target, weight=valid.weight, reference=train_set)
    start = bias if objective.prior_correction is None else bias + objective.prior_correction
    if start.any():
        valid_set.set_init_score(np.tile(start, (len(valid.target), 1)))
    return valid_set


def _needs_own(objective: Objective, train: Examples) -> bool:
    return objective.label_smoothing > 0 or objective.focal_gamma > 0 or train.distribution is not None


class _OwnObjective:
    """A loss that LightGBM does not know, and the cross entropy of what the trees believe."""

    def __init__(self, objective: Objective, train: Examples) -> None:
        self._focal_gamma = objective.focal_gamma
        distribution = objective.distribution(train.learned_target, train.classes)
        self._distribution = (
            np.eye(train.classes, dtype=np.float32)[train.target] if distribution is None else distribution
        )

    def __call__(
        self, scores: Array, rows: "lightgbm.Dataset"
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return first and second derivatives by the ``(n, K)`` scores of the training rows."""
        weight = _weight(rows)
        gradient, curvature = loss_derivatives(scores, self._distribution, self._focal_gamma)
        if weight is not None:
            gradient, curvature = gradient * weight[:, None], curvature * weight[:, None]
        return gradient.astype(np.float32), curvature.astype(np.float32)

    def loss(self, scores: Array, rows: "lightgbm.Dataset") -> tuple[str, float, bool]:
        """Return the weighted mean cross entropy as LightGBM wants it: name, value, whether higher is better."""
        logits = _without_focus(scores, self._focal_gamma)
        return "multi_logloss", mean_cross_entropy(logits, _target(rows), _weight(rows)), False


def loss_derivatives(
    logits: Array, distribution: npt.NDArray[np.floating[Any]], focal_gamma: float
) -> tuple[Array, Array]:
    """Return the derivatives of each row's loss by its logits, ``(n, K)`` each, for ``(n, K)`` targets.

    The second are the diagonal alone, larger by K / (K - 1) so that steps of all classes together do not overshoot, as
    LightGBM's own; those of the focal loss leave out how its factor changes, so that none is negative.
    """
    # In NumPy: the threads of torch and of LightGBM would wait for each other.
    log_probs = log_softmax(logits)
    probs = np.exp(log_probs)
    classes = probs.shape[1]
    pull = distribution * np.exp(log_focal_slope(log_probs, focal_gamma)) if focal_gamma else distribution
    factor = pull.sum(axis=1, keepdims=True, dtype=np.float64)
    return factor * probs - pull, factor * probs * (1 - probs) * (classes / (classes - 1))


def _target(rows: "lightgbm.Dataset") -> npt.NDArray[np.int64]:
    return np.asarray(rows.get_label(), np.int64)


def _weight(rows: "lightgbm.Dataset") -> Array | None:
    weight = rows.get_weight()
    return None if weight is None else np.asarray(weight, np.float64)


def _without_focus(logits: Array, focal_gamma: float) -> Array:
    return posterior_logits(logits, focal_gamma) if focal_gamma else logits


def _matrix(features: Features) -> npt.NDArray[np.float32]:
    """Put the codes beside the numbers; float32 holds every code exactly."""
    return np.hstack([features.numbers, features.codes.astype(np.float32)])


class _OnRound:
    """A LightGBM callback that passes each round on as an epoch, and ends training where `on_epoch` says so."""

    def __init__(self, name: str, epochs: int, on_epoch: OnEpoch) -> None:
        self._name = name
        self._epochs = epochs
        self._on_epoch = on_epoch

    def __call__(self, env: "lightgbm.callback.CallbackEnv") -> None:
        results = env.evaluation_result_list or []
        losses = {result[0]: float(result[2]) for result in results}
        record = EpochRecord(
            model=self._name,
            fold=1,
            folds=1,
            epoch=env.iteration + 1,
            epochs=self._epochs,
            train_loss=losses["train"],
            valid_loss=losses.get("valid", float("nan")),
        )
        if self._on_epoch(record):
            import lightgbm  # noqa: PLC0415 - see above

            raise lightgbm.callback.EarlyStopException(env.iteration, results)
