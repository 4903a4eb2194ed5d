"""Encodes all columns of a table as features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.kinds.blocks import Features, Widths, join_features, join_widths
from crossent.kinds.catalogue import AnyEncoding, kind_of
from crossent.kinds.column import Column
from crossent.kinds.format_1 import EncoderOfFormat1, current_encodings
from crossent.value_checks import check_distinct


@dataclass(frozen=True, eq=False)
class Encoder:
    """Turns the columns in use into features, as it learned from training rows.

    Attributes
    ----------
    encodings
        The encoding of each column in use, in their order.
    """

    encodings: tuple[AnyEncoding, ...]

    def __post_init__(self) -> None:
        check_distinct("encoded columns", [encoding.column for encoding in self.encodings])

    @classmethod
    def from_format_1(cls, former: EncoderOfFormat1) -> Self:
        """Return what a saved model of format 1 holds.

        Raises
        ------
        ValueError
            If its parts do not belong to columns.
        """
        return cls(current_encodings(former))

    @property
    def widths(self) -> Widths:
        """How many features of each block it writes."""
        return join_widths([encoding.widths for encoding in self.encodings])

    def check_columns(self, columns: Sequence[Column]) -> None:
        """Check that every encoding belongs to one of the columns and to its kind.

        Raises
        ------
        ValueError
            If one does not, or if a kind is unknown.
        """
        fitting = {column.name: kind_of(column).encoding for column in columns}
        kinds = {column.name: column.kind for column in columns}
        for encoding in self.encodings:
            name = encoding.column
            if fitting.get(name) is not type(encoding):
                raise ValueError(f"the encoding of column {name!r} does not fit a {kinds.get(name, 'missing')} column")

    def encode(self, frame: pd.DataFrame) -> Features:
        """Encode the rows of a frame with the converted columns that the encoder was fitted on."""
        return self.encode_columns({str(name): values for name, values in frame.items()}, len(frame))

    def encode_columns(self, columns: "Mapping[str, pd.Series[Any]]", rows: int) -> Features:
        """Encode columns of a number of rows, as `conform_columns` gives them."""
        return join_features([encoding.encode(columns[encoding.column]) for encoding in self.encodings], rows)

    def unseen(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """Say which values of converted rows were not seen in training."""
        notes = [(encoding.column, encoding.unseen(frame[encoding.column])) for encoding in self.encodings]
        return tuple(f"column {name!r}: {note}" for name, note in notes if note)


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
        If a column of text has no n-gram that two rows share.

    Examples
    --------
    >>> frame = pd.DataFrame({"x": [1.0, 2.0, np.nan, 4.0]})
    >>> encoder, features = fit_encoder(frame, [Column("x", "number", 1, 3, ("1", "2"), "")], np.array([0, 1, 0, 1]), 2)
    >>> features.numbers[:, 1]
    array([0., 0., 1., 0.], dtype=float32)
    """
    learned = [
        learn(frame[column.name], target, num_classes)
        for column in columns
        if (learn := kind_of(column).learn) is not None
    ]
    features = join_features([part for _, part in learned], len(frame))
    return Encoder(tuple(encoding for encoding, _ in learned)), features
