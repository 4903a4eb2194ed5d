"""The frozen whole that predicts: encoder, models, calibration and classes."""

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.calibration.combine import WeightedMean, equal_say
from crossent.calibration.conformal import By, prediction_sets
from crossent.calibration.conformity import Method
from crossent.calibration.prior import Prior, as_prior, estimate_prior
from crossent.calibration.scaling import Calibration
from crossent.data.encoder import Encoder
from crossent.data.read import read_table
from crossent.data.understand import conform, conform_columns
from crossent.decide.abstention import risk_coverage, threshold_for_risk
from crossent.errors import SettingError
from crossent.kinds.blocks import Features
from crossent.kinds.column import Column, Label
from crossent.logits import LabelledLogits, log_softmax, shift_prior
from crossent.models.catalogue import AnyFitted
from crossent.models.format_1 import AnyFormer, of_format_1
from crossent.storage import load_folder, save_folder
from crossent.value_checks import check_distinct, check_shares

# Rows encoded and predicted at once, so that memory does not grow with the table.
CHUNK = 100_000
# The smallest share of a class that is estimated from new rows.
LEAST_ESTIMATED = 1e-6


@dataclass(frozen=True, eq=False)
class Member:
    """A fitted model of a predictor.

    Attributes
    ----------
    candidate
        Name of the candidate that it was fitted as.
    model
        From features to logits.
    effective_prior
        ``(K,)`` shares of the classes that it believes in: those of the data, unless class weights, oversampling or
        logit adjustment gave rare classes more say.
    """

    candidate: str
    model: AnyFitted
    effective_prior: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PredictorOfFormat1:
    """A `Predictor` as model format 1 holds it."""

    columns: tuple[Column, ...]
    encoder: Encoder
    models: tuple[AnyFormer, ...]
    effective_priors: npt.NDArray[np.float64]
    deciding_prior: npt.NDArray[np.float64]
    calibration: Calibration
    apart: LabelledLogits
    classes: tuple[Label, ...]
    target_name: str
    prior: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictor:
    """Turns rows into probabilities.

    Attributes
    ----------
    columns
        The columns that it was trained on.
    encoder
        Turns these into features.
    members
        The fitted models, of one candidate or of several.
    combination
        From the logits of the members, brought to the shares of the data, to those of all together.
    deciding_prior
        ``(K,)`` shares of the classes that `predict` answers for: those of the data, or those that such a remedy means.
    calibration
        Applied to the combined logits.
    apart
        Rows that no model was fitted to and calibration did not see: what prediction sets, thresholds and abstention
        rest on.
    classes
        The K labels, in column order.
    target_name
        Name of the target column.
    prior
        ``(K,)`` shares of the classes in the training data.
    """

    columns: tuple[Column, ...]
    encoder: Encoder
    members: tuple[Member, ...]
    combination: WeightedMean
    deciding_prior: npt.NDArray[np.float64]
    calibration: Calibration
    apart: LabelledLogits
    classes: tuple[Label, ...]
    target_name: str
    prior: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        classes, widths = len(self.classes), self.encoder.widths
        if len(self.members) != len(self.combination.weight) or classes < 2:
            raise ValueError(f"{len(self.members)} models of {classes} classes make no predictor")
        # 1, 1.0 and True are equal to Python.
        check_distinct("classes", [(type(label), label) for label in self.classes])
        check_distinct("names of columns", [column.name for column in self.columns])
        self.encoder.check_columns(self.columns)
        check_shares("the prior", self.prior, (classes,))
        check_shares("the deciding prior", self.deciding_prior, (classes,))
        for member in self.members:
            check_shares("the effective prior", member.effective_prior, (classes,))
            if member.model.classes != classes or not member.model.reads(widths):
                raise ValueError(f"a model does not fit {classes} classes and features of {widths}")
        self.calibration.check_classes(classes)
        self.apart.check_finite()
        if self.apart.logits.shape[1] != classes or self.apart.model_index.max() >= len(self.members):
            raise ValueError("the rows kept apart have other classes, or logits of a model that is not there")

    @classmethod
    def from_format_1(cls, former: PredictorOfFormat1) -> Self:
        """Return what a saved model of format 1 holds.

        Raises
        ------
        ValueError
            If its parts do not fit each other.
        """
        check_shares("the effective priors", former.effective_priors, (len(former.models), len(former.classes)))
        models = [of_format_1(model, former.encoder.widths) for model in former.models]
        return cls(
            columns=former.columns,
            encoder=former.encoder,
            members=tuple(
                Member("", model, prior) for model, prior in zip(models, former.effective_priors, strict=True)
            ),
            combination=equal_say(len(models)),
            deciding_prior=former.deciding_prior,
            calibration=former.calibration,
            apart=former.apart,
            classes=former.classes,
            target_name=former.target_name,
            prior=former.prior,
        )

    def logits(self, rows: Any) -> npt.NDArray[np.float32]:
        """Return calibrated ``(n, K)`` float32 logits, under the class shares of the training data.

        Parameters
        ----------
        rows
            A path, a pandas or polars frame, or an array, with the columns of training; further ones are ignored.

        Raises
        ------
        DataError
            If a column is missing or of another type than in training.
        """
        frame = read_table(rows)
        if len(frame) > CHUNK:
            return self.logits_of(conform(frame, self.columns))
        features = self.encoder.encode_columns(conform_columns(frame, self.columns), len(frame))
        return self.calibration.logits(self.combination.logits(self._logits_of_members(features)))

    def logits_of(self, frame: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Return the calibrated logits of rows whose columns are converted already, as in `Dataset.frame`."""
        return self.calibration.logits(self.combination.logits(self.model_logits_of(frame)))

    def model_logits_of(self, frame: pd.DataFrame) -> list[npt.NDArray[np.float32]]:
        """Return the ``(n, K)`` logits of each model before calibration, under the class shares of the data."""
        chunks: list[list[npt.NDArray[np.float32]]] = [[] for _ in self.members]
        for i in range(0, max(len(frame), 1), CHUNK):
            features = self.encoder.encode(frame.iloc[i : i + CHUNK])
            for logits, of_member in zip(self._logits_of_members(features), chunks, strict=True):
                of_member.append(logits)
        return [np.concatenate(of_member) for of_member in chunks]

    def _logits_of_members(self, features: Features) -> list[npt.NDArray[np.float32]]:
        return [
            shift_prior(member.model.logits(features), member.effective_prior, self.prior) for member in self.members
        ]

    def deciding_logits(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the logits that `predict` takes the largest of.

        They are the calibrated ones in a world where the classes are as common as a remedy of imbalance means, so that
        it has its effect on the predicted classes while probabilities stay those of the data.
        """
        return shift_prior(logits, self.prior, self.deciding_prior)

    def log_probs(self, rows: Any) -> npt.NDArray[np.float64]:
        """Return ``(n, K)`` float64 log-probabilities, under the class shares of the training data."""
        return log_softmax(self.logits(rows))

    def probs(self, rows: Any) -> npt.NDArray[np.float64]:
        """Return ``(n, K)`` float64 probabilities, under the class shares of the training data."""
        return np.exp(self.log_probs(rows))

    def prediction_sets(
        self, rows: Any, *, coverage: float = 0.9, method: Method = "lac", by: By = "overall", seed: int = 0
    ) -> npt.NDArray[np.bool_]:
        """Return ``(n, K)``: the labels that each row may have, the right one among them in a share of the cases.

        Parameters
        ----------
        rows
            As in `logits`.
        coverage, method, by, seed
            As in `crossent.conformal_sets`.

        Raises
        ------
        SettingError
            If the coverage is more than the rows kept apart can promise.
        DataError
            If a column is missing or of another type than in training.
        """
        of_models = self.model_logits_of(conform(read_table(rows), self.columns))
        return self.sets_of(of_models, coverage=coverage, method=method, by=by, seed=seed)

    def sets_of(
        self, logits_of_models: list[npt.NDArray[np.float32]], *, coverage: float, method: Method, by: By, seed: int
    ) -> npt.NDArray[np.bool_]:
        """Return the prediction sets of rows whose logits `model_logits_of` gave."""
        logits = [self.calibration.logits(one) for one in logits_of_models]
        rng = np.random.default_rng(seed)
        return prediction_sets(
            self.apart, logits, coverage=coverage, method=method, by=by, rng=rng, classes=self.classes
        )

    def apart_probs(self) -> npt.NDArray[np.float64]:
        """Return the ``(m, K)`` probabilities of the rows kept apart."""
        return np.exp(log_softmax(self.apart.logits))

    def abstains(self, probs: npt.NDArray[np.float64], risk: float) -> npt.NDArray[np.bool_]:
        """Return ``(n,)``, True for rows not to answer, so that a share of at most `risk` of the others is wrong.

        Parameters
        ----------
        probs
            ``(n, K)`` calibrated probabilities, under the class shares of the training data.
        risk
            As in `crossent.threshold_for_risk`.

        Raises
        ------
        SettingError
            If no part of the rows can be answered at that risk; it says at which it can.
        """
        curve = risk_coverage(self.apart_probs(), self.apart.target)
        return np.asarray(probs.max(axis=1) < threshold_for_risk(curve, risk))

    def predict(self, rows: Any) -> list[Label]:
        """Return the predicted label of each row: the most probable, unless a remedy of imbalance says otherwise."""
        return [self.classes[i] for i in self.deciding_logits(self.logits(rows)).argmax(axis=1)]

    def notes_on(self, rows: Any) -> tuple[str, ...]:
        """Say which values of new rows were not seen in training: sentences for people, one a column."""
        return self.encoder.unseen(conform(read_table(rows), self.columns))

    def save(self, path: str | Path) -> None:
        """Write to a folder; what is there already is replaced, all of it or nothing.

        Raises
        ------
        ModelFileError
            If the path is something other than a new folder, an empty one or a saved model.
        """
        save_folder(Path(path), self, versions())


def load(path: str | Path) -> Predictor:
    """Load a saved predictor; it runs no code from the file.

    Raises
    ------
    ModelFileError
        If there is no model, or if it is damaged or of an unknown version.
    """
    return load_folder(Path(path), Predictor)


def probs_under(
    predictor: Predictor, logits: npt.NDArray[np.float32], prior: Prior | Literal["estimate"] | None
) -> npt.NDArray[np.float64]:
    """Return the probabilities of calibrated logits in a world where the classes come in other shares.

    Parameters
    ----------
    predictor
        What made the logits.
    logits
        ``(n, K)``, as `Predictor.logits` gives them.
    prior
        The shares: ``"uniform"``, ``(K,)`` shares, or a mapping of labels to shares; ``"estimate"`` finds those of the
        rows at hand; None leaves those of the training data.

    Returns
    -------
    array
        ``(n, K)`` float64 probabilities.

    Raises
    ------
    SettingError
        If the prior does not fit the classes, or training had no row of one of them.
    """
    probs = np.exp(log_softmax(logits))
    if prior is None:
        return probs
    if not (predictor.prior > 0).all():
        label = predictor.classes[int(np.argmin(predictor.prior))]
        raise SettingError(
            "A prior can be changed where training had rows of every class.",
            f"It had none of {label!r}.",
            "Train on rows of every class.",
        )
    if isinstance(prior, str) and prior == "estimate":
        shares = estimate_prior(probs, predictor.prior).prior
        # A class that the rows have none of, as far as they tell, may still come.
        shares = np.maximum(shares, LEAST_ESTIMATED)
    else:
        shares = as_prior(prior, predictor.classes)
    return np.exp(log_softmax(shift_prior(logits, predictor.prior, shares / shares.sum())))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    names = ("crossent", "torch", "lightgbm", "scikit-learn", "numpy", "pandas", "pyarrow")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}
