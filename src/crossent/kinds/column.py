"""Descriptions of columns: their kind, and what is known of their values."""

from dataclasses import dataclass
from typing import Self

Label = str | int | float | bool


@dataclass(frozen=True)
class ColumnOfFormat1:
    """A `Column` as models of format 1 hold it."""

    name: str
    kind: str
    missing: int
    distinct: int
    examples: tuple[str, ...]
    note: str
    day_first: bool


@dataclass(frozen=True)
class Column:
    """The description of one column.

    Attributes
    ----------
    kind
        The name of a kind of the catalogue.
    missing, distinct
        Number of missing values, and of distinct values among the others.
    examples
        A few of its values, as text.
    note
        What people should know: why it is left out, which values could not be read. Empty if there is nothing to say.
    form
        How its kind reads ambiguous values, so that new rows are read like the training rows: ``"day first"`` for dates
        where 03/04 is the third of April. Empty if no value is ambiguous.
    """

    name: str
    kind: str
    missing: int
    distinct: int
    examples: tuple[str, ...]
    note: str
    form: str = ""

    def __post_init__(self) -> None:
        if self.missing < 0 or self.distinct < 0:
            raise ValueError(f"column {self.name!r} cannot have {self.missing} missing and {self.distinct} values")

    @classmethod
    def from_format_1(cls, former: ColumnOfFormat1) -> Self:
        """Convert what a saved model of format 1 holds; there, only dates had a form."""
        form = "day first" if former.day_first else ""
        return cls(former.name, former.kind, former.missing, former.distinct, former.examples, former.note, form)
