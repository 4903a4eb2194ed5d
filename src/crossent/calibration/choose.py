"""Which calibrator to keep: each is judged on rows that it was not fitted to, and must earn its flexibility."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crossent.calibration.scaling import (
    Attempt,
    Calibration,
    MatrixScaling,
    Method,
    Mixing,
    Step,
    Temperature,
    VectorScaling,
    identity,
)
from crossent.calibration.structured import Structure, fit_structured, no_change, structured_losses
from crossent.calibration.temperature import FittedTemperature, fit_temperature, for_chunks, scaled_rows
from crossent.solver.passes import open_threads

Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating[Any]]
Target = npt.NDArray[np.int64]
Choice = Literal["auto", "identity", "temperature", "vector", "matrix"]

FOLDS = 5
FEWEST_ROWS = 2 * FOLDS
# Logits above which one fold judges instead of five: with so many, one tells enough.
MANY_LOGITS = 1 << 22
# Of the penalties: from strong to weak, as long as the rows held out gain by it.
STRENGTHS: dict[Structure, tuple[float, ...]] = {"vector": (1 / 4,), "matrix": (1.0, 1 / 4, 1 / 16)}
# Weights that a matrix may have for each row; where it would have more, vector scaling stands for it.
MOST_WEIGHTS_PER_ROW = 4
# Standard errors of the mean gain by which a more flexible calibrator must beat a simpler one under "auto".
LEAST_STANDARD_ERRORS = 1.0


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A calibrator, what each of the judged rows loses by it when others chose it, and the time that took."""

    method: Method
    strength: float
    losses: Array
    seconds: float

    @property
    def log_loss(self) -> float:
        return float(self.losses.mean())


def choose_calibration(logits: FloatArray, target: Target, method: Choice, *, least_gain: float = 0.0) -> Calibration:
    """Fit calibrators to held-out logits, and keep one only if it lowers the log-loss of rows that it did not see.

    Parameters
    ----------
    logits
        ``(n, K)`` finite logits, K above 1, of rows that the model was not trained on.
    target
        ``(n,)`` class indices.
    method
        Which to try. ``"auto"`` goes from the identity to temperature, vector and matrix scaling, and takes each only
        if it gains more than the standard error of its gain over what it would replace. With more than 4 n weights in
        the matrix, vector scaling stands for matrix scaling.
    least_gain
        Share of the log-loss by which a calibrator must lower it to be kept.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> honest = rng.normal(size=(20_000, 3)).astype(np.float32)
    >>> target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    >>> calibration = choose_calibration(3 * honest, target, "auto")
    >>> calibration.method, round(calibration.temperature, 1)
    ('temperature', 3.0)
    """
    with open_threads() as (pool, _):
        return _Choice(logits, target, pool).calibration(method, least_gain)


class _Choice:
    """Logits and labels with the temperature that suits them all, from which every fold departs."""

    def __init__(self, logits: FloatArray, target: Target, pool: ThreadPoolExecutor) -> None:
        self._logits = logits
        self._target = target
        self._pool = pool
        started = time.perf_counter()
        self._fold = _folds(target)
        self._temperature = fit_temperature(logits, target, pool)
        self._seconds = time.perf_counter() - started
        judges = FOLDS if logits.size <= MANY_LOGITS else 1
        self._sides = [self._fold == fold for fold in range(judges)]
        self._judged = self._fold < judges

    def calibration(self, method: Choice, least_gain: float) -> Calibration:
        """Return the calibration that is kept."""
        before = float(self._temperature.unscaled.loss.mean())
        if len(self._target) < FEWEST_ROWS:
            return identity(f"{len(self._target)} held-out rows are too few to calibrate on", before)
        unscaled = _Candidate("identity", 0.0, self._temperature.unscaled.loss[self._judged], 0.0)
        tried, kept = [unscaled], unscaled
        for candidate in self._candidates(method):
            tried.append(candidate)
            if _gains(kept, candidate, LEAST_STANDARD_ERRORS if method == "auto" else 0.0):
                kept = candidate
        if not kept.log_loss < unscaled.log_loss * (1 - least_gain):
            kept = unscaled
        attempts = tuple(
            Attempt(one.method, one.strength, one.log_loss, one.seconds, kept=one is kept) for one in tried
        )
        if kept is unscaled:
            return identity(_why_not(method, least_gain), unscaled.log_loss, attempts)
        steps = self._steps(kept)
        return Calibration(
            kept.method, steps, unscaled.log_loss, kept.log_loss, self._why(method, kept.method), attempts
        )

    def _candidates(self, method: Choice) -> Iterator[_Candidate]:
        if method in {"auto", "temperature"}:
            yield self._judge_temperature()
        for structure in self._structures(method):
            yield from self._judge_structure(structure)

    def _structures(self, method: Choice) -> tuple[Structure, ...]:
        n, classes = self._logits.shape
        suits_matrix = classes**2 <= MOST_WEIGHTS_PER_ROW * n
        if method == "auto":
            return ("vector", "matrix") if suits_matrix else ("vector",)
        if method == "matrix":
            return ("matrix",) if suits_matrix else ("vector",)
        return ("vector",) if method == "vector" else ()

    def _judge_temperature(self) -> _Candidate:
        started = time.perf_counter()
        inverse = _inverse_by_fold(self._temperature, self._fold)
        losses = scaled_rows(self._logits, self._target, inverse[self._fold], self._pool).loss
        share = 1 / (1 + len(self._target) - np.bincount(self._fold, minlength=FOLDS))[self._fold]
        mixed = _mixed(losses, share, self._logits.shape[1])
        seconds = self._seconds + time.perf_counter() - started
        return _Candidate("temperature", 0.0, mixed[self._judged], seconds)

    def _judge_structure(self, structure: Structure) -> Iterator[_Candidate]:
        """Judge strength after strength, from strong to weak, until one is no better than that before."""
        classes = self._logits.shape[1]
        starts = [no_change(structure, classes) for _ in self._sides]
        features = [self._features(side) for side in self._sides]
        least = np.inf
        for strength in STRENGTHS[structure]:
            started = time.perf_counter()
            losses = np.empty(len(self._target))
            for i, side in enumerate(self._sides):
                fitted, held_out = features[i]
                weight = fit_structured(fitted, self._target[~side], structure, strength, starts[i], self._pool)
                starts[i] = weight
                unmixed = structured_losses(held_out, self._target[side], structure, weight, self._pool)
                losses[side] = _mixed(unmixed, _share(fitted.shape[1]), classes)
            found = _Candidate(structure, strength, losses[self._judged], time.perf_counter() - started)
            yield found
            if found.log_loss >= least:
                break
            least = found.log_loss

    def _features(self, side: npt.NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Return the log-probabilities, by the temperature of those not held out, of these and of those held out."""
        fold = int(self._fold[np.argmax(side)])
        inverse, share = _inverse_by_fold(self._temperature, self._fold)[fold], _share(int((~side).sum()))
        return (
            log_probs(self._logits[~side], inverse, share, self._pool),
            log_probs(self._logits[side], inverse, share, self._pool),
        )

    def _steps(self, kept: _Candidate) -> tuple[Step, ...]:
        inverse, share = self._temperature.inverse, _share(len(self._target))
        first = (Temperature(1 / inverse), Mixing(share))
        if kept.method == "temperature":
            return first
        structure: Structure = "vector" if kept.method == "vector" else "matrix"
        features = log_probs(self._logits, inverse, share, self._pool)
        weight = no_change(structure, len(features))
        for strength in STRENGTHS[structure]:
            weight = fit_structured(features, self._target, structure, strength, weight, self._pool)
            if strength == kept.strength:
                break
        return (*first, _scaling(structure, weight), Mixing(share))

    def _why(self, method: Choice, kept: Method) -> str:
        direction = "overconfident" if self._temperature.inverse < 1 else "underconfident"
        corrected = "corrected" if kept == "temperature" else f"corrected by {kept} scaling"
        few = f"; {len(self._target):,} rows are too few for the weights of a matrix"
        return f"the model was {direction}; {corrected}{few if method == 'matrix' and kept == 'vector' else ''}"


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


def _share(rows: int) -> float:
    """Return the share of the uniform probabilities: what one more row could be, beside those that were seen."""
    return 1 / (rows + 1)


def _folds(target: Target) -> npt.NDArray[np.int64]:
    # Sorted by class and dealt in turn, every fold holds about the same share of each class.
    fold = np.empty(len(target), dtype=np.int64)
    fold[np.argsort(target, kind="stable")] = np.arange(len(target)) % FOLDS
    return fold


def _inverse_by_fold(temperature: FittedTemperature, fold: npt.NDArray[np.int64]) -> Array:
    """Return the ``(FOLDS,)`` inverse temperatures that the rows outside each fold choose.

    One Newton step leads there from the temperature of all rows: without a fifth of them the optimum is so near that
    a second step would change no digit that matters.
    """
    slopes, curvatures = (
        values.sum() - np.bincount(fold, values, FOLDS)
        for values in (temperature.rows.slope, temperature.rows.curvature)
    )
    steps = np.divide(slopes, curvatures, out=np.zeros(FOLDS), where=curvatures > 0)
    found: Array = np.clip(temperature.inverse - steps, temperature.inverse / 2, temperature.inverse * 2)
    return found


def _scaling(structure: Structure, weight: Array) -> VectorScaling | MatrixScaling:
    if structure == "vector":
        return VectorScaling(1 + weight[:, 0], weight[:, 1])
    return MatrixScaling(np.eye(len(weight)) + weight[:, :-1].T, weight[:, -1])


def _mixed(losses: Array, share: Array | float, classes: int) -> Array:
    """Return the cross entropy of rows whose probabilities are mixed with the uniform ones."""
    return np.asarray(-np.logaddexp(np.log1p(-share) - losses, np.log(share / classes)))


def _gains(kept: _Candidate, other: _Candidate, standard_errors: float) -> bool:
    gains = kept.losses - other.losses
    # Strengths of one method differ by no more flexibility than the rows held out can choose.
    least = 0.0 if kept.method == other.method else standard_errors * float(gains.std()) / np.sqrt(len(gains))
    return bool(gains.mean() > least)


def _why_not(method: Choice, least_gain: float) -> str:
    if method == "identity":
        return "not asked for"
    enough = f" by {least_gain:.0%} or more" if least_gain else ""
    what = "no calibrator lowers" if method == "auto" else f"{method} scaling does not lower"
    return f"{what} the held-out log-loss{enough}"
