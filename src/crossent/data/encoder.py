"""All columns of a table to features."""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse

from crossent.data.column import Column, Kind
from crossent.data.table import Features, TableEncoder, Widths, fit_table_encoder
from crossent.data.text import TextEncoding, fit_text
from crossent.value_checks import check_distinct

TEXT: frozenset[Kind] = frozenset({"text"})


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

    def __post_init__(self) -> None:
        check_distinct("columns of text", [encoding.column for encoding in self.texts])

    @property
    def widths(self) -> Widths:
        """How many features of each sort it writes."""
        return Widths(
            sum(1 + encoding.flag for encoding in self.table.numbers),
            tuple(encoding.cardinality for encoding in self.table.categories),
            sum(len(encoding.hashes) for encoding in self.texts),
        )

    def check_columns(self, columns: Sequence[Column]) -> None:
        """Check that all that is encoded is among the columns, and of its kind.

        Raises
        ------
        ValueError
            If it is not.
        """
        kinds = {column.name: column.kind for column in columns}
        wanted: list[tuple[str, Collection[Kind]]] = [
            *((encoding.column, encoding.kinds) for encoding in self.table.numbers),
            *((encoding.column, encoding.kinds) for encoding in self.table.categories),
            *((encoding.column, TEXT) for encoding in self.texts),
        ]
        for name, fitting in wanted:
            if kinds.get(name) not in fitting:
                raise ValueError(f"the encoding of column {name!r} does not fit a {kinds.get(name, 'missing')} column")

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
