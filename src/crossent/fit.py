"""The only wiring: a dataset and a recipe become a predictor."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.calibration.choose import choose_calibration
from crossent.calibration.scaling import Calibration, identity
from crossent.data.dataset import Dataset
from crossent.data.encoder import Encoder, fit_encoder
from crossent.data.split import folds, hold_out
from crossent.errors import DataError, SettingError
from crossent.losses.arrays import mean_cross_entropy
from crossent.models.boosting import Boosting, FittedBoosting
from crossent.models.model import Examples
from crossent.models.softmax_regression import FittedSoftmaxRegression, SoftmaxRegression
from crossent.models.text import FittedTextRegression, TextRegression
from crossent.predictor import Predictor
from crossent.recipe import Recipe
from crossent.train.monitor import EpochRecord, OnEpoch, ignore_epoch

# From so many rows on, one split tells as much as five, at a fifth of the time.
MANY_ROWS = 20_000
# With text the rows held out choose less, for the model is then fitted to all rows.
MANY_TEXTS = 4_000
FOLDS = 5
# Held-out logits come from one model each, but the average of several predicts, and averaging softens overconfidence by
# itself: a temperature that gains less than this share of the log-loss would overdo it.
LEAST_GAIN_OF_AVERAGE = 0.01
# The share of the training rows in the one split.
VALID_SHARE = 0.2

AnyModel = SoftmaxRegression | Boosting | TextRegression
AnyFitted = FittedSoftmaxRegression | FittedBoosting | FittedTextRegression
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
    """Models that each held out another fold, and their logits on the rows that they did not see."""

    trial: Trial
    models: tuple[AnyFitted, ...]


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
    sides = _validation_sides(dataset, recipe, rng)
    watch = _Watch(on_epoch)
    # Without text nothing is learned from rows held out but scales and names, and all are encoded at once.
    whole = None if has_text(dataset) else _encode_all(dataset)
    encode = _encode_each(dataset) if whole is None else _take_from(whole[1])
    found: list[_CrossFit] = []
    for model in _candidates(recipe, dataset):
        found.append(_cross_fit(model, encode, sides, recipe, rng, watch))
        if watch.stopped:
            break
    chosen = int(np.argmin([one.trial.calibrated_log_loss for one in found]))
    encoder, examples = whole or _encode_all(dataset)
    models = found[chosen].models
    if found[chosen].trial.refitted:
        models = (_refit(models, examples, rng),)
    predictor = Predictor(
        columns=dataset.columns,
        encoder=encoder,
        models=models,
        calibration=found[chosen].trial.calibration,
        classes=dataset.classes,
        target_name=dataset.target_name,
        prior=dataset.class_counts / len(dataset),
    )
    return FitResult(predictor, tuple(one.trial for one in found), chosen, watch.stopped)


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


def _refit(models: tuple[AnyFitted, ...], examples: Examples, rng: np.random.Generator) -> FittedTextRegression:
    """Fit to all rows, with the middle of the penalties that the folds chose."""
    chosen = [model.C for model in models if isinstance(model, FittedTextRegression)]
    return TextRegression(float(np.exp(np.mean(np.log(chosen))))).fit(examples, None, rng=rng, on_epoch=ignore_epoch)


def _candidates(recipe: Recipe, dataset: Dataset) -> tuple[AnyModel, ...]:
    if has_text(dataset):
        if recipe.model == "boosting":
            raise SettingError(
                "Trees do not read text.",
                f"model is 'boosting', and {_text_columns(dataset)} hold text.",
                "Take model linear or auto, or leave the text out: --kind.NAME=identifier.",
            )
        return (TextRegression(C=recipe.C),)
    linear = SoftmaxRegression(C=recipe.C)
    boosting = Boosting(learning_rate=recipe.learning_rate, max_rounds=recipe.max_rounds, max_leaves=recipe.max_leaves)
    return {"auto": (linear, boosting), "linear": (linear,), "boosting": (boosting,)}[recipe.model]


def _text_columns(dataset: Dataset) -> str:
    return ", ".join(repr(column.name) for column in dataset.columns if column.kind == "text")


def _validation_sides(dataset: Dataset, recipe: Recipe, rng: np.random.Generator) -> list[npt.NDArray[np.bool_]]:
    """Return, for each fold, which rows it holds out."""
    together = recipe.duplicates == "together"
    many = MANY_TEXTS if has_text(dataset) else MANY_ROWS
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


def _cross_fit(
    model: AnyModel,
    encode: Encode,
    sides: list[npt.NDArray[np.bool_]],
    recipe: Recipe,
    rng: np.random.Generator,
    watch: "_Watch",
) -> _CrossFit:
    started = time.perf_counter()
    refitted = isinstance(model, TextRegression)
    models: list[AnyFitted] = []
    logits: list[npt.NDArray[np.float32]] = []
    targets: list[npt.NDArray[np.int64]] = []
    for i, side in enumerate(sides):
        train, valid = encode(side)
        fitted = model.fit(train, valid, rng=rng, on_epoch=watch.fold(i + 1, len(sides)))
        # A fold that was cut short would only spoil the average of those that were not.
        if watch.stopped and models:
            break
        models.append(fitted)
        logits.append(fitted.logits(valid.features))
        targets.append(valid.target)
    held_out_logits, target = np.concatenate(logits), np.concatenate(targets)
    if recipe.calibration == "none":
        calibration = identity("not asked for", mean_cross_entropy(held_out_logits, target))
    else:
        least_gain = LEAST_GAIN_OF_AVERAGE if len(models) > 1 and not refitted else 0.0
        calibration = choose_calibration(held_out_logits, target, "temperature", least_gain=least_gain)
    seconds = time.perf_counter() - started
    trial = Trial(model.name, calibration.log_loss_before, calibration, len(models), refitted, seconds)
    return _CrossFit(trial, tuple(models))


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
