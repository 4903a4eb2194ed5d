"""All columns of a table to features."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse

from crossent.data.column import Column
from crossent.data.table import Features, TableEncoder, fit_table_encoder
from crossent.data.text import TextEncoding, fit_text


@dataclass(frozen=True)
class Encoder:
    """Everything that turns the columns in use into features, fitted on training rows.

    Attributes
    ----------
    table
        Of numbers, categories, booleans and dates.
    texts
        Of each column of text.
    """

    table: TableEncoder
    texts: tuple[TextEncoding, ...]

    @property
    def width(self) -> int:
        """Number of all features: numbers, codes of categories, n-grams."""
        codes = sum(encoding.cardinality for encoding in self.table.categories)
        return len(self.table.number_names) + codes + sum(len(encoding.hashes) for encoding in self.texts)

    def encode(self, frame: pd.DataFrame) -> Features:
        """Encode the rows of a frame with the converted columns that the encoder was fitted on."""
        features = self.table.encode(frame)
        return _with_texts(features, [encoding.encode(frame[encoding.column]) for encoding in self.texts])

    def unseen(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """Say which values of converted rows were not seen in training."""
        notes = []
        for encoding in self.texts:
            texts = frame[encoding.column]
            unknown = int((np.diff(encoding.encode(texts).indptr) == 0).sum())
            if unknown:
                notes.append(
                    f"column {encoding.column!r}: {unknown:,} rows are empty or hold no word, nor a piece of one, "
                    "that was seen in training"
                )
        return (*self.table.unseen(frame), *notes)


def fit_encoder(
    frame: pd.DataFrame, columns: Sequence[Column], target: npt.NDArray[np.int64], num_classes: int
) -> tuple[Encoder, Features]:
    """Fit an encoder on the rows of a converted frame.

    Parameters
    ----------
    frame
        Training rows: `Dataset.frame`.
    columns
        `Dataset.columns`.
    target
        ``(n,)`` class indices: n-grams that tell classes apart count more.
    num_classes
        K.

    Returns
    -------
    encoder, features
        The encoder, and these rows encoded by it.

    Raises
    ------
    DataError
        If a column of text has nothing that two rows share.
    """
    table = fit_table_encoder(frame, columns)
    texts = [fit_text(frame[column.name], target, num_classes) for column in columns if column.kind == "text"]
    encoder = Encoder(table, tuple(encoding for encoding, _ in texts))
    return encoder, _with_texts(table.encode(frame), [features for _, features in texts])


def _with_texts(features: Features, texts: Sequence[scipy.sparse.csr_array]) -> Features:
    if not texts:
        return features
    return dataclasses.replace(features, texts=scipy.sparse.hstack(texts, format="csr"))
