"""The only wiring: a dataset and a recipe become a predictor."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from crossent.calibration.choose import choose_calibration
from crossent.calibration.conformal import ApartRows
from crossent.calibration.scaling import Calibration, identity
from crossent.data.dataset import Dataset
from crossent.data.encoder import Encoder, fit_encoder
from crossent.data.split import folds, hold_out
from crossent.errors import DataError, SettingError
from crossent.imbalance import apply_remedy, effective_prior, measured_strength, named_class_weight
from crossent.losses.arrays import mean_cross_entropy
from crossent.models.boosting import Boosting, FittedBoosting
from crossent.models.model import Examples
from crossent.models.network import FittedNetwork, Network
from crossent.models.softmax_regression import FittedSoftmaxRegression, SoftmaxRegression
from crossent.models.text import FittedTextRegression, TextRegression
from crossent.predictor import Predictor, restore_prior
from crossent.recipe import Recipe
from crossent.train.monitor import EpochRecord, OnEpoch, ignore_epoch

# From so many rows on, one split tells as much as five, at a fifth of the time.
MANY_ROWS = 20_000
# A network takes longer than the other models, and its heads are an average already.
MANY_ROWS_OF_NETWORK = 10_000
# With text the rows held out choose less, for the model is then fitted to all rows.
MANY_TEXTS = 4_000
FOLDS = 5
# Held-out logits come from one model each, but the average of several predicts, and averaging softens overconfidence by
# itself: a temperature that gains less than this share of the log-loss would overdo it.
LEAST_GAIN_OF_AVERAGE = 0.01
# Fewer rows held out cannot tell whether a correction of confidence helps.
LEAST_CALIBRATED = 30
# One in so many of the rows held out has no say in calibration, so that prediction sets can rest on it; and no more
# than this many rows, or numbers, for they are kept with the model.
APART_DIVISOR = 3
MOST_APART, MOST_APART_VALUES, LEAST_OF_MANY_CLASSES = 5000, 5_000_000, 500
# The share of the training rows in the one split.
VALID_SHARE = 0.2

AnyModel = SoftmaxRegression | Boosting | Network | TextRegression
AnyFitted = FittedSoftmaxRegression | FittedBoosting | FittedNetwork | FittedTextRegression
# From a mask of the rows to hold out to those to train on, and them.
Encode = Callable[[npt.NDArray[np.bool_]], tuple[Examples, Examples]]


@dataclass(frozen=True)
class Trial:
    """One model that was tried.

    Attributes
    ----------
    model
        Its name.
    log_loss
        Mean cross entropy in nats on rows held out, before calibration.
    calibration
        What calibration made of it.
    folds
        How many models stand behind it.
    refitted
        Whether the model was then fitted to all rows; if not, those of the folds are averaged.
    seconds
        Time that its training took.
    """

    model: str
    log_loss: float
    calibration: Calibration
    folds: int
    refitted: bool
    seconds: float

    @property
    def calibrated_log_loss(self) -> float:
        """The held-out log-loss of what would be kept."""
        return self.calibration.log_loss_after if self.calibration.method != "identity" else self.log_loss


@dataclass(frozen=True, eq=False)
class FitResult:
    """A predictor, and how it was found.

    Attributes
    ----------
    trials
        Every model that was tried.
    chosen
        Position in ``trials`` of the one in the predictor.
    stopped
        Whether it was told to stop before its end.
    """

    predictor: Predictor
    trials: tuple[Trial, ...]
    chosen: int
    stopped: bool


@dataclass(frozen=True, eq=False)
class _CrossFit:
    """Models that each held out another fold, what they were trained by, and the rows of no say in any of it."""

    trial: Trial
    models: tuple[AnyFitted, ...]
    effective_priors: npt.NDArray[np.float64]
    deciding_prior: npt.NDArray[np.float64]
    apart: ApartRows


def fit(dataset: Dataset, recipe: Recipe, *, on_epoch: OnEpoch = ignore_epoch) -> FitResult:
    """Train, choose and calibrate on the rows of a dataset.

    Every candidate model is trained on each fold's complement; the rows held out choose its rounds or penalty, the
    model, and the temperature. The predictor averages the log-probabilities of the models of all folds. With columns of
    text, whose n-grams are learned from each complement anew, one model is then fitted to all rows.

    Parameters
    ----------
    dataset
        Training rows; hold out rows for evaluation before.
    recipe
        All settings.
    on_epoch
        Told of every epoch; returns True to end training soon with the best that there is.

    Examples
    --------
    >>> from crossent.data.read import read
    >>> from crossent.datasets import hpc_path
    >>> result = fit(read(hpc_path(), "class"), Recipe(model="linear", folds=1))
    >>> result.predictor.classes
    ('F', 'L', 'M', 'VF')
    """
    rng = np.random.default_rng(recipe.seed)
    plan = _Plan(
        recipe=recipe,
        class_weight=named_class_weight(recipe.class_weight, dataset.classes),
        prior=dataset.class_counts / len(dataset),
        sides=_validation_sides(dataset, recipe, rng),
        apart_seed=int(rng.integers(2**31)),
    )
    watch = _Watch(on_epoch)
    # Without text nothing is learned from rows held out but scales and names, and all are encoded at once.
    whole = None if has_text(dataset) else _encode_all(dataset)
    encode = _encode_each(dataset) if whole is None else _take_from(whole[1])
    found: list[_CrossFit] = []
    for model in _candidates(recipe, dataset):
        found.append(_cross_fit(model, encode, plan, rng, watch))
        if watch.stopped:
            break
    chosen = int(np.argmin([one.trial.calibrated_log_loss for one in found]))
    best = found[chosen]
    encoder, examples = whole or _encode_all(dataset)
    models, effective_priors = best.models, best.effective_priors
    if best.trial.refitted:
        models, effective_priors = (_refit(best.models, examples, plan, rng),), effective_priors.mean(0, keepdims=True)
    predictor = Predictor(
        columns=dataset.columns,
        encoder=encoder,
        models=models,
        effective_priors=effective_priors,
        deciding_prior=best.deciding_prior,
        calibration=best.trial.calibration,
        apart=best.apart,
        classes=dataset.classes,
        target_name=dataset.target_name,
        prior=plan.prior,
    )
    return FitResult(predictor, tuple(one.trial for one in found), chosen, watch.stopped)


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is the same for every candidate.

    Attributes
    ----------
    recipe
        All settings.
    class_weight
        ``(K,)`` by hand, or None.
    prior
        ``(K,)`` shares of the classes in the data.
    sides
        For each fold the mask of the rows that it holds out.
    apart_seed
        Draws the rows that calibration does not see.
    """

    recipe: Recipe
    class_weight: npt.NDArray[np.float64] | None
    prior: npt.NDArray[np.float64]
    sides: list[npt.NDArray[np.bool_]]
    apart_seed: int


def has_text(dataset: Dataset) -> bool:
    """Say whether there is a column of free text."""
    return any(column.kind == "text" for column in dataset.columns)


def _encode_all(dataset: Dataset) -> tuple[Encoder, Examples]:
    encoder, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, len(dataset.classes))
    return encoder, Examples(features, dataset.target, len(dataset.classes))


def _take_from(examples: Examples) -> Encode:
    return lambda held_out: (examples.take(~held_out), examples.take(held_out))


def _encode_each(dataset: Dataset) -> Encode:
    """Encode rows by what those to train on hold: the n-grams of others would not be there for new rows."""

    def encode(held_out: npt.NDArray[np.bool_]) -> tuple[Examples, Examples]:
        encoder, train = _encode_all(dataset.take(~held_out))
        valid = dataset.take(held_out)
        return train, Examples(encoder.encode(valid.frame), valid.target, len(valid.classes))

    return encode


def _refit(
    models: tuple[AnyFitted, ...], examples: Examples, plan: _Plan, rng: np.random.Generator
) -> FittedTextRegression:
    """Fit to all rows, with the middle of the penalties that the folds chose."""
    chosen = [model.C for model in models if isinstance(model, FittedTextRegression)]
    remedy = apply_remedy(examples, plan.recipe, plan.class_weight, rng)
    model = TextRegression(float(np.exp(np.mean(np.log(chosen)))))
    return model.fit(remedy.train, None, objective=remedy.objective, rng=rng, on_epoch=ignore_epoch)


def _candidates(recipe: Recipe, dataset: Dataset) -> tuple[AnyModel, ...]:
    if has_text(dataset):
        if recipe.model in ("boosting", "network"):
            reader = {"boosting": "Trees do", "network": "The network for tables does"}[recipe.model]
            raise SettingError(
                f"{reader} not read text.",
                f"model is {recipe.model!r}, and {_text_columns(dataset)} hold text.",
                "Take model linear or auto, or leave the text out: --kind.NAME=identifier.",
            )
        return (TextRegression(C=recipe.C),)
    linear = SoftmaxRegression(C=recipe.C)
    boosting = Boosting(
        learning_rate=recipe.learning_rate or Boosting.learning_rate,
        max_rounds=recipe.max_rounds,
        max_leaves=recipe.max_leaves,
    )
    network = Network(
        learning_rate=recipe.learning_rate or Network.learning_rate,
        dropout=recipe.dropout,
        weight_decay=recipe.weight_decay,
        batch_size=recipe.batch_size,
        max_epochs=recipe.max_epochs,
    )
    # The focal loss has no one optimum for the linear model to be fitted to.
    auto = (boosting,) if recipe.imbalance == "focal" else (linear, boosting)
    return {"auto": auto, "linear": (linear,), "boosting": (boosting,), "network": (network,)}[recipe.model]


def _text_columns(dataset: Dataset) -> str:
    return ", ".join(repr(column.name) for column in dataset.columns if column.kind == "text")


def _validation_sides(dataset: Dataset, recipe: Recipe, rng: np.random.Generator) -> list[npt.NDArray[np.bool_]]:
    """Return, for each fold, which rows it holds out."""
    together = recipe.duplicates == "together"
    many = MANY_ROWS_OF_NETWORK if recipe.model == "network" else MANY_ROWS
    many = MANY_TEXTS if has_text(dataset) else many
    count = recipe.folds or (1 if len(dataset) >= many or dataset.time is not None else FOLDS)
    if count == 1:
        return [hold_out(dataset, VALID_SHARE, duplicates_together=together, rng=rng) == 1]
    fold = folds(dataset, count, duplicates_together=together, rng=rng)
    held_out = [fold == i for i in range(count)]
    # Few rows or few groups can leave a fold with none to hold out, or none to train on.
    useful = [side for side in held_out if side.any() and not side.all()]
    if not useful:
        raise DataError(
            "Training needs rows to learn from and rows to hold out.",
            f"The {len(dataset)} rows form one group of the same features, or of the same group.",
            "Give more rows, or allow duplicates anywhere (--duplicates anywhere).",
        )
    return useful


def _cross_fit(model: AnyModel, encode: Encode, plan: _Plan, rng: np.random.Generator, watch: "_Watch") -> _CrossFit:
    started = time.perf_counter()
    refitted = isinstance(model, TextRegression)
    models: list[AnyFitted] = []
    restoring: list[npt.NDArray[np.float64]] = []
    held_out: list[ApartRows] = []
    for i, side in enumerate(plan.sides):
        train, valid = encode(side)
        remedy = apply_remedy(train, plan.recipe, plan.class_weight, rng)
        on_epoch = watch.fold(i + 1, len(plan.sides))
        fitted = model.fit(remedy.train, valid, objective=remedy.objective, rng=rng, on_epoch=on_epoch)
        # A fold that was cut short would only spoil the average of those that were not.
        if watch.stopped and models:
            break
        models.append(fitted)
        restoring.append(remedy.objective.restoring_or_zeros(train.classes))
        logits = fitted.logits(valid.features)
        held_out.append(ApartRows(logits, valid.target, np.full(len(logits), i)))
    rows = _join(held_out)
    fitting, apart = _choose_apart(len(rows.target), len(plan.prior), plan.apart_seed)
    effective_priors = _effective_priors(rows.take(fitting), np.stack(restoring), plan.prior)
    rows = _restore(rows, effective_priors, plan.prior)
    averaged = len(models) > 1 and not refitted
    # A model that is then fitted to all rows has other logits than these; what carries over to it is one number.
    method = "temperature" if refitted and plan.recipe.calibration == "auto" else plan.recipe.calibration
    calibration = _calibrate(rows.take(fitting), method, LEAST_GAIN_OF_AVERAGE if averaged else 0.0)
    kept = rows.take(apart)
    fold = np.zeros_like(kept.fold) if refitted else kept.fold
    kept = dataclasses.replace(kept, logits=calibration.logits(kept.logits), fold=fold)
    seconds = time.perf_counter() - started
    trial = Trial(model.name, calibration.log_loss_before, calibration, len(models), refitted, seconds)
    deciding_prior = effective_prior(plan.prior, np.mean(restoring, axis=0))
    return _CrossFit(trial, tuple(models), effective_priors, deciding_prior, kept)


def _effective_priors(
    rows: ApartRows, restoring: npt.NDArray[np.float64], prior: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the ``(F, K)`` class shares that the models of the folds believe in, as far as the rows show."""
    strength = measured_strength(rows.logits, rows.target, restoring[rows.fold]) if restoring.any() else 0.0
    return np.stack([effective_prior(prior, strength * one) for one in restoring])


def _restore(rows: ApartRows, effective_priors: npt.NDArray[np.float64], prior: npt.NDArray[np.float64]) -> ApartRows:
    """Return the rows with logits under the class shares of the data."""
    logits = rows.logits.copy()
    for fold, believed in enumerate(effective_priors):
        own = rows.fold == fold
        logits[own] = restore_prior(rows.logits[own], believed, prior)
    return dataclasses.replace(rows, logits=logits)


def _calibrate(
    rows: ApartRows, method: Literal["auto", "none", "temperature", "vector", "matrix"], least_gain: float
) -> Calibration:
    if method == "none":
        return identity("not asked for", mean_cross_entropy(rows.logits, rows.target))
    if len(rows.target) < LEAST_CALIBRATED:
        note = f"{len(rows.target)} held-out rows are too few to correct confidence"
        return identity(note, mean_cross_entropy(rows.logits, rows.target))
    return choose_calibration(rows.logits, rows.target, method, least_gain=least_gain)


def _join(parts: list[ApartRows]) -> ApartRows:
    return ApartRows(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.fold for part in parts]),
    )


def _choose_apart(n: int, classes: int, seed: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Draw the rows that calibration is fitted to, and those that it does not see: a third, or as many as are of use.

    Too few rows to calibrate serve as both, for nothing is fitted to them.
    """
    if n < LEAST_CALIBRATED:
        return np.ones(n, np.bool_), np.ones(n, np.bool_)
    count = min(n // APART_DIVISOR, MOST_APART, max(LEAST_OF_MANY_CLASSES, MOST_APART_VALUES // classes))
    apart = np.zeros(n, np.bool_)
    apart[np.random.default_rng(seed).permutation(n)[:count]] = True
    return ~apart, apart


class _Watch:
    """Passes epochs on with the number of their fold, and remembers whether it was told to stop."""

    def __init__(self, on_epoch: OnEpoch) -> None:
        self._on_epoch = on_epoch
        self.stopped = False

    def fold(self, fold: int, folds: int) -> OnEpoch:
        def on_epoch(record: EpochRecord) -> bool:
            self.stopped = self._on_epoch(dataclasses.replace(record, fold=fold, folds=folds)) or self.stopped
            return self.stopped

        return on_epoch
