"""Trains a model on the complement of each fold, and calibrates it by the held-out rows."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from crossent.calibration.choose import choose_calibration
from crossent.calibration.scaling import Calibration, identity
from crossent.fitting.candidates import Candidate
from crossent.fitting.deadline import Deadline
from crossent.fitting.recipe import Recipe
from crossent.fitting.remedies import apply_remedy, effective_prior, measured_strength
from crossent.kinds.blocks import Widths
from crossent.logits import LabelledLogits, shift_prior
from crossent.models.catalogue import AnyFitted, fit, model_of
from crossent.models.model import Examples, Task
from crossent.monitoring.records import OnEpoch
from crossent.train.checkpoint import Checkpoint, Checkpoints
from crossent.train.learning_rate import LearningRateCurve
from crossent.train.processes import Processes
from crossent.value_checks import LARGEST_LOGIT, check_bounded

# Each held-out row has logits of one model, but the average of several models predicts, and averaging already reduces
# overconfidence. A temperature that gains less than this share of the log-loss would correct too much.
LEAST_GAIN_OF_AVERAGE = 0.01
# Fewer held-out rows cannot show whether a correction of confidence helps.
LEAST_CALIBRATED = 30
# A third of the held-out rows is not used by calibration, so that prediction sets can be based on it, but at most this
# number of rows, or of logits, because they are saved with the model.
APART_DIVISOR = 3
MOST_APART, MOST_APART_VALUES, LEAST_OF_MANY_CLASSES = 5000, 5_000_000, 500

# A function from a mask of the held-out rows to the training rows and the held-out rows.
Encode = Callable[[npt.NDArray[np.bool_]], tuple[Examples, Examples]]


@dataclass(frozen=True)
class Trial:
    """One model that was tried.

    Attributes
    ----------
    model
        Its name.
    log_loss
        Mean cross entropy in nats on held-out rows, before calibration.
    calibration
        What calibration made of it.
    folds
        How many models stand behind it.
    refitted
        Whether the model was then fitted to all rows; if not, those of the folds are averaged.
    seconds
        Time that its training took.
    learning_rate
        What the search for its learning rate saw, where there was one.
    """

    model: str
    log_loss: float
    calibration: Calibration
    folds: int
    refitted: bool
    seconds: float
    learning_rate: LearningRateCurve | None = None

    @property
    def calibrated_log_loss(self) -> float:
        """The held-out log-loss after calibration."""
        return self.calibration.log_loss_after if self.calibration.method != "identity" else self.log_loss


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Models that each held out another fold, and the rows that had no part in their training.

    Attributes
    ----------
    trial
        What came of it.
    models
        Of each fold.
    effective_priors
        ``(F, K)`` class shares that each believes in.
    decision_prior
        ``(K,)`` class shares that predicted classes are chosen for.
    held_out
        The logits of all held-out rows, each by the model that did not see it, under the class shares of the data.
    conformal_rows
        Those of them that calibration did not see, calibrated.
    """

    trial: Trial
    models: tuple[AnyFitted, ...]
    effective_priors: npt.NDArray[np.float64]
    decision_prior: npt.NDArray[np.float64]
    held_out: LabelledLogits
    conformal_rows: LabelledLogits

    def first_fold_loss(self) -> float:
        """Return the calibrated log-loss on the rows of the first fold, which every candidate holds out."""
        rows = self.held_out.take(self.held_out.model_index == 0)
        calibrated = dataclasses.replace(rows, logits=self.trial.calibration.logits(rows.logits))
        return calibrated.mean_cross_entropy()


@dataclass(frozen=True, eq=False)
class Plan:
    """The settings and folds that are the same for every candidate.

    Attributes
    ----------
    recipe
        All settings.
    class_weight
        ``(K,)`` by hand, or None.
    prior
        ``(K,)`` shares of the classes in the data.
    target
        ``(n,)`` class indices of all rows.
    widths
        Of the features that models of all folds read; None where each fold has its own.
    sides
        For each fold the mask of the rows that it holds out.
    refit
        Whether the model is later fitted to all rows, because each fold learned its own features.
    apart_seed
        Draws the rows that calibration does not see.
    checkpoints
        Of all fits, or None.
    processes
        Those that take part in fits; None is this one alone.
    """

    recipe: Recipe
    class_weight: npt.NDArray[np.float64] | None
    prior: npt.NDArray[np.float64]
    target: npt.NDArray[np.int64]
    widths: Widths | None
    sides: list[npt.NDArray[np.bool_]]
    refit: bool
    apart_seed: int
    checkpoints: Checkpoints | None
    processes: Processes | None


@dataclass(frozen=True, eq=False)
class FoldFit:
    """A model, what its logits lack to the class shares of the data, and the rows that it never saw."""

    model: AnyFitted
    prior_correction: npt.NDArray[np.float64]
    held_out: LabelledLogits

    def __post_init__(self) -> None:
        classes = self.model.classes
        if self.prior_correction.shape != (classes,) or self.held_out.logits.shape[1] != classes:
            raise ValueError(f"a model of {classes} classes does not fit rows or shares of others")
        self.held_out.check_finite()
        check_bounded("what logits lack to the class shares of the data", self.prior_correction, LARGEST_LOGIT)


def cross_fit(
    candidate: Candidate, encode: Encode, plan: Plan, rng: np.random.Generator, deadline: Deadline
) -> CrossFit:
    """Train a model on the complement of each fold, and calibrate it by held-out rows.

    Parameters
    ----------
    candidate
        The settings of the model, and its name.
    encode
        Gives the rows of a fold.
    plan
        The folds, and what else is the same for every model.
    rng
        Gives each fold a generator of its own.
    deadline
        Ends the fit when its time is over, and passes epochs on.
    """
    started = time.perf_counter()
    fits = _fit_folds(candidate, encode, plan, rng, deadline)
    rows = _join([fold_fit.held_out for fold_fit in fits])
    prior_correction = np.stack([fold_fit.prior_correction for fold_fit in fits])
    for_calibration, apart = _choose_apart(len(rows), len(plan.prior), plan.apart_seed)
    effective_priors = _effective_priors(rows.take(for_calibration), prior_correction, plan.prior)
    rows = _restore(rows, effective_priors, plan.prior)
    averaged = len(fits) > 1 and not plan.refit
    # A model that is later fitted to all rows has other logits; only a temperature can be transferred to it.
    method = "temperature" if plan.refit and plan.recipe.calibration == "auto" else plan.recipe.calibration
    calibration = _calibrate(rows.take(for_calibration), method, LEAST_GAIN_OF_AVERAGE if averaged else 0.0)
    rows_apart = rows.take(apart)
    fold = None if plan.refit else rows_apart.fold
    seconds = time.perf_counter() - started
    return CrossFit(
        trial=Trial(candidate.name, calibration.log_loss_before, calibration, len(fits), plan.refit, seconds),
        models=tuple(fold_fit.model for fold_fit in fits),
        effective_priors=effective_priors,
        decision_prior=effective_prior(plan.prior, prior_correction.mean(axis=0)),
        held_out=rows,
        conformal_rows=dataclasses.replace(rows_apart, logits=calibration.logits(rows_apart.logits), fold=fold),
    )


def _fit_folds(
    candidate: Candidate, encode: Encode, plan: Plan, rng: np.random.Generator, deadline: Deadline
) -> list[FoldFit]:
    fits: list[FoldFit] = []
    for i, own_rng in enumerate(rng.spawn(len(plan.sides))):
        if deadline.out_of_time and fits:
            break
        on_epoch = deadline.fold(i + 1, len(plan.sides))
        checkpoint = None if plan.checkpoints is None else plan.checkpoints.of(candidate.name, i + 1)
        fold_fit = None if checkpoint is None else _finished_fold(candidate, plan, i, checkpoint)
        if fold_fit is None:
            fold_fit = _fit_fold(candidate, encode, plan, i, own_rng, on_epoch, checkpoint)
            # A fold that was cut short would only make the average of the complete folds worse.
            if deadline.stopped and fits:
                break
        fits.append(fold_fit)
    return fits


def _finished_fold(candidate: Candidate, plan: Plan, fold: int, checkpoint: Checkpoint) -> FoldFit | None:
    """Return a fold that was fitted before the run was interrupted, if there is one, and if it is of these rows."""
    fitted = checkpoint.finished(FoldFit)
    if fitted is None:
        return None
    held_out, target = fitted.held_out, plan.target[plan.sides[fold]]
    classes = len(plan.prior)
    if not isinstance(fitted.model, model_of(candidate.settings).fitted):
        raise checkpoint.fitted_differs(f"it is {type(fitted.model).__name__}, and the model is {candidate.name}")
    if fitted.model.classes != classes or (plan.widths is not None and not fitted.model.reads(plan.widths)):
        raise checkpoint.fitted_differs("its model is for other columns or classes")
    if fitted.prior_correction.shape != (classes,) or held_out.logits.shape != (len(target), classes):
        raise checkpoint.fitted_differs(f"its logits are {held_out.logits.shape}, not {(len(target), classes)}")
    if not np.array_equal(held_out.target, target) or not (held_out.model_index == fold).all():
        raise checkpoint.fitted_differs("it holds out other rows")
    if not np.isfinite(fitted.prior_correction).all():
        raise checkpoint.fitted_differs("what restores the class shares is not finite")
    return fitted


def _fit_fold(
    candidate: Candidate,
    encode: Encode,
    plan: Plan,
    fold: int,
    rng: np.random.Generator,
    on_epoch: OnEpoch,
    checkpoint: Checkpoint | None,
) -> FoldFit:
    train, valid = encode(plan.sides[fold])
    remedy = apply_remedy(train, plan.recipe, plan.class_weight, rng)
    task = Task(
        train=remedy.train,
        valid=valid,
        objective=remedy.objective,
        rng=rng,
        name=candidate.name,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        processes=plan.processes,
    )
    fitted = fit(candidate.settings, task)
    logits = fitted.logits(valid.features)
    held_out = LabelledLogits(logits, valid.target, np.full(len(logits), fold), valid.weight)
    fold_fit = FoldFit(fitted, remedy.objective.prior_correction_or_zeros(train.classes), held_out)
    if checkpoint is not None:
        checkpoint.raise_if_interrupted()
        checkpoint.finish(fold_fit)
    return fold_fit


def _effective_priors(
    rows: LabelledLogits, prior_correction: npt.NDArray[np.float64], prior: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the ``(F, K)`` class shares that the models of the folds believe in, as far as the rows show."""
    strength = measured_strength(rows, prior_correction[rows.model_index]) if prior_correction.any() else 0.0
    return np.stack([effective_prior(prior, strength * of_fold) for of_fold in prior_correction])


def _restore(
    rows: LabelledLogits, effective_priors: npt.NDArray[np.float64], prior: npt.NDArray[np.float64]
) -> LabelledLogits:
    """Return the rows with logits under the class shares of the data."""
    logits = rows.logits.copy()
    for fold, fold_prior in enumerate(effective_priors):
        of_fold = rows.model_index == fold
        logits[of_fold] = shift_prior(rows.logits[of_fold], fold_prior, prior)
    return dataclasses.replace(rows, logits=logits)


def _calibrate(
    rows: LabelledLogits, method: Literal["auto", "none", "temperature", "vector", "matrix"], least_gain: float
) -> Calibration:
    if method == "none":
        return identity("not asked for", rows.mean_cross_entropy())
    if len(rows.target) < LEAST_CALIBRATED:
        note = f"{len(rows.target)} held-out rows are too few to correct confidence"
        return identity(note, rows.mean_cross_entropy())
    return choose_calibration(rows.logits, rows.target, method, weight=rows.weight, least_gain=least_gain)


def _join(parts: list[LabelledLogits]) -> LabelledLogits:
    return LabelledLogits(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.model_index for part in parts]),
        None if parts[0].weight is None else np.concatenate([part.weight for part in parts if part.weight is not None]),
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
