"""The only wiring: a dataset and a recipe become a predictor."""

import copy
import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.data.dataset import Dataset
from crossent.data.encoder import Encoder, fit_encoder
from crossent.data.split import folds, hold_out
from crossent.errors import DataError, SettingError
from crossent.fitting.cross_fit import AnyFitted, AnyModel, CrossFit, Encode, Plan, Trial, cross_fit
from crossent.fitting.deadline import Deadline
from crossent.fitting.recipe import Recipe
from crossent.fitting.remedies import apply_remedy, named_class_weight
from crossent.models.boosting import Boosting
from crossent.models.model import Examples
from crossent.models.network import Network
from crossent.models.softmax_regression import SoftmaxRegression
from crossent.models.text import FittedTextRegression, TextRegression
from crossent.monitoring.records import OnEpoch, ignore_epoch
from crossent.predictor import Predictor
from crossent.train.checkpoint import Checkpoints
from crossent.train.learning_rate import LearningRateCurve
from crossent.train.processes import Processes

# From so many rows on, one split tells as much as five, at a fifth of the time.
MANY_ROWS = 20_000
# A network takes longer than the other models, and its heads are an average already.
MANY_ROWS_OF_NETWORK = 10_000
# In wider tables its first layer would take minutes, and auto leaves it out.
MOST_COLUMNS_OF_NETWORK = 500
# With text the rows held out choose less, for the model is then fitted to all rows.
MANY_TEXTS = 4_000
FOLDS = 5
# The share of the training rows in the one split.
VALID_SHARE = 0.2


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
    learning_rate
        What the search for the rate of a network saw, where there was one.
    """

    predictor: Predictor
    trials: tuple[Trial, ...]
    chosen: int
    stopped: bool
    learning_rate: LearningRateCurve | None


def fit(
    dataset: Dataset,
    recipe: Recipe,
    *,
    on_epoch: OnEpoch = ignore_epoch,
    checkpoints: Checkpoints | None = None,
    processes: Processes | None = None,
) -> FitResult:
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
    checkpoints
        Goes on with what they hold, and keeps there what an interrupted training needs to go on; None does neither.
    processes
        Those that train networks together, of which this one leads; None trains by this one alone.

    Raises
    ------
    TrainingInterruptedError
        If the checkpoints were asked to interrupt training.
    ProcessError
        If another process is gone.

    Examples
    --------
    >>> from crossent.data.read import read
    >>> from crossent.datasets import hpc_path
    >>> result = fit(read(hpc_path(), "class"), Recipe(model="linear", folds=1))
    >>> result.predictor.classes
    ('F', 'L', 'M', 'VF')
    """
    rng = np.random.default_rng(recipe.seed)
    # Without text nothing is learned from rows held out but scales and names, and all are encoded at once.
    whole = None if has_text(dataset) else _encode_all(dataset)
    plan = Plan(
        recipe=recipe,
        class_weight=named_class_weight(recipe.class_weight, dataset.classes),
        prior=dataset.prior,
        target=dataset.target,
        widths=None if whole is None else whole[0].widths,
        sides=_validation_sides(dataset, recipe, rng),
        apart_seed=int(rng.integers(2**31)),
        checkpoints=checkpoints,
        processes=processes,
    )
    models = _candidates(recipe, dataset)
    plans = tuple(_plan_of(model, plan) for model in models)
    deadline = Deadline(on_epoch, recipe.time_budget, sum(len(one.sides) for one in plans))
    encode = _encode_each(dataset) if whole is None else _take_from(whole[1])
    # A copy, so that training draws the same whether there was a search or not.
    models, learning_rate = _find_learning_rate(models, encode, plan, copy.deepcopy(rng))
    found: list[CrossFit] = []
    for model, own_plan in zip(models, plans, strict=True):
        found.append(cross_fit(model, encode, own_plan, rng, deadline))
        if deadline.stopped or deadline.out_of_time:
            break
    chosen = int(np.argmin([one.trial.calibrated_log_loss for one in found]))
    best = found[chosen]
    encoder, examples = whole or _encode_all(dataset)
    fitted, effective_priors = best.models, best.effective_priors
    if best.trial.refitted:
        fitted, effective_priors = (_refit(best.models, examples, plan, rng),), effective_priors.mean(0, keepdims=True)
    predictor = Predictor(
        columns=dataset.columns,
        encoder=encoder,
        models=fitted,
        effective_priors=effective_priors,
        deciding_prior=best.deciding_prior,
        calibration=best.trial.calibration,
        apart=best.apart,
        classes=dataset.classes,
        target_name=dataset.target_name,
        prior=plan.prior,
    )
    return FitResult(predictor, tuple(one.trial for one in found), chosen, deadline.stopped, learning_rate)


def _plan_of(model: AnyModel, plan: Plan) -> Plan:
    """Return the folds that a model is trained on: of many rows, a network holds out the first fold alone."""
    asked, rows = plan.recipe.folds, len(plan.sides[0])
    if isinstance(model, Network) and asked is None and rows >= MANY_ROWS_OF_NETWORK:
        return dataclasses.replace(plan, sides=plan.sides[:1])
    return plan


def has_text(dataset: Dataset) -> bool:
    """Say whether there is a column of free text."""
    return any(column.kind == "text" for column in dataset.columns)


def _encode_all(dataset: Dataset) -> tuple[Encoder, Examples]:
    encoder, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, len(dataset.classes))
    return encoder, Examples(features, dataset.target, len(dataset.classes), dataset.distribution)


def _take_from(examples: Examples) -> Encode:
    return lambda held_out: (examples.take(~held_out), examples.take(held_out))


def _encode_each(dataset: Dataset) -> Encode:
    """Encode rows by what those to train on hold: the n-grams of others would not be there for new rows."""

    def encode(held_out: npt.NDArray[np.bool_]) -> tuple[Examples, Examples]:
        encoder, train = _encode_all(dataset.take(~held_out))
        valid = dataset.take(held_out)
        return train, Examples(encoder.encode(valid.frame), valid.target, len(valid.classes), valid.distribution)

    return encode


def _refit(
    models: tuple[AnyFitted, ...], examples: Examples, plan: Plan, rng: np.random.Generator
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
        stop_by=recipe.stop_by,
        mixup=recipe.mixup,
    )
    # The focal loss has no one optimum for the linear model to be fitted to.
    auto: tuple[AnyModel, ...] = (boosting,) if recipe.imbalance == "focal" else (linear, boosting)
    if len(dataset.columns) <= MOST_COLUMNS_OF_NETWORK:
        auto = (*auto, network)
    return {"auto": auto, "linear": (linear,), "boosting": (boosting,), "network": (network,)}[recipe.model]


def _find_learning_rate(
    models: tuple[AnyModel, ...], encode: Encode, plan: Plan, rng: np.random.Generator
) -> tuple[tuple[AnyModel, ...], LearningRateCurve | None]:
    """Search the rate of the network among the models, if it is to be searched, on the training rows of a fold."""
    recipe = plan.recipe
    asked = recipe.find_lr or (recipe.model == "auto" and recipe.learning_rate is None)
    network = next((model for model in models if isinstance(model, Network)), None)
    if network is None or not asked:
        return models, None
    train, _ = encode(plan.sides[0])
    remedy = apply_remedy(train, recipe, plan.class_weight, rng)
    curve = network.find_learning_rate(remedy.train, objective=remedy.objective, rng=rng)
    found = dataclasses.replace(network, learning_rate=curve.suggested)
    return tuple(found if model is network else model for model in models), curve


def _text_columns(dataset: Dataset) -> str:
    return ", ".join(repr(column.name) for column in dataset.columns if column.kind == "text")


def _validation_sides(dataset: Dataset, recipe: Recipe, rng: np.random.Generator) -> list[npt.NDArray[np.bool_]]:
    """Return, for each fold, which rows it holds out."""
    many = MANY_TEXTS if has_text(dataset) else MANY_ROWS
    count = recipe.folds or (1 if len(dataset) >= many or dataset.time is not None else FOLDS)
    if count == 1:
        return [hold_out(dataset, VALID_SHARE, duplicates=recipe.duplicates, rng=rng) == 1]
    fold = folds(dataset, count, duplicates=recipe.duplicates, rng=rng)
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
