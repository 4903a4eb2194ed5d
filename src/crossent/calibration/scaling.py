"""Temperature scaling: one number that corrects over- and underconfidence."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.optimize

from crossent.errors import ShapeError
from crossent.losses.arrays import mean_cross_entropy

# Bounds of u = log(1 / T). Held-out rows that are all right would ask for T = 0.
LOWEST, HIGHEST = -6.0, 6.0
# How near to the best u; the loss is flat there.
_NEAR = 1e-5
_FOLDS = 5


@dataclass(frozen=True)
class Calibration:
    """A temperature and how it came to be.

    Attributes
    ----------
    method
        ``"temperature"``, or ``"identity"`` where that served no better.
    temperature
        Logits are divided by it; 1 for the identity.
    log_loss_before, log_loss_after
        Mean cross entropy in nats on held-out rows; *after* is cross-fitted: each row is judged by a temperature that
        other rows chose.
    note
        Why it was kept or not.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """

    method: str
    temperature: float
    log_loss_before: float
    log_loss_after: float
    note: str

    def logits(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return calibrated ``(n, K)`` float32 logits."""
        return (logits / np.float32(self.temperature)).astype(np.float32)


def identity(note: str, log_loss: float = float("nan")) -> Calibration:
    """Return the calibration that changes nothing."""
    return Calibration("identity", 1.0, log_loss, log_loss, note)


def fit_temperature(
    logits: npt.NDArray[np.float32], target: npt.NDArray[np.int64], *, least_gain: float = 0.0
) -> Calibration:
    """Fit a temperature to held-out logits, and keep it only if it lowers the log-loss of rows that it did not see.

    Parameters
    ----------
    logits
        ``(n, K)`` finite logits of rows that the model was not trained on.
    target
        ``(n,)`` class indices.
    least_gain
        Share of the log-loss by which a temperature must lower it to be kept.

    Raises
    ------
    ShapeError
        If the shapes do not fit or a logit is not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> honest = rng.normal(size=(20_000, 3)).astype(np.float32)
    >>> target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    >>> round(fit_temperature(3 * honest, target).temperature, 1)
    3.0
    """
    _check(logits, target)
    before = mean_cross_entropy(logits, target)
    if len(target) < 2 * _FOLDS:
        return identity(f"{len(target)} held-out rows are too few to fit a temperature", before)
    after = _cross_fitted_log_loss(logits, target)
    if not after < before * (1 - least_gain):
        enough = f" by {least_gain:.0%} or more" if least_gain else ""
        note = f"a temperature does not lower the held-out log-loss{enough}"
        return Calibration("identity", 1.0, before, after, note)
    temperature = best_temperature(logits, target)
    direction = "overconfident" if temperature > 1 else "underconfident"
    return Calibration("temperature", temperature, before, after, f"the model was {direction}; corrected")


def best_temperature(logits: npt.NDArray[np.float32], target: npt.NDArray[np.int64]) -> float:
    """Return the temperature of lowest log-loss, found as the root of the slope by u = log(1 / T) (Brent 1973).

    The loss is convex in 1 / T, so that its slope changes sign once. It counts one row more than there are, with logits
    like theirs and a label drawn at random: n rows that are all right do not make the next one certain.
    """
    centred = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    given = np.take_along_axis(centred, target[:, None], axis=1)[:, 0]
    at_random = centred.mean(axis=1)

    def slope(u: float) -> float:
        weights = np.exp(np.exp(u) * centred)
        expected = np.einsum("nk,nk->n", weights, centred) / weights.sum(axis=1)
        return float((expected - given).mean() + (expected - at_random).mean() / len(target))

    if slope(HIGHEST) <= 0:
        return float(np.exp(-HIGHEST))
    if slope(LOWEST) >= 0:
        return float(np.exp(-LOWEST))
    return float(np.exp(-scipy.optimize.brentq(slope, LOWEST, HIGHEST, xtol=_NEAR)))


def _cross_fitted_log_loss(logits: npt.NDArray[np.float32], target: npt.NDArray[np.int64]) -> float:
    # Sorted by class and dealt in turn, every fold holds about the same share of each class.
    fold = np.empty(len(target), dtype=np.int64)
    fold[np.argsort(target, kind="stable")] = np.arange(len(target)) % _FOLDS
    total = 0.0
    for i in range(_FOLDS):
        rest, own = fold != i, fold == i
        scaled = logits[own] / best_temperature(logits[rest], target[rest])
        total += mean_cross_entropy(scaled, target[own]) * own.sum()
    return float(total / len(target))


def _check(logits: npt.NDArray[np.float32], target: npt.NDArray[np.int64]) -> None:
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        raise ShapeError(
            "Calibration needs (n, K) logits and (n,) class indices.",
            f"Their shapes are {logits.shape} and {target.shape}.",
            "Give one label for each row of logits.",
        )
    if not np.isfinite(logits).all():
        row = int(np.argmin(np.isfinite(logits).all(axis=1)))
        raise ShapeError("Logits must be finite.", f"Row {row} holds {logits[row]}.", "Find out where it arose.")
