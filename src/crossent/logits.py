"""Logits, the interface: what every model gives, and all that the stages after it are functions of.

Softmax and cross entropy of NumPy logits, always in float64; logits under another class prior; logits of rows with
known labels. No torch and no OpenMP, so that a child of `os.fork` can compute them too, whatever its parent did.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crossent.array_checks import LEAST_WEIGHT, check_logits_array, check_target_array
from crossent.errors import SettingError, ShapeError
from crossent.kernels.library import info
from crossent.kernels.log_softmax import write_log_softmax
from crossent.kernels.regression import Real, as_real
from crossent.threads import processors

# With fewer elements, one thread is done before further threads have started.
ELEMENTS_FOR_THREADS = 1 << 18
# Of the focal exponent in a saved model: what it multiplies stays within float32.
LARGEST_GAMMA = 1e6
# A billion copies of the heaviest row.
LARGEST_SUM_OF_WEIGHTS = 1e18
# A probability of exactly one would make the logarithm of the rest infinite.
_NEAREST_TO_ONE = -1e-15
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class ApartRows:
    """What format 1 of saved models calls `LabelledLogits`."""

    logits: npt.NDArray[np.float32]
    target: npt.NDArray[np.int64]
    fold: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelledLogits:
    """Logits of rows whose class is known.

    Attributes
    ----------
    logits
        ``(n, K)`` float32, of one row or more.
    target
        ``(n,)`` int64 class indices.
    fold
        ``(n,)`` int64: which of the F models made the logits of each row; None where there is one model.
    weight
        ``(n,)`` float64 above 0: how many rows each row counts as; None where each counts as one.

    Raises
    ------
    ShapeError
        If shapes do not fit, a class index is out of range, a fold is negative, or a weight is not above 0 and finite.
        Logits of a training that diverges are not finite; `check_finite` is for those that something is to rest on.
    """

    logits: npt.NDArray[np.float32]
    target: npt.NDArray[np.int64]
    fold: npt.NDArray[np.int64] | None = None
    weight: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.logits.ndim != 2:
            raise ShapeError("logits have the shape (n, K).", f"Theirs is {self.logits.shape}.", "Give a row for each.")
        check_target_array("target", self.target, *self.logits.shape)
        if self.fold is not None and (self.fold.shape != self.target.shape or self.fold.min() < 0):
            raise ShapeError(
                "fold holds the number of a model, counted from 0, for each row.",
                f"Its shape is {self.fold.shape}, that of the target {self.target.shape}.",
                "Leave it out where there is one model.",
            )
        if self.weight is not None:
            _check_weight(self.weight, len(self.target))

    def __len__(self) -> int:
        return len(self.target)

    @classmethod
    def from_format_1(cls, former: ApartRows) -> Self:
        """Return them from what format 1 of saved models holds."""
        return cls(former.logits, former.target, former.fold)

    @property
    def model_index(self) -> npt.NDArray[np.int64]:
        """``(n,)`` int64: which model made the logits of each row; zeros where there is one model."""
        return np.zeros(len(self), dtype=np.int64) if self.fold is None else self.fold

    def check_finite(self) -> None:
        """Check that all logits are finite numbers of two classes or more.

        Raises
        ------
        ShapeError
            If they are not.
        """
        check_logits_array("logits", self.logits)

    def take(self, rows: npt.NDArray[np.bool_]) -> "LabelledLogits":
        """Return the rows that a ``(n,)`` mask chooses."""
        return LabelledLogits(
            self.logits[rows],
            self.target[rows],
            None if self.fold is None else self.fold[rows],
            None if self.weight is None else self.weight[rows],
        )

    def mean_cross_entropy(self) -> float:
        """Return the weighted mean cross entropy of the rows in nats."""
        return mean_cross_entropy(self.logits, self.target, self.weight)


def _check_weight(weight: npt.NDArray[np.float64], rows: int) -> None:
    # Copies of a row are one row of their summed weight, which may be larger than that of any row that is given.
    if weight.shape != (rows,) or not (weight.min() >= LEAST_WEIGHT and weight.max() <= LARGEST_SUM_OF_WEIGHTS):
        raise ShapeError(
            f"weight holds a number from {LEAST_WEIGHT:g} to {LARGEST_SUM_OF_WEIGHTS:g} for each of the {rows} rows.",
            f"Its shape is {weight.shape}, its least value {weight.min(initial=np.inf)}.",
            "Leave out rows of weight 0, and the weight where each row counts as one.",
        )


def log_softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return ``(n, K)`` float64 log-probabilities of ``(n, K)`` logits.

    The bits do not depend on the number of threads.

    Examples
    --------
    >>> log_softmax(np.zeros((1, 4), dtype=np.float32)).round(4)
    array([[-1.3863, -1.3863, -1.3863, -1.3863]])
    """
    given = as_real(logits, np.float32 if logits.dtype == np.float32 else np.float64)
    log_probs = np.empty(given.shape)
    write = write_log_softmax if info().available else _write_plain
    if given.size < ELEMENTS_FOR_THREADS:
        write(given, log_probs)
        return log_probs
    threads = processors()
    ends = [len(given) * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        parts = [slice(begin, end) for begin, end in itertools.pairwise(ends)]
        list(pool.map(lambda part: write(given[part], log_probs[part]), parts))
    return log_probs


def _write_plain(logits: Real, log_probs: npt.NDArray[np.float64]) -> None:
    """Do what `write_log_softmax` does."""
    with np.errstate(invalid="ignore"):
        np.subtract(logits, logits.max(axis=1, keepdims=True, initial=-np.inf), out=log_probs, dtype=np.float64)
        log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))


def mean_cross_entropy(
    logits: npt.NDArray[np.floating[Any]],
    target: npt.NDArray[np.int64],
    weight: npt.NDArray[np.float64] | None = None,
) -> float:
    """Return the mean cross entropy in nats of ``(n, K)`` logits and ``(n,)`` class indices, by ``(n,)`` weights.

    Examples
    --------
    >>> round(mean_cross_entropy(np.zeros((5, 4), dtype=np.float32), np.arange(5) % 4), 4)
    1.3863
    """
    log_probs = np.take_along_axis(log_softmax(logits), target[:, None], axis=1)[:, 0]
    return float(-np.average(log_probs, weights=weight))


def shift_prior(
    logits: npt.NDArray[np.floating[Any]], old: npt.ArrayLike, new: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Move logits from one class prior to another: the log-odds of each class change by log(new / old).

    This is right if the class shares change while the rows of each class look the same.

    Parameters
    ----------
    logits
        ``(n, K)`` logits of probabilities that hold under the prior `old`.
    old, new
        ``(K,)`` shares of the classes that sum to 1. Each is above 0, or 0 in both: the logits of a class that training
        saw no row of stay as they are.

    Returns
    -------
    npt.NDArray[np.float32]
        ``(n, K)`` logits of probabilities that hold under the prior `new`.

    Raises
    ------
    SettingError
        If a prior is not K such numbers.

    Notes
    -----
    Source: Saerens, Latinne and Decaestecker 2002, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities".

    Examples
    --------
    >>> shift_prior(np.zeros((1, 2), dtype=np.float32), [0.5, 0.5], [0.8, 0.2]).round(4)
    array([[ 0.47  , -0.9163]], dtype=float32)
    """
    old, new = np.asarray(old, dtype=np.float64), np.asarray(new, dtype=np.float64)
    class_count = logits.shape[1]
    for name, prior in (("old", old), ("new", new)):
        _check_prior_shape(name, prior, class_count)
    absent = (old == 0) & (new == 0)
    for name, prior in (("old", old), ("new", new)):
        _check_shares(name, np.where(absent, 1.0, prior), prior.sum())
    if (old == new).all():
        return np.asarray(logits, dtype=np.float32)
    log_old, log_new = (np.log(np.where(absent, 1.0, prior)) for prior in (old, new))
    return np.asarray(logits + (log_new - log_old), dtype=np.float32)


def check_prior(name: str, prior: npt.NDArray[np.float64], class_count: int) -> None:
    """Check that a prior holds ``(K,)`` shares above 0 that sum to 1.

    Raises
    ------
    SettingError
        If it does not; `name` is what the error calls it.
    """
    _check_prior_shape(name, prior, class_count)
    _check_shares(name, prior, prior.sum())


def _check_prior_shape(name: str, prior: npt.NDArray[np.float64], class_count: int) -> None:
    if prior.shape != (class_count,):
        raise SettingError(
            f"{name} holds the share of each of the {class_count} classes.",
            f"Its shape is {prior.shape}.",
            "Give one number for each column, in their order.",
        )


def _check_shares(name: str, shares: npt.NDArray[np.float64], total: float) -> None:
    if not (shares > 0).all():
        k = int((shares > 0).argmin())
        raise SettingError(
            f"{name}: every class has a share above 0, for the logarithm of 0 is not finite.",
            f"That of class {k} is {shares[k]:g}.",
            "Give a class that hardly occurs a small share, such as 1e-6.",
        )
    if not abs(total - 1) <= _SUM_TOLERANCE:
        raise SettingError(f"{name}: the shares sum to 1.", f"They sum to {total:.6g}.", "Divide counts by their sum.")


def log_focal_slope(log_probs: npt.NDArray[np.float64], gamma: float) -> npt.NDArray[np.float64]:
    """Return the log of ``(1 - p)^g - g (1 - p)^(g - 1) p log p``, elementwise.

    At the target's probability p it is what the gradient of cross entropy is multiplied by in the focal loss.

    Examples
    --------
    >>> log_focal_slope(np.log([0.5]), 0.0)
    array([0.])
    """
    log_probs = np.minimum(log_probs, _NEAREST_TO_ONE)
    rest = -np.expm1(log_probs)
    return np.asarray((gamma - 1) * np.log(rest) + np.log(rest - gamma * np.exp(log_probs) * log_probs))


def posterior_logits(logits: npt.NDArray[np.floating], gamma: float) -> npt.NDArray[np.float64]:
    """Turn ``(n, K)`` logits that minimise the focal loss into those that minimise cross entropy.

    Parameters
    ----------
    logits
        ``(n, K)``.
    gamma
        The exponent of the focal loss; 0 changes only a constant in each row.

    Returns
    -------
    array
        ``(n, K)`` float64 logits, in the same order within each row.

    Examples
    --------
    The focal loss (exponent 2) of a coin that shows heads in 9 of 10 throws is lowest at a softmax of 0.694, not 0.9:

    >>> p = np.linspace(0.5, 0.999, 100_000)
    >>> loss = -0.9 * (1 - p) ** 2 * np.log(p) - 0.1 * p**2 * np.log(1 - p)
    >>> best = p[loss.argmin()]
    >>> print(round(best, 3))
    0.694
    >>> restored = posterior_logits(np.log([[best, 1 - best]]), 2.0)
    >>> print((np.exp(restored) / np.exp(restored).sum()).round(3))
    [[0.9 0.1]]
    """
    log_probs = log_softmax(logits)
    return log_probs - log_focal_slope(log_probs, gamma)
