"""Probabilities of several sources on the same rows, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.errors import SettingError, ShapeError
from crossent.evaluation.catalogue import COMPARED
from crossent.evaluation.evaluate import judge
from crossent.evaluation.inputs import read_labelled, read_prior
from crossent.evaluation.metrics import FloatArray, IntArray, Scores
from crossent.evaluation.result import Comparison
from crossent.kinds.column import Label


def compare(
    probs: Mapping[str, Any],
    y: Any,
    *,
    classes: Sequence[Label] | None = None,
    prior: Mapping[Label, float] | npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    seed: int = 0,
) -> Comparison:
    """Judge probabilities of several sources on the same rows, each beside the first.

    Two intervals that overlap do not say that two sources are equally good: the same rows are hard for both. So each
    difference has an interval of its own, from resamples that both are judged on.

    Parameters
    ----------
    probs
        For each source, by its name, ``(n, K)`` probabilities as `crossent.evaluate` takes them, all of the same rows
        and classes.
    y, classes, prior, sample_weight, seed
        As for `crossent.evaluate`.

    Returns
    -------
    Comparison
        Print it for a table.

    Raises
    ------
    SettingError
        If there is only one source.
    ShapeError
        If probabilities are none, or shapes or classes of the sources differ.
    DataError
        If a label is not among the classes, or it cannot be told which column is whose.

    Notes
    -----
    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", for the paired bootstrap.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> honest = rng.dirichlet(np.ones(3), size=500)
    >>> y = (np.log(honest) + rng.gumbel(size=honest.shape)).argmax(axis=1)
    >>> bold = honest**3 / (honest**3).sum(axis=1, keepdims=True)
    >>> difference = compare({"bold": bold, "honest": honest}, y).differences["honest"]["log_loss"]
    >>> difference.high < 0
    True
    """
    labelled = {name: read_labelled(each, y, classes, sample_weight) for name, each in probs.items()}
    first = next(iter(labelled.values()), None)
    for name, each in labelled.items():
        if first is not None and each.classes != first.classes:
            raise ShapeError(
                "All sources have the same classes, in the same order.",
                f"{name!r} has {each.classes[:12]}, the first {first.classes[:12]}.",
                "Bring the columns into one order.",
            )
    if first is None or len(labelled) < 2:
        raise SettingError(
            "A comparison needs two sources or more.", f"There are {len(labelled)}.", "For one, use evaluate."
        )
    shares = read_prior(prior, first)
    log_probs = {name: each.log_probs for name, each in labelled.items()}
    return compare_log_probs(log_probs, first.target, first.classes, shares, seed, weight=first.weight)


def compare_log_probs(
    log_probs: Mapping[str, Scores],
    target: IntArray,
    classes: tuple[Label, ...],
    prior: FloatArray,
    seed: int,
    *,
    weight: FloatArray | None = None,
) -> Comparison:
    """Judge log-probabilities of two sources or more on the same rows; see `compare` and `evaluate_log_probs`.

    Parameters
    ----------
    log_probs
        For each source, by its name, ``(n, K)`` log-probabilities.
    target, classes, prior, weight
        As for `evaluate_log_probs`.
    seed
        Of the resamples, the same for every source.
    """
    # The same seed deals and resamples the same rows, whatever the probabilities are.
    judged = {
        name: judge(each, target, classes, prior, np.random.default_rng(seed), weight)
        for name, each in log_probs.items()
    }
    first, *others = judged
    reference = judged[first][1]
    return Comparison(
        evaluations={name: evaluation for name, (evaluation, _) in judged.items()},
        differences={
            name: {
                metric: judged[name][1][metric].minus(reference[metric]).estimate(len(target)) for metric in COMPARED
            }
            for name in others
        },
    )
