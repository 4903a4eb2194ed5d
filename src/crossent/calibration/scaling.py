"""A calibration: a few steps from logits to logits, and the record of how they were chosen."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from crossent.array_checks import check_logits_array
from crossent.errors import ShapeError
from crossent.logits import log_softmax
from crossent.value_checks import check_bounded, check_number

Method = Literal["identity", "temperature", "vector", "matrix"]
FloatArray = npt.NDArray[np.floating[Any]]
Array = npt.NDArray[np.float64]

# Number of logits that are mapped at once, so that memory does not grow with the rows.
CHUNK_ELEMENTS = 1 << 17
# Temperatures, weights and biases are far nearer to one, or to zero.
LARGEST_FACTOR = 1e6
# Of the uniform probabilities; one more row than those that were seen has more.
LEAST_SHARE = 1e-15


@dataclass(frozen=True)
class Temperature:
    """Divides logits by ``temperature``, above 0."""

    temperature: float

    def __post_init__(self) -> None:
        check_number("the temperature", self.temperature, 1 / LARGEST_FACTOR, LARGEST_FACTOR)

    def logits(self, logits: Array) -> Array:
        """Return ``(n, K)`` logits."""
        return logits / self.temperature


@dataclass(frozen=True)
class Mixing:
    """Mixes the probabilities with the uniform ones, of which it takes ``share``: none is 0 any more."""

    share: float

    def __post_init__(self) -> None:
        check_number("the share of the uniform probabilities", self.share, LEAST_SHARE, 1 - LEAST_SHARE)

    def logits(self, logits: Array) -> Array:
        """Return the ``(n, K)`` logs of the mixed probabilities."""
        floor = np.log(self.share / logits.shape[1])
        return np.asarray(np.logaddexp(log_softmax(logits) + np.log1p(-self.share), floor), np.float64)


@dataclass(frozen=True, eq=False)
class VectorScaling:
    """Maps log-probabilities by a weight and a bias for each class, both ``(K,)`` float64."""

    weight: Array
    bias: Array

    def __post_init__(self) -> None:
        if self.weight.ndim != 1 or self.weight.shape != self.bias.shape:
            raise ValueError(f"weight {self.weight.shape} and bias {self.bias.shape} do not fit")
        check_bounded("the weight", self.weight, LARGEST_FACTOR)
        check_bounded("the bias", self.bias, LARGEST_FACTOR)

    def logits(self, logits: Array) -> Array:
        """Return ``(n, K)`` logits."""
        return logits * self.weight + self.bias


@dataclass(frozen=True, eq=False)
class MatrixScaling:
    """Maps log-probabilities by a ``(K, K)`` float64 weight, a column for each class that it gives, and a bias."""

    weight: Array
    bias: Array

    def __post_init__(self) -> None:
        if self.bias.ndim != 1 or self.weight.shape != 2 * self.bias.shape:
            raise ValueError(f"weight {self.weight.shape} and bias {self.bias.shape} do not fit")
        check_bounded("the weight", self.weight, LARGEST_FACTOR)
        check_bounded("the bias", self.bias, LARGEST_FACTOR)

    def logits(self, logits: Array) -> Array:
        """Return ``(n, K)`` logits."""
        return logits @ self.weight + self.bias


Step = Temperature | Mixing | VectorScaling | MatrixScaling

# The steps of each method. What mixing gives is bounded, so that no later step can overflow.
_STEPS: dict[Method, tuple[type[Step], ...]] = {
    "identity": (),
    "temperature": (Temperature, Mixing),
    "vector": (Temperature, Mixing, VectorScaling, Mixing),
    "matrix": (Temperature, Mixing, MatrixScaling, Mixing),
}


@dataclass(frozen=True)
class AttemptOfFormat1:
    """An `Attempt` as model format 1 holds it."""

    method: Method
    strength: float
    log_loss: float
    seconds: float
    kept: bool


@dataclass(frozen=True)
class Attempt:
    """One calibrator that was tried.

    Attributes
    ----------
    method
        Its name.
    strength
        What its penalties are multiplied by; 0 where it has none.
    log_loss
        Mean cross entropy in nats on rows that it was not fitted to.
    kept
        Whether the calibration is made of it.
    """

    method: Method
    strength: float
    log_loss: float
    kept: bool

    @classmethod
    def from_format_1(cls, former: AttemptOfFormat1) -> Self:
        """Return what a saved model of format 1 says of it, without the time that it took."""
        return cls(former.method, former.strength, former.log_loss, former.kept)


@dataclass(frozen=True, eq=False)
class Calibration:
    """A map from logits to calibrated logits, with the record of its choice.

    Attributes
    ----------
    method
        ``"identity"`` where nothing served better, or ``"temperature"``, ``"vector"`` or ``"matrix"``.
    steps
        Applied one after the other; none for the identity.
    log_loss_before, log_loss_after
        Mean cross entropy in nats on held-out rows; *after* is cross-fitted: each row is judged by a calibration that
        other rows chose.
    note
        Why the calibration is used or not.
    attempts
        Every calibrator that was tried.
    """

    method: Method
    steps: tuple[Step, ...]
    log_loss_before: float
    log_loss_after: float
    note: str
    attempts: tuple[Attempt, ...]

    def __post_init__(self) -> None:
        if tuple(map(type, self.steps)) != _STEPS[self.method]:
            steps = [type(step).__name__ for step in self.steps]
            raise ValueError(f"{self.method} scaling does not have the steps {steps}")

    def check_classes(self, classes: int) -> None:
        """Check that it is for logits of this number of classes.

        Raises
        ------
        ShapeError
            If it is not.
        """
        for step in self.steps:
            if isinstance(step, VectorScaling | MatrixScaling) and len(step.bias) != classes:
                raise ShapeError(
                    f"This calibration maps logits of {len(step.bias)} classes.",
                    f"There are {classes}.",
                    "Give a column for each class, in the order in which it was fitted.",
                )

    @property
    def temperature(self) -> float:
        """What logits are divided by; 1 for the identity."""
        return next((step.temperature for step in self.steps if isinstance(step, Temperature)), 1.0)

    def logits(self, logits: FloatArray) -> npt.NDArray[np.float32]:
        """Return calibrated ``(n, K)`` float32 logits of finite ``(n, K)`` logits.

        Raises
        ------
        ShapeError
            If they are not finite, or not of the classes that it was fitted to.
        """
        check_logits_array("logits", logits)
        self.check_classes(logits.shape[1])
        found = np.empty(logits.shape, np.float32)
        rows = max(1, CHUNK_ELEMENTS // logits.shape[1])
        for begin in range(0, len(logits), rows):
            chunk = np.asarray(logits[begin : begin + rows], np.float64)
            for step in self.steps:
                chunk = step.logits(chunk)
            found[begin : begin + rows] = chunk
        return found

    def probs(self, logits: FloatArray) -> Array:
        """Return calibrated ``(n, K)`` float64 probabilities of finite ``(n, K)`` logits.

        Raises
        ------
        ShapeError
            As `logits` does.
        """
        return np.exp(log_softmax(self.logits(logits)))


def identity(note: str, log_loss: float = float("nan"), attempts: tuple[Attempt, ...] = ()) -> Calibration:
    """Return the calibration that changes nothing."""
    return Calibration("identity", (), log_loss, log_loss, note, attempts)
