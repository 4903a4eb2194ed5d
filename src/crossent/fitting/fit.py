"""Makes a predictor from a dataset and a recipe; everything else is put together here."""

import copy
import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.calibration.combine import equal_say
from crossent.data.dataset import Dataset
from crossent.data.encoder import Encoder, fit_encoder
from crossent.data.merge import merge_copies
from crossent.data.split import folds, hold_out
from crossent.errors import DataError
from crossent.fitting.candidates import Candidate, candidates
from crossent.fitting.cross_fit import CrossFit, Encode, Plan, Trial, cross_fit
from crossent.fitting.deadline import Deadline
from crossent.fitting.recipe import Recipe
from crossent.fitting.remedies import apply_remedy, asked_of_models, named_class_weight
from crossent.kinds.catalogue import kind_of
from crossent.models.catalogue import fit as fit_model
from crossent.models.catalogue import model_of, settings_for_all_rows
from crossent.models.model import Examples, Task
from crossent.models.settings import Settings
from crossent.monitoring.records import OnEpoch, ignore_epoch
from crossent.predictor import Member, Predictor
from crossent.train.checkpoint import Checkpoints
from crossent.train.learning_rate import LearningRateCurve
from crossent.train.processes import Processes

# Above this number of rows, one split is as good as five, at a fifth of the time.
MANY_ROWS = 20_000
# With text, held-out rows choose less, because the model is later fitted to all rows.
MANY_TEXTS = 4_000
FOLDS = 5
# The share of the training rows in the one split.
VALID_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class FitResult:
    """A predictor, and how it was chosen.

    Attributes
    ----------
    trials
        Every model that was tried.
    chosen
        Position in ``trials`` of the one in the predictor.
    stopped
        Whether `on_epoch` stopped it before its end.
    """

    predictor: Predictor
    trials: tuple[Trial, ...]
    chosen: int
    stopped: bool

    @property
    def learning_rate(self) -> LearningRateCurve | None:
        """What a search for the learning rate of a candidate saw, where there was one."""
        return next((trial.learning_rate for trial in self.trials if trial.learning_rate is not None), None)


def fit(
    dataset: Dataset,
    recipe: Recipe,
    *,
    on_epoch: OnEpoch = ignore_epoch,
    checkpoints: Checkpoints | None = None,
    processes: Processes | None = None,
) -> FitResult:
    """Train, choose and calibrate on the rows of a dataset.

    Copies of a row with the same label count as one row of their summed weight. Every candidate model is trained on
    each fold's complement; the held-out rows choose its rounds or penalty, the model, and the temperature. The
    predictor averages the log-probabilities of the models of all folds. With columns of text, whose n-grams are learned
    from each complement anew, one model is then fitted to all rows.

    Parameters
    ----------
    dataset
        Training rows; hold out rows for evaluation before.
    recipe
        All settings.
    on_epoch
        Called with every epoch; returns True to end training soon with the best that there is.
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
    tried = tried_on(dataset, recipe)
    dataset = merge_copies(dataset, recipe.duplicates)
    by_fold = learns_by_fold(dataset)
    # If encoders learn only scales and names, and nothing from labels, all rows are encoded at once.
    whole = None if by_fold else _encode_all(dataset)
    plan = Plan(
        recipe=recipe,
        class_weight=named_class_weight(recipe.class_weight, dataset.classes),
        prior=dataset.prior,
        target=dataset.target,
        widths=None if whole is None else whole[0].widths,
        sides=_validation_sides(dataset, recipe, rng),
        refit=by_fold,
        apart_seed=int(rng.integers(2**31)),
        checkpoints=checkpoints,
        processes=processes,
    )
    encode = _encode_each(dataset) if whole is None else _take_from(whole[1])
    fits, deadline = _cross_fit_all(tried, encode, plan, rng, on_epoch)
    chosen = _lowest_loss(fits)
    best = fits[chosen]
    encoder, examples = whole or _encode_all(dataset)
    predictor = Predictor(
        columns=dataset.columns,
        encoder=encoder,
        members=_members(tried[chosen], best, examples, plan, rng),
        combination=equal_say(1 if best.trial.refitted else len(best.models)),
        decision_prior=best.decision_prior,
        calibration=best.trial.calibration,
        conformal_rows=best.conformal_rows,
        classes=dataset.classes,
        target_name=dataset.target_name,
        prior=plan.prior,
    )
    return FitResult(predictor, tuple(of_candidate.trial for of_candidate in fits), chosen, deadline.stopped)


def check_trainable(dataset: Dataset, recipe: Recipe) -> None:
    """Check that there is a model for the columns and the settings.

    Raises
    ------
    SettingError
        If there is none, or a class has no weight.
    """
    tried_on(dataset, recipe)
    named_class_weight(recipe.class_weight, dataset.classes)


def tried_on(dataset: Dataset, recipe: Recipe) -> tuple[Candidate, ...]:
    """Return the candidates that a recipe means for a dataset; raises what `check_trainable` raises for want of one."""
    return candidates(recipe, dataset, asked_of_models(recipe, has_shares=dataset.distribution is not None))


def _cross_fit_all(
    tried: tuple[Candidate, ...], encode: Encode, plan: Plan, rng: np.random.Generator, on_epoch: OnEpoch
) -> tuple[list[CrossFit], Deadline]:
    """Fit the candidates one after the other, until the time is over."""
    plans = [_plan_of(candidate, plan) for candidate in tried]
    deadline = Deadline(on_epoch, plan.recipe.time_budget, sum(len(of_candidate.sides) for of_candidate in plans))
    # A copy, so that the draws of training are the same with and without a search.
    prepared = [_prepared(candidate, encode, plan, copy.deepcopy(rng)) for candidate in tried]
    fits: list[CrossFit] = []
    for (candidate, curve), of_candidate in zip(prepared, plans, strict=True):
        fitted = cross_fit(candidate, encode, of_candidate, rng, deadline)
        fits.append(dataclasses.replace(fitted, trial=dataclasses.replace(fitted.trial, learning_rate=curve)))
        if deadline.stopped or deadline.out_of_time:
            break
    return fits, deadline


def _prepared(
    candidate: Candidate, encode: Encode, plan: Plan, rng: np.random.Generator
) -> tuple[Candidate, LearningRateCurve | None]:
    """Return a candidate with what its model finds out before it is fitted, on the training rows of the first fold."""

    def make_task() -> Task:
        train, _ = encode(plan.sides[0])
        remedy = apply_remedy(train, plan.recipe, plan.class_weight, rng)
        return Task(train=remedy.train, valid=None, objective=remedy.objective, rng=rng, name=candidate.name)

    settings, curve = model_of(candidate.settings).prepare(candidate.settings, make_task)
    return dataclasses.replace(candidate, settings=settings), curve


def _plan_of(candidate: Candidate, plan: Plan) -> Plan:
    """Return the folds that a candidate is trained on: the first alone where one split is as good for its model."""
    count = folds_of(candidate.settings, plan.recipe, len(plan.target), len(plan.sides))
    return dataclasses.replace(plan, sides=plan.sides[:count])


def folds_of(settings: Settings, recipe: Recipe, rows: int, folds: int) -> int:
    """Return how many of the folds a model is fitted on."""
    enough = settings.one_split_rows
    return 1 if enough is not None and recipe.folds is None and rows >= enough else folds


def fold_count(recipe: Recipe, rows: int, *, by_fold: bool, in_time: bool) -> int:
    """Return how many folds there are to be.

    Parameters
    ----------
    recipe
        It may give their number.
    rows
        To train on.
    by_fold
        Whether a column learns from the labels, as `learns_by_fold` says.
    in_time
        Whether the rows that are held out are the latest: then there is one split.
    """
    many = MANY_TEXTS if by_fold else MANY_ROWS
    return recipe.folds or (1 if rows >= many or in_time else FOLDS)


def _lowest_loss(fits: list[CrossFit]) -> int:
    """Return the position of the best candidate, judged on the same held-out rows as the others."""
    if len({of_candidate.trial.folds for of_candidate in fits}) == 1:
        return int(np.argmin([of_candidate.trial.calibrated_log_loss for of_candidate in fits]))
    return int(np.argmin([of_candidate.first_fold_loss() for of_candidate in fits]))


def _members(
    candidate: Candidate, best: CrossFit, examples: Examples, plan: Plan, rng: np.random.Generator
) -> tuple[Member, ...]:
    """Return the models of the folds, or the one that is fitted to all rows."""
    if not best.trial.refitted:
        of_folds = zip(best.models, best.effective_priors, strict=True)
        return tuple(Member(candidate.name, model, prior) for model, prior in of_folds)
    remedy = apply_remedy(examples, plan.recipe, plan.class_weight, rng)
    task = Task(train=remedy.train, valid=None, objective=remedy.objective, rng=rng, name=candidate.name)
    model = fit_model(settings_for_all_rows(candidate.settings, best.models), task)
    return (Member(candidate.name, model, best.effective_priors.mean(axis=0)),)


def learns_by_fold(dataset: Dataset) -> bool:
    """Say whether a column learns from the labels, as free text does: each fold must then learn anew."""
    return any(kind_of(column).by_fold for column in dataset.columns)


def _encode_all(dataset: Dataset) -> tuple[Encoder, Examples]:
    encoder, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, len(dataset.classes))
    classes = len(dataset.classes)
    return encoder, Examples(features, dataset.target, classes, dataset.distribution, dataset.weight)


def _take_from(examples: Examples) -> Encode:
    return lambda held_out: (examples.take(~held_out), examples.take(held_out))


def _encode_each(dataset: Dataset) -> Encode:
    """Encode rows by what those to train on hold: the n-grams of others would not be there for new rows."""

    def encode(held_out: npt.NDArray[np.bool_]) -> tuple[Examples, Examples]:
        encoder, train = _encode_all(dataset.take(~held_out))
        valid = dataset.take(held_out)
        features, classes = encoder.encode(valid.frame), len(valid.classes)
        return train, Examples(features, valid.target, classes, valid.distribution, valid.weight)

    return encode


def _validation_sides(dataset: Dataset, recipe: Recipe, rng: np.random.Generator) -> list[npt.NDArray[np.bool_]]:
    """Return, for each fold, which rows it holds out."""
    by_fold = learns_by_fold(dataset)
    count = fold_count(recipe, len(dataset), by_fold=by_fold, in_time=dataset.time is not None)
    if count == 1:
        return [hold_out(dataset, VALID_SHARE, duplicates=recipe.duplicates, rng=rng) == 1]
    fold = folds(dataset, count, duplicates=recipe.duplicates, rng=rng)
    held_out = [fold == i for i in range(count)]
    # Few rows or few groups can leave a fold with none to hold out, or none to train on.
    useful = [side for side in held_out if side.any() and not side.all()]
    if not useful:
        raise DataError(
            "Training needs rows to learn from and rows to hold out.",
            f"The {len(dataset)} rows form one group, because they have the same features or the same group.",
            "Give more rows, or allow duplicates anywhere (--duplicates anywhere).",
        )
    return useful
