"""Class priors: logits moved from one to another, and the class mix of new data found from its probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.optimize

from crossent.array_checks import check_probs_array
from crossent.errors import SettingError
from crossent.kinds.column import Label
from crossent.logits import check_prior

FloatArray = npt.NDArray[np.float64]
Prior = Literal["uniform"] | npt.ArrayLike | Mapping[Label, float]

RESAMPLES = 200
# Distance in nats that the log-likelihood of all rows may have from its maximum; a standard error is half a nat.
_NEAR, _NEAR_OF_RESAMPLES = 1e-6, 1e-2
# Few resamples need more than ten steps; the remaining error does not show in a quantile of 200 resamples.
_MOST_STEPS, _MOST_STEPS_OF_RESAMPLES = 1_000, 20
# Largest number of rows times resamples in memory at once.
_CHUNK = 8_000_000
# Below the smallest probability of a row that matters; keeps 0 / 0 out of rows that a resample does not hold.
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class PriorEstimate:
    """The class mix of unlabelled rows.

    Attributes
    ----------
    prior
        ``(K,)`` the most likely share of each class; they sum to 1.
    low, high
        ``(K,)`` bounds of the 95 % bootstrap interval of each share. They tell how much the rows at hand say, and
        nothing of what is wrong with the probabilities.
    """

    prior: FloatArray
    low: FloatArray
    high: FloatArray


def as_prior(prior: Prior, classes: Sequence[Label]) -> FloatArray:
    """Return the share of each class as a ``(K,)`` float64 array that sums to 1.

    Parameters
    ----------
    prior
        ``"uniform"``, K shares in the order of the classes, or a mapping of every label to its share. They are above 0
        and sum to 1.
    classes
        The K labels.

    Raises
    ------
    SettingError
        If a label is unknown or missing, or the shares are not K positive numbers that sum to 1.

    Examples
    --------
    >>> as_prior({"no": 0.8, "yes": 0.2}, ("no", "yes")), as_prior("uniform", ("no", "yes"))
    (array([0.8, 0.2]), array([0.5, 0.5]))
    """
    if isinstance(prior, str):
        if prior != "uniform":
            raise SettingError(
                "A prior is 'uniform', an array, or a mapping of labels to shares.",
                f"It is {prior!r}.",
                "Give one of these.",
            )
        return np.full(len(classes), 1 / len(classes))
    if isinstance(prior, Mapping):
        prior = _shares_of_labels(prior, classes)
    shares = np.asarray(prior, dtype=np.float64)
    check_prior("prior", shares, len(classes))
    return np.asarray(shares / shares.sum())


def estimate_prior(probs: npt.ArrayLike, prior: npt.ArrayLike | None = None, seed: int = 0) -> PriorEstimate:
    """Find the class mix of unlabelled rows from the probabilities that a calibrated model gives them.

    It is the mix of highest likelihood, which expectation maximisation would find too, in more steps. Counting
    predicted labels instead is off wherever the model errs, and the mean of the probabilities leans towards the mix of
    the training data.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities of the new rows, calibrated under the prior `prior`.
    prior
        ``(K,)`` shares of the classes that the probabilities hold under: those of the training data. None stands for
        equal shares, and is wrong if the training data had others.
    seed
        Of the bootstrap.

    Raises
    ------
    ShapeError
        If the probabilities are not ``(n, K)`` rows from 0 to 1 that sum to 1.
    SettingError
        If the prior is not K positive numbers that sum to 1.

    Notes
    -----
    The problem is concave: there is one highest likelihood, and the search ends when the gradient proves that it is
    near.
    Source: Saerens, Latinne and Decaestecker 2002, as in `shift_prior`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> target = rng.choice(2, size=2000, p=[0.9, 0.1])
    >>> measured = rng.normal(2.0 * target, 1)  # a model of equally frequent classes would say:
    >>> probs = 1 / (1 + np.exp(np.column_stack([2 * measured - 2, 2 - 2 * measured])))
    >>> found = estimate_prior(probs)
    >>> found.prior.round(2), (probs[:, 1] > 0.5).mean().round(2)
    (array([0.9, 0.1]), np.float64(0.23))
    """
    checked = np.asarray(probs)
    check_probs_array("probs", checked)
    rows, class_count = checked.shape
    old = np.full(class_count, 1 / class_count) if prior is None else np.asarray(prior, dtype=np.float64)
    check_prior("prior", old, class_count)
    likelihood = checked.astype(np.float64) / old
    ones = np.ones((rows, 1))
    best = _maximise(likelihood, ones, old[None, :], _NEAR, _MOST_STEPS)[0]
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([_resampled(likelihood, best, count, rng) for count in _portions(rows)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return PriorEstimate(best, low, high)


def _portions(rows: int) -> list[int]:
    most = max(1, _CHUNK // max(rows, 1))
    return [min(most, RESAMPLES - start) for start in range(0, RESAMPLES, most)]


def _resampled(likelihood: FloatArray, start: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    rows, class_count = likelihood.shape
    repeats = [np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(count)]
    # A class without rows would stay at 0 for ever, although a resample may contain it.
    inside = 0.99 * start + 0.01 / class_count
    return _maximise(
        likelihood,
        np.stack(repeats, axis=1).astype(np.float64),
        np.tile(inside, (count, 1)),
        _NEAR_OF_RESAMPLES,
        _MOST_STEPS_OF_RESAMPLES,
    )


def _maximise(
    likelihood: FloatArray, repeats: FloatArray, start: FloatArray, near: float, most_steps: int
) -> FloatArray:
    """Return the ``(R, K)`` mixes of highest likelihood of R weightings ``(n, R)`` of the rows.

    Steps are Newton's where they raise the likelihood, and those of EM, which always do, elsewhere.
    """
    mix, rows = start, repeats.sum(axis=0)
    result, still = start.copy(), np.arange(len(start))
    for _ in range(most_steps):
        gradient, value = _slope(likelihood, repeats, mix)
        result[still] = mix
        # The likelihood is concave, so that no mix is more likely by more than this many nats.
        far = rows * np.log(gradient.max(axis=1)) > near
        if not far.any():
            break
        mix, gradient, value, still = mix[far], gradient[far], value[far], still[far]
        repeats, rows = repeats[:, far], rows[far]
        safe = mix * gradient
        # Shares stay above 0, because neither kind of step can leave 0.
        quick = np.maximum(_newton_step(likelihood, mix, gradient), 0.01 * safe)
        quick /= quick.sum(axis=1, keepdims=True)
        better = log_likelihood(likelihood, repeats, quick) > value
        mix = np.where(better[:, None], quick, safe)
    return result


def _newton_step(likelihood: FloatArray, mix: FloatArray, gradient: FloatArray) -> FloatArray:
    """Return the best mixes by a parabola through each, with one curvature for all: resamples hardly differ in theirs.

    A multiplier of 1 stands for the sum of the shares, so that nothing is left but that none is negative (Kim et al.
    2020, "A Fast Algorithm for Maximum Likelihood Estimation of Mixture Proportions Using Sequential Quadratic
    Programming").
    """
    relative = likelihood / np.maximum(likelihood @ mix.mean(axis=0), _TINY)[:, None]
    curvature = relative.T @ relative / len(relative)
    # A class that is impossible in all rows, or classes that no row tells apart, have no curvature.
    curvature[np.diag_indices_from(curvature)] += 1e-9 * np.trace(curvature) / len(curvature)
    root = np.linalg.cholesky(curvature)
    goal = scipy.linalg.solve_triangular(root, curvature @ mix.T + gradient.T - 1, lower=True)
    return np.stack([scipy.optimize.nnls(root.T, one)[0] for one in goal.T])


def em_step(likelihood: FloatArray, repeats: FloatArray, mix: FloatArray) -> FloatArray:
    """Return the next mixes ``(R, K)`` of expectation maximisation: the mean of the rows' probabilities under each.

    Parameters
    ----------
    likelihood
        ``(n, K)`` how likely each row is under each class, but for a factor of the row.
    repeats
        ``(n, R)`` how often each of R samples holds each row.
    mix
        ``(R, K)`` the mixes.
    """
    return mix * _slope(likelihood, repeats, mix)[0]


def _slope(likelihood: FloatArray, repeats: FloatArray, mix: FloatArray) -> tuple[FloatArray, FloatArray]:
    of_row = np.maximum(likelihood @ mix.T, _TINY)
    gradient = (repeats / of_row).T @ likelihood / repeats.sum(axis=0)[:, None]
    return gradient, np.einsum("nr,nr->r", repeats, np.log(of_row))


def log_likelihood(likelihood: FloatArray, repeats: FloatArray, mix: FloatArray) -> FloatArray:
    """Return the log-likelihood of R mixes, each of its sample, ``(R,)``; arguments as of `em_step`."""
    return np.asarray(np.einsum("nr,nr->r", repeats, np.log(np.maximum(likelihood @ mix.T, _TINY))))


def _shares_of_labels(shares: Mapping[Label, float], classes: Sequence[Label]) -> list[float]:
    unknown = [label for label in shares if label not in classes]
    if unknown:
        raise SettingError(
            "A prior names the classes of the training data.",
            f"{unknown[0]!r} is none of {', '.join(repr(label) for label in classes)}.",
            "Leave it out, or train with it.",
        )
    missing = [label for label in classes if label not in shares]
    if missing:
        raise SettingError("A prior names every class.", f"{missing[0]!r} has no share.", "Give each class a share.")
    return [shares[label] for label in classes]
