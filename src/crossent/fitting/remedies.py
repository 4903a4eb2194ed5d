"""Remedies of imbalance: what each changes in training, and the prior correction of its logits."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.optimize

from crossent.data.sampling import oversample
from crossent.errors import SettingError
from crossent.fitting.recipe import Recipe
from crossent.kinds.column import Label
from crossent.logits import LabelledLogits, mean_cross_entropy
from crossent.losses.weights import balanced_class_weight
from crossent.models.model import Examples
from crossent.models.objective import Objective
from crossent.models.settings import Ask

Array = npt.NDArray[np.float64]

# The exponent that Lin et al. 2017 found best, and that is most common.
FOCAL_GAMMA = 2.0


@dataclass(frozen=True, eq=False)
class Remedy:
    """What a model is trained on: rows, and a loss that can bring its logits back to the shares of the data."""

    train: Examples
    objective: Objective


def apply_remedy(train: Examples, recipe: Recipe, class_weight: Array | None, rng: np.random.Generator) -> Remedy:
    """Return what to train on, by the remedy that the recipe names.

    Parameters
    ----------
    train
        The rows as they are.
    recipe
        Its ``imbalance`` and ``label_smoothing``.
    class_weight
        ``(K,)`` by hand, or None for balanced ones.
    rng
        Draws rows where they are oversampled.
    """
    counts = train.class_counts()
    objective = Objective(label_smoothing=recipe.label_smoothing)
    if recipe.imbalance == "class-weight" or class_weight is not None:
        weight = balanced_class_weight(counts) if class_weight is None else class_weight
        return Remedy(train, dataclasses.replace(objective, class_weight=weight, prior_correction=-np.log(weight)))
    if recipe.imbalance == "oversample":
        rows = oversample(train.target, rng=rng, weight=train.weight)
        oversampled = train.take(rows)
        there = counts > 0
        prior_correction = np.zeros(train.classes)
        prior_correction[there] = -np.log(oversampled.class_counts()[there] / counts[there])
        return Remedy(oversampled, dataclasses.replace(objective, prior_correction=prior_correction))
    if recipe.imbalance == "logit-adjust":
        log_prior = train.log_prior()
        return Remedy(train, dataclasses.replace(objective, log_prior=log_prior, prior_correction=log_prior))
    if recipe.imbalance == "focal":
        return Remedy(train, dataclasses.replace(objective, focal_gamma=FOCAL_GAMMA))
    return Remedy(train, objective)


def asked_of_models(recipe: Recipe, *, has_shares: bool) -> frozenset[Ask]:
    """Return what the loss of a recipe asks of a model, as `Objective.asks`, before there are rows.

    Parameters
    ----------
    recipe
        Its ``imbalance``, ``class_weight`` and ``label_smoothing``.
    has_shares
        Whether the targets are shares of the classes.
    """
    asked: dict[Ask, bool] = {
        "class-weight": recipe.imbalance == "class-weight" or recipe.class_weight is not None,
        "log-prior": recipe.imbalance == "logit-adjust",
        "focal": recipe.imbalance == "focal",
        "shares": has_shares or recipe.label_smoothing > 0,
    }
    return frozenset(name for name, is_asked in asked.items() if is_asked)


def measured_strength(rows: LabelledLogits, prior_correction: npt.NDArray[np.float64]) -> float:
    """Return the share of a remedy's theoretical effect on the logits that held-out rows show, from 0 to 1.

    A model with little freedom learns the class shares that its loss implies. A model that nearly interpolates its rows
    hardly reacts to their weights (Byrd and Lipton 2019, "What is the Effect of Importance Weighting in Deep
    Learning?"), and correcting it by the theory would do harm.

    Parameters
    ----------
    rows
        Rows held out, with the logits that the models give them.
    prior_correction
        ``(n, K)`` or ``(K,)``: what by the theory brings them to the class shares of the data.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> target = rng.choice(2, size=10_000, p=[0.9, 0.1])
    >>> indifferent = np.log([[0.9, 0.1]]).repeat(10_000, axis=0).astype(np.float32)
    >>> round(measured_strength(LabelledLogits(indifferent, target), np.log([1.0, 0.2])), 1)
    0.0
    """

    def loss(strength: float) -> float:
        return mean_cross_entropy(rows.logits + strength * prior_correction, rows.target, rows.weight)

    found = scipy.optimize.minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-3})
    return float(found.x)


def effective_prior(prior: Array, prior_correction: Array) -> Array:
    """Return the ``(K,)`` effective prior of a model: the class shares that it has learned.

    Parameters
    ----------
    prior
        ``(K,)`` shares in the data.
    prior_correction
        ``(K,)``: what brings its logits to these.

    Examples
    --------
    >>> effective_prior(np.array([0.75, 0.25]), -np.log([1.0, 3.0])).round(3)
    array([0.5, 0.5])
    """
    if not prior_correction.any():
        return prior
    shares = prior * np.exp(-prior_correction)
    return np.asarray(shares / shares.sum())


def named_class_weight(weights: Mapping[str, float] | None, classes: tuple[Label, ...]) -> Array | None:
    """Return ``(K,)`` weights by hand, from a mapping of labels, as text, to weights; None stays None.

    Raises
    ------
    SettingError
        If a label is unknown, a class has no weight, or one is not finite and above 0.
    """
    if weights is None:
        return None
    names = [str(label) for label in classes]
    unknown = sorted(set(map(str, weights)) - set(names))
    missing = [name for name in names if name not in set(map(str, weights))]
    if unknown or missing:
        met = f"Unknown: {', '.join(map(repr, unknown))}." if unknown else f"None for {', '.join(map(repr, missing))}."
        raise SettingError("class_weight holds one weight for each class.", met, f"Classes: {', '.join(names)}.")
    given = {str(label): weight for label, weight in weights.items()}
    for name in names:
        if not 0 < given[name] < np.inf:
            raise SettingError(
                "A class weight is finite and above 0.", f"That of {name!r} is {given[name]!r}.", "Leave such rows out."
            )
    return np.array([given[name] for name in names], dtype=np.float64)
