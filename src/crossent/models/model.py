"""What a fit is given, and what a fitted model does."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crossent.kinds.blocks import Features, Widths
from crossent.models.objective import Objective, Target
from crossent.monitoring.records import OnEpoch, ignore_epoch
from crossent.train.checkpoint import Checkpoint
from crossent.train.processes import Processes


@dataclass(frozen=True, eq=False)
class Examples:
    """Encoded rows with their labels.

    Attributes
    ----------
    features
        The n rows.
    target
        ``(n,)`` int64 class indices.
    classes
        K, the number of classes; some may have no row here.
    distribution
        ``(n, K)`` float32 shares of the classes of each row, which sum to one and which the target was drawn from;
        None where each row is of one class for certain.
    weight
        ``(n,)`` float64 above 0: how many rows each row counts as; None where each counts as one.
    """

    features: Features
    target: npt.NDArray[np.int64]
    classes: int
    distribution: npt.NDArray[np.float32] | None = None
    weight: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.distribution is not None and self.distribution.shape != (len(self.target), self.classes):
            raise ValueError(f"shares of shape {self.distribution.shape} do not fit {len(self.target)} rows")
        if self.weight is not None and self.weight.shape != self.target.shape:
            raise ValueError(f"weights of shape {self.weight.shape} do not fit {len(self.target)} rows")

    @property
    def learned_target(self) -> Target:
        """``(n, K)`` shares of the classes where there are some, else ``(n,)`` class indices: what is to be learned."""
        return self.target if self.distribution is None else self.distribution

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Examples":
        """Return the given rows, by position or mask."""
        distribution = None if self.distribution is None else self.distribution[rows]
        weight = None if self.weight is None else self.weight[rows]
        return Examples(self.features.take(rows), self.target[rows], self.classes, distribution, weight)

    def class_counts(self) -> npt.NDArray[np.float64]:
        """Return the ``(K,)`` sum of the weights of each class; a row of several counts as a share of each."""
        if self.distribution is not None:
            if self.weight is not None:
                return np.asarray(self.weight @ self.distribution.astype(np.float64))
            return np.asarray(self.distribution.sum(axis=0, dtype=np.float64))
        return np.bincount(self.target, self.weight, minlength=self.classes).astype(np.float64)

    def log_prior(self) -> npt.NDArray[np.float64]:
        """Return the ``(K,)`` log share of each class, counting half a row more of each so that all are finite."""
        counts = self.class_counts() + 0.5
        return np.asarray(np.log(counts / counts.sum()))


@dataclass(frozen=True, eq=False)
class Task:
    """All that a fit is given beside the settings of its model.

    Attributes
    ----------
    name
        Of the candidate: what its epochs are recorded under.
    train
        Rows to learn from.
    valid
        Held-out rows, which choose when to stop and how much to penalise; None where there are none.
    objective
        What is minimised. The fitted model's logits are under the class shares that it makes the model believe in.
    rng
        Of every draw.
    on_epoch
        Called with every epoch; returns True to end training soon with the best that there is.
    checkpoint
        Where a fit of many steps keeps its state, and goes on with what is there; other models ignore it.
    processes
        Those that take part in the fit of a model that can use them; None is this one alone.
    """

    train: Examples
    valid: Examples | None
    objective: Objective
    rng: np.random.Generator
    name: str = "model"
    on_epoch: OnEpoch = ignore_epoch
    checkpoint: Checkpoint | None = None
    processes: Processes | None = None


class FittedModel(Protocol):
    """Anything that turns encoded rows into logits."""

    @property
    def classes(self) -> int:
        """K."""
        ...

    def reads(self, widths: Widths) -> bool:
        """Say whether it is for rows of these widths."""
        ...

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return ``(n, K)`` float32 logits."""
        ...

    def ngram_weight(self) -> npt.NDArray[np.float32] | None:
        """Return the ``(t, K)`` weights of n-grams, or None where logits are not linear in them."""
        ...
