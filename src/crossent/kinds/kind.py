"""The interface of a kind of column: how it claims a column, converts its values, and learns to encode them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.kinds.blocks import Block, Features, Widths
from crossent.kinds.column import Column
from crossent.kinds.raw_column import RawColumn

Target = npt.NDArray[np.int64]


class Encoding(Protocol):
    """How the clean values of one column become features: a frozen dataclass, so that it can be saved."""

    @property
    def column(self) -> str:
        """Name of the column."""

    @property
    def widths(self) -> Widths:
        """How many features of each block `encode` gives."""

    def encode(self, values: "pd.Series[Any]") -> Features:
        """Return the features of ``(n,)`` clean values; the features of a row depend only on its own value."""

    def unseen(self, values: "pd.Series[Any]") -> str:
        """Say which of ``(n,)`` clean values were not seen in training; empty if all were."""


@dataclass(frozen=True)
class Claim:
    """The statement of a kind that a column belongs to it.

    Attributes
    ----------
    reason
        What people should know about it. Empty if there is nothing to say.
    """

    reason: str = ""


def _as_they_are(values: "pd.Series[Any]", _column: Column) -> "pd.Series[Any]":
    return values


def _no_form(_raw: RawColumn) -> str:
    return ""


@dataclass(frozen=True)
class Kind:
    """A kind of column.

    Attributes
    ----------
    name
        The name in `Column.kind` and in the flag ``--kind``.
    claims
        Returns None for a column of another kind.
    plural
        Name of its values in messages.
    gives
        The blocks that its features belong to; none for kinds that models do not see.
    convert
        Makes raw values, as in `RawColumn.cells`, clean. It works value by value, so that the result of a row never
        depends on other rows. A value that it cannot read becomes missing.
    form
        Returns the `Column.form` that `convert` needs.
    encoding
        The class of what `learn` returns.
    learn
        Takes ``(n,)`` clean values with the name of the column, the ``(n,)`` class indices and the number of classes;
        returns an encoding, and the features of these values. None for kinds that models do not see.
    by_fold
        Whether it learns from the labels. Then it learns again in each fold, and at the end the model is fitted to all
        rows.
    takes_categories
        Whether it may claim a column that is declared as categories in the frame.
    """

    name: str
    claims: Callable[[RawColumn], Claim | None]
    plural: str = "values"
    gives: frozenset[Block] = frozenset()
    convert: Callable[["pd.Series[Any]", Column], "pd.Series[Any]"] = _as_they_are
    form: Callable[[RawColumn], str] = _no_form
    encoding: type[Encoding] | None = None
    learn: Callable[["pd.Series[Any]", Target, int], tuple[Encoding, Features]] | None = None
    by_fold: bool = False
    takes_categories: bool = False

    @property
    def used(self) -> bool:
        """Whether models see columns of this kind."""
        return self.learn is not None
