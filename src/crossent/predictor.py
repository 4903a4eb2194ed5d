"""The predictor: encoder, models, combination, calibration and classes in one frozen object."""

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.calibration.combine import WeightedMean, equal_say
from crossent.calibration.scaling import Calibration
from crossent.data.encoder import Encoder
from crossent.data.read import read_table
from crossent.data.understand import conform, conform_columns
from crossent.decide.decide import DecisionBasis, DecisionRule, Decisions, decide
from crossent.kinds.blocks import Features
from crossent.kinds.column import Column, Label
from crossent.logits import LabelledLogits, log_softmax, shift_prior
from crossent.models.catalogue import AnyFitted
from crossent.models.format_1 import AnyFormer, of_format_1
from crossent.storage import load_folder, save_folder
from crossent.value_checks import check_distinct, check_shares

# Number of rows that are encoded and predicted at once, so that memory does not grow with the table.
CHUNK = 100_000


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
    decision_prior
        ``(K,)`` shares of the classes that `predict` answers for: those of the data, or those that such a remedy means.
    calibration
        Applied to the combined logits.
    conformal_rows
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
    decision_prior: npt.NDArray[np.float64]
    calibration: Calibration
    conformal_rows: LabelledLogits
    classes: tuple[Label, ...]
    target_name: str
    prior: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        classes, widths = len(self.classes), self.encoder.widths
        if len(self.members) != len(self.combination.weight) or classes < 2:
            raise ValueError(f"{len(self.members)} models of {classes} classes make no predictor")
        # Python treats 1, 1.0 and True as equal.
        check_distinct("classes", [(type(label), label) for label in self.classes])
        check_distinct("names of columns", [column.name for column in self.columns])
        self.encoder.check_columns(self.columns)
        check_shares("the prior", self.prior, (classes,))
        check_shares("the decision prior", self.decision_prior, (classes,))
        for member in self.members:
            check_shares("the effective prior", member.effective_prior, (classes,))
            if member.model.classes != classes or not member.model.reads(widths):
                raise ValueError(f"a model does not fit {classes} classes and features of {widths}")
        self.calibration.check_classes(classes)
        self.conformal_rows.check_finite()
        if self.conformal_rows.logits.shape[1] != classes or self.conformal_rows.model_index.max() >= len(self.members):
            raise ValueError("the conformal rows have other classes, or logits of a model that is not there")

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
            decision_prior=former.deciding_prior,
            calibration=former.calibration,
            conformal_rows=former.apart,
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
        return self._calibrated(self._model_logits(rows))

    def convert(self, rows: Any) -> pd.DataFrame:
        """Return rows in any form of `logits` with their columns converted, as in `Dataset.frame`.

        Methods whose name ends in ``_of`` take them, so that rows that are both predicted and noted on are read once.
        """
        return conform(read_table(rows), self.columns)

    def logits_of(self, frame: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Return the calibrated logits of rows that `convert` gave."""
        return self._calibrated(self.model_logits_of(frame))

    def _calibrated(self, model_logits: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        return self.calibration.logits(self.combination.logits(model_logits))

    def model_logits_of(self, frame: pd.DataFrame) -> list[npt.NDArray[np.float32]]:
        """Return the ``(n, K)`` logits of each model before calibration, under the class shares of the data."""
        chunks: list[list[npt.NDArray[np.float32]]] = [[] for _ in self.members]
        for i in range(0, max(len(frame), 1), CHUNK):
            features = self.encoder.encode(frame.iloc[i : i + CHUNK])
            for logits, of_member in zip(self._logits_of_members(features), chunks, strict=True):
                of_member.append(logits)
        return [np.concatenate(of_member) for of_member in chunks]

    def _model_logits(self, rows: Any) -> list[npt.NDArray[np.float32]]:
        """Return what `model_logits_of` gives of rows in any form, without a frame of few rows on the way."""
        frame = read_table(rows)
        if len(frame) > CHUNK:
            return self.model_logits_of(conform(frame, self.columns))
        features = self.encoder.encode_columns(conform_columns(frame, self.columns), len(frame))
        return self._logits_of_members(features)

    def _logits_of_members(self, features: Features) -> list[npt.NDArray[np.float32]]:
        return [
            shift_prior(member.model.logits(features), member.effective_prior, self.prior) for member in self.members
        ]

    @property
    def decision_basis(self) -> DecisionBasis:
        """What decisions depend on besides the logits of the models."""
        return DecisionBasis(
            classes=self.classes,
            prior=self.prior,
            decision_prior=self.decision_prior,
            combination=self.combination,
            calibration=self.calibration,
            held_out=self.conformal_rows,
        )

    def decide(self, rows: Any, rule: DecisionRule) -> Decisions:
        """Return what a rule decides for rows: probabilities, labels, and what else it asks for.

        Parameters
        ----------
        rows
            As in `logits`.
        rule
            What is asked.

        Raises
        ------
        SettingError, ShapeError
            If a setting does not fit the classes, or asks for a promise that the held-out rows cannot give.
        DataError
            If a column is missing or of another type than in training.
        """
        return decide(self._model_logits(rows), self.decision_basis, rule)

    def decide_of(self, frame: pd.DataFrame, rule: DecisionRule) -> Decisions:
        """Return what a rule decides for rows that `convert` gave."""
        return decide(self.model_logits_of(frame), self.decision_basis, rule)

    def log_probs(self, rows: Any) -> npt.NDArray[np.float64]:
        """Return ``(n, K)`` float64 log-probabilities, under the class shares of the training data."""
        return log_softmax(self.logits(rows))

    def probs(self, rows: Any) -> npt.NDArray[np.float64]:
        """Return ``(n, K)`` float64 probabilities, under the class shares of the training data."""
        return np.exp(self.log_probs(rows))

    def predict(self, rows: Any) -> list[Label]:
        """Return the predicted label of each row: the most probable, unless a remedy of imbalance says otherwise."""
        return self.decide(rows, DecisionRule()).labels

    def notes_on(self, rows: Any) -> tuple[str, ...]:
        """Say which values of new rows were not seen in training: sentences for people, one a column."""
        return self.notes_of(self.convert(rows))

    def notes_of(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """Say the same of rows that `convert` gave."""
        return self.encoder.unseen(frame)

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


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    names = ("crossent", "torch", "lightgbm", "scikit-learn", "numpy", "pandas", "pyarrow")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}
