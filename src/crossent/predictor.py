"""The frozen whole that predicts: encoder, models, calibration and classes."""

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.calibration.scaling import Calibration
from crossent.data.column import Column, Label
from crossent.data.encoder import Encoder
from crossent.data.kinds import conform
from crossent.data.read import read_table
from crossent.losses.arrays import log_softmax
from crossent.models.boosting import FittedBoosting
from crossent.models.softmax_regression import FittedSoftmaxRegression
from crossent.models.text import FittedTextRegression
from crossent.storage import load_folder, save_folder

# Rows encoded and predicted at once, so that memory does not grow with the table.
CHUNK = 100_000


@dataclass(frozen=True, eq=False)
class Predictor:
    """Turns rows into probabilities.

    Attributes
    ----------
    columns
        The columns that it was trained on.
    encoder
        Turns these into features.
    models
        Fitted models; their log-probabilities are averaged.
    calibration
        Applied to the averaged logits.
    classes
        The K labels, in column order.
    target_name
        Name of the target column.
    prior
        ``(K,)`` shares of the classes in the training data.
    """

    columns: tuple[Column, ...]
    encoder: Encoder
    models: tuple[FittedSoftmaxRegression | FittedBoosting | FittedTextRegression, ...]
    calibration: Calibration
    classes: tuple[Label, ...]
    target_name: str
    prior: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if not self.models or self.prior.shape != (len(self.classes),):
            raise ValueError(f"{len(self.models)} models and a prior of shape {self.prior.shape} make no predictor")
        for model in self.models:
            if isinstance(model, FittedTextRegression) and len(model.weight) != self.encoder.width:
                raise ValueError(f"{len(model.weight)} weights do not fit {self.encoder.width} features and n-grams")

    def logits(self, rows: Any) -> npt.NDArray[np.float32]:
        """Return calibrated ``(n, K)`` float32 logits.

        Parameters
        ----------
        rows
            A path, a pandas or polars frame, or an array, with the columns of training; further ones are ignored.

        Raises
        ------
        DataError
            If a column is missing or of another type than in training.
        """
        return self.logits_of(conform(read_table(rows), self.columns))

    def logits_of(self, frame: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Return the calibrated logits of rows whose columns are converted already, as in `Dataset.frame`."""
        chunks = []
        for i in range(0, max(len(frame), 1), CHUNK):
            features = self.encoder.encode(frame.iloc[i : i + CHUNK])
            chunks.append(self.calibration.logits(mean_log_probs([model.logits(features) for model in self.models])))
        return np.concatenate(chunks)

    def log_probs(self, rows: Any) -> npt.NDArray[np.float64]:
        """Return ``(n, K)`` float64 log-probabilities."""
        return log_softmax(self.logits(rows))

    def probs(self, rows: Any) -> npt.NDArray[np.float64]:
        """Return ``(n, K)`` float64 probabilities, under the class prior of the training data."""
        return np.exp(self.log_probs(rows))

    def predict(self, rows: Any) -> list[Label]:
        """Return the most probable label of each row."""
        return [self.classes[i] for i in self.logits(rows).argmax(axis=1)]

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


def mean_log_probs(logits: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return the mean of the log-probabilities of several models' logits, as logits again."""
    if len(logits) == 1:
        return logits[0]
    return np.asarray(np.mean([log_softmax(one) for one in logits], axis=0), dtype=np.float32)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    names = ("crossent", "torch", "lightgbm", "scikit-learn", "numpy", "pandas", "pyarrow")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}
