"""What every model is: settings with a ``fit``, and a fitted thing with ``logits``."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crossent.data.table import Features, Widths
from crossent.models.objective import Objective, Target
from crossent.monitoring.records import OnEpoch
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
    """

    features: Features
    target: npt.NDArray[np.int64]
    classes: int
    distribution: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.distribution is not None and self.distribution.shape != (len(self.target), self.classes):
            raise ValueError(f"shares of shape {self.distribution.shape} do not fit {len(self.target)} rows")

    @property
    def learned_target(self) -> Target:
        """``(n, K)`` shares of the classes where there are some, else ``(n,)`` class indices: what is to be learned."""
        return self.target if self.distribution is None else self.distribution

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Examples":
        """Return the given rows, by position or mask."""
        distribution = None if self.distribution is None else self.distribution[rows]
        return Examples(self.features.take(rows), self.target[rows], self.classes, distribution)

    def class_counts(self) -> npt.NDArray[np.float64]:
        """Return the ``(K,)`` number of rows of each class; a row of several counts as a share of each."""
        if self.distribution is not None:
            return np.asarray(self.distribution.sum(axis=0, dtype=np.float64))
        return np.bincount(self.target, minlength=self.classes).astype(np.float64)

    def log_prior(self) -> npt.NDArray[np.float64]:
        """Return the ``(K,)`` log share of each class, counting half a row more of each so that all are finite."""
        counts = self.class_counts() + 0.5
        return np.asarray(np.log(counts / counts.sum()))


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


class Model(Protocol):
    """Settings of a model."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def fit(
        self,
        train: Examples,
        valid: Examples | None,
        *,
        objective: Objective,
        rng: np.random.Generator,
        on_epoch: OnEpoch,
        checkpoint: Checkpoint | None = None,
        processes: Processes | None = None,
    ) -> FittedModel:
        """Fit to training rows; rows held out, where there are some, choose when to stop and how much to penalise.

        A fit of many steps keeps its state in the checkpoint, and goes on with what is there; others heed it not. The
        same holds for processes that can take part in it.

        The logits are under the class shares that the objective makes the model believe in.
        """
        ...
