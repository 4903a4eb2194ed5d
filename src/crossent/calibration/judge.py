"""The losses of calibrations on rows that they were not fitted to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.calibration.scaling import Method
from crossent.calibration.structured import (
    LabelledFeatures,
    Structure,
    fit_structured,
    no_change,
    structured_losses,
)
from crossent.calibration.temperature import FittedTemperature, fit_temperature, for_chunks, scaled_rows

Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating[Any]]
Target = npt.NDArray[np.int64]

FOLDS = 5
# Above this number of logits one fold judges in place of five, which is exact enough.
MANY_LOGITS = 1 << 20
# The same rows are always divided in the same way.
SEED = 0
# Strengths of the penalties, which are tried from strong to weak as long as held-out rows gain.
STRENGTHS = (1.0, 1 / 4, 1 / 16)


@dataclass(frozen=True, eq=False)
class HeldOutRows:
    """Rows that a model was not trained on, dealt into folds, and the temperature that suits them all.

    Attributes
    ----------
    logits
        ``(n, K)``.
    target, fold
        ``(n,)``.
    weight
        ``(n,)`` float64, with a mean of one.
    judges
        How many of the folds judge calibrators that the rows outside the fold chose.
    temperature
        Of all rows; each fold's is a step away.
    """

    logits: FloatArray
    target: Target
    fold: npt.NDArray[np.int64]
    weight: Array
    judges: int
    temperature: FittedTemperature

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Which rows are in a fold that judges."""
        return np.asarray(self.fold < self.judges)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A calibrator, and what each of the judged rows, of these weights, loses by it when others chose it."""

    method: Method
    strength: float
    losses: Array
    weight: Array

    @property
    def log_loss(self) -> float:
        """The weighted mean loss in nats."""
        return float(np.average(self.losses, weights=self.weight))


def deal_rows(logits: FloatArray, target: Target, weight: Array | None, pool: ThreadPoolExecutor) -> HeldOutRows:
    """Deal ``(n, K)`` logits, ``(n,)`` class indices and weights into folds, and find the temperature of all."""
    # Not by class: in folds with equal class shares, biases that fit these shares, which are chance, would look good.
    fold = np.random.default_rng(SEED).permutation(len(target)) % FOLDS
    temperature = fit_temperature(logits, target, pool, weight)
    judges = FOLDS if logits.size <= MANY_LOGITS else 1
    of_mean_one = np.ones(len(target)) if weight is None else weight / weight.mean()
    return HeldOutRows(logits, target, fold, of_mean_one, judges, temperature)


def judge_identity(rows: HeldOutRows) -> Candidate:
    """Judge the logits as they are."""
    return Candidate("identity", 0.0, rows.temperature.unscaled.loss[rows.judged], rows.weight[rows.judged])


def judge_temperature(rows: HeldOutRows, pool: ThreadPoolExecutor) -> Candidate:
    """Judge temperature scaling."""
    losses = scaled_rows(rows.logits, rows.target, _inverse_by_fold(rows)[rows.fold], pool).loss
    outside = len(rows.target) - np.bincount(rows.fold, minlength=FOLDS)
    shares = np.array([share_of(int(count)) for count in outside])
    mixed = _mixed(losses, shares[rows.fold], rows.logits.shape[1])
    return Candidate("temperature", 0.0, mixed[rows.judged], rows.weight[rows.judged])


def judge_structure(rows: HeldOutRows, structure: Structure, pool: ThreadPoolExecutor) -> Iterator[Candidate]:
    """Judge vector or matrix scaling with one strength after the other, until one is not better than the one before."""
    classes = rows.logits.shape[1]
    sides = [rows.fold == fold for fold in range(rows.judges)]
    features = [_features_by_fold(rows, fold, pool) for fold in range(rows.judges)]
    weights = [no_change(structure, classes) for _ in sides]
    least = np.inf
    for strength in STRENGTHS:
        losses = np.empty(len(rows.target))
        for i, side in enumerate(sides):
            fitted, held_out = features[i]
            labelled = LabelledFeatures(fitted, rows.target[~side], rows.weight[~side])
            weights[i] = fit_structured(labelled, structure, strength, weights[i], pool)
            unmixed = structured_losses(held_out, rows.target[side], structure, weights[i], pool)
            losses[side] = _mixed(unmixed, share_of(fitted.shape[1]), classes)
        candidate = Candidate(structure, strength, losses[rows.judged], rows.weight[rows.judged])
        yield candidate
        if candidate.log_loss >= least:
            break
        least = candidate.log_loss


def share_of(rows: int) -> float:
    """Return the share of the uniform probabilities: what one more row could be, beside those that were seen."""
    return 1 / (rows + 1)


def log_probs(logits: FloatArray, inverse: float, share: float, pool: ThreadPoolExecutor) -> FloatArray:
    """Return the ``(K, n)`` log-probabilities of scaled ``(n, K)`` logits, mixed with the uniform ones, in their dtype.

    What `Temperature` and `Mixing` do, for many rows.
    """
    found = np.empty(logits.shape[::-1], logits.dtype)
    floor = share / logits.shape[1]

    def fill(chunk: slice) -> None:
        scaled = np.multiply(logits[chunk].T, inverse, dtype=logits.dtype, order="C")
        scaled -= scaled.max(axis=0)
        np.exp(scaled, out=scaled)
        scaled *= (1 - share) / scaled.sum(axis=0)
        scaled += floor
        np.log(scaled, out=found[:, chunk])

    for_chunks(fill, logits.shape, pool)
    return found


def _features_by_fold(rows: HeldOutRows, fold: int, pool: ThreadPoolExecutor) -> tuple[FloatArray, FloatArray]:
    """Return the log-probabilities of the rows outside a fold and of those in it, by the temperature of the former."""
    side = rows.fold == fold
    inverse, share = _inverse_by_fold(rows)[fold], share_of(int((~side).sum()))
    return log_probs(rows.logits[~side], inverse, share, pool), log_probs(rows.logits[side], inverse, share, pool)


def _inverse_by_fold(rows: HeldOutRows) -> Array:
    """Return the ``(FOLDS,)`` inverse temperatures that the rows outside each fold choose.

    One Newton step leads there from the temperature of all rows: without a fifth of them the optimum is so near that
    a second step would change no digit that matters.
    """
    weighted = (rows.weight * each for each in (rows.temperature.rows.slope, rows.temperature.rows.curvature))
    slopes, curvatures = (values.sum() - np.bincount(rows.fold, values, FOLDS) for values in weighted)
    steps = np.divide(slopes, curvatures, out=np.zeros(FOLDS), where=curvatures > 0)
    inverse = rows.temperature.inverse
    found: Array = np.clip(inverse - steps, inverse / 2, inverse * 2)
    return found


def _mixed(losses: Array, share: Array | float, classes: int) -> Array:
    """Return the cross entropy of rows whose probabilities are mixed with the uniform ones."""
    return np.asarray(-np.logaddexp(np.log1p(-share) - losses, np.log(share / classes)))
