"""Which calibrator to keep: each must earn its flexibility on rows that it was not fitted to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crossent.calibration.judge import (
    FOLDS,
    Candidate,
    HeldOutRows,
    deal_rows,
    judge_identity,
    judge_structure,
    judge_temperature,
    log_probs,
    share_of,
)
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
from crossent.calibration.structured import LabelledFeatures, Structure, fit_structured, no_change
from crossent.logits import mean_cross_entropy
from crossent.threads import open_threads

FloatArray = npt.NDArray[np.floating[Any]]
Target = npt.NDArray[np.int64]
Choice = Literal["auto", "identity", "temperature", "vector", "matrix"]

FEWEST_ROWS = 2 * FOLDS
# Weights that a matrix may have for each row; where it would have more, vector scaling stands for it.
MOST_WEIGHTS_PER_ROW = 4
# Standard errors of the mean gain that a weaker penalty must gain, and under "auto" whatever replaces the identity.
# Calibrators of different methods are all shrunk already, and the lower loss decides.
LEAST_STANDARD_ERRORS = 1.0


def choose_calibration(
    logits: FloatArray,
    target: Target,
    method: Choice,
    *,
    weight: npt.NDArray[np.float64] | None = None,
    least_gain: float = 0.0,
) -> Calibration:
    """Fit calibrators to held-out logits, and keep one only if it lowers the log-loss of rows that it did not see.

    Parameters
    ----------
    logits
        ``(n, K)`` finite float32 or float64 logits, K above 1, of rows that the model was not trained on.
    target
        ``(n,)`` class indices.
    method
        Which to try. ``"auto"`` takes the one of lowest log-loss, and none unless it gains more than the standard error
        of its gain over the logits as they are. With more than 4 n weights in the matrix, vector scaling stands for
        matrix scaling.
    weight
        ``(n,)`` above 0: how many rows each row counts as. None: as one.
    least_gain
        Share of the log-loss by which a calibrator must lower it to be kept.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> honest = rng.normal(size=(20_000, 3)).astype(np.float32)
    >>> target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    >>> calibration = choose_calibration(3 * honest, target, "temperature")
    >>> calibration.method, round(calibration.temperature, 1)
    ('temperature', 3.0)
    """
    if len(target) < FEWEST_ROWS:
        before = mean_cross_entropy(logits, target, weight) if len(target) else float("nan")
        return identity(f"{len(target)} held-out rows are too few to calibrate on", before)
    with open_threads() as (pool, _):
        rows = deal_rows(logits, target, weight, pool)
        unscaled = judge_identity(rows)
        tried = [unscaled, *_candidates(rows, method, pool)]
        kept = _best(tried, LEAST_STANDARD_ERRORS if method == "auto" else 0.0)
        if not kept.log_loss < unscaled.log_loss * (1 - least_gain):
            kept = unscaled
        attempts = tuple(Attempt(one.method, one.strength, one.log_loss, kept=one is kept) for one in tried)
        if kept is unscaled:
            return identity(_why_not(method, least_gain), unscaled.log_loss, attempts)
        note = _why(rows, method, kept.method)
        return Calibration(kept.method, _steps(rows, kept, pool), unscaled.log_loss, kept.log_loss, note, attempts)


def _candidates(rows: HeldOutRows, method: Choice, pool: ThreadPoolExecutor) -> Iterator[Candidate]:
    if method in {"auto", "temperature"}:
        yield judge_temperature(rows, pool)
    for structure in _structures(method, *rows.logits.shape):
        yield from judge_structure(rows, structure, pool)


def _structures(method: Choice, n: int, classes: int) -> tuple[Structure, ...]:
    suits_matrix = classes**2 <= MOST_WEIGHTS_PER_ROW * n
    if method == "auto":
        return ("vector", "matrix") if suits_matrix else ("vector",)
    if method == "matrix":
        return ("matrix",) if suits_matrix else ("vector",)
    return ("vector",) if method == "vector" else ()


def _best(tried: list[Candidate], standard_errors: float) -> Candidate:
    """Go from the first, the identity, to the last, and move on where the rows gain enough.

    Parameters
    ----------
    tried
        From simple to flexible.
    standard_errors
        Of its gain that a calibrator must gain over the identity.
    """
    kept = tried[0]
    for other in tried[1:]:
        least = 0.0
        if kept.method == "identity":
            least = standard_errors
        elif kept.method == other.method:
            least = LEAST_STANDARD_ERRORS
        mean, standard_error = _mean_and_standard_error(kept.losses - other.losses, other.weight)
        if mean > least * standard_error:
            kept = other
    return kept


def _mean_and_standard_error(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> tuple[float, float]:
    mean = float(np.average(values, weights=weight))
    return mean, float(np.sqrt(np.square(weight * (values - mean)).sum()) / weight.sum())


def _steps(rows: HeldOutRows, kept: Candidate, pool: ThreadPoolExecutor) -> tuple[Step, ...]:
    """Fit what is kept to all rows."""
    inverse, share = rows.temperature.inverse, share_of(len(rows.target))
    first = (Temperature(1 / inverse), Mixing(share))
    if kept.method == "temperature":
        return first
    structure: Structure = "vector" if kept.method == "vector" else "matrix"
    features = log_probs(rows.logits, inverse, share, pool)
    start = no_change(structure, len(features))
    labelled = LabelledFeatures(features, rows.target, rows.weight)
    weight = fit_structured(labelled, structure, kept.strength, start, pool)
    if structure == "vector":
        return (*first, VectorScaling(1 + weight[:, 0], weight[:, 1]), Mixing(share))
    return (*first, MatrixScaling(np.eye(len(weight)) + weight[:, :-1].T, weight[:, -1]), Mixing(share))


def _why(rows: HeldOutRows, asked: Choice, kept: Method) -> str:
    direction = "overconfident" if rows.temperature.inverse < 1 else "underconfident"
    corrected = "corrected" if kept == "temperature" else f"corrected by {kept} scaling"
    few = f"; {len(rows.target):,} rows are too few for the weights of a matrix"
    return f"the model was {direction}; {corrected}{few if asked == 'matrix' and kept == 'vector' else ''}"


def _why_not(method: Choice, least_gain: float) -> str:
    if method == "identity":
        return "not asked for"
    enough = f" by {least_gain:.0%} or more" if least_gain else ""
    what = "no calibrator lowers" if method == "auto" else f"{method} scaling does not lower"
    return f"{what} the held-out log-loss{enough}"
