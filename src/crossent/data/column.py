"""Columns as they were understood, and the names of their kinds."""

from dataclasses import dataclass
from typing import Literal

Label = str | int | float | bool

Kind = Literal["number", "category", "boolean", "date", "text", "identifier", "constant"]

# Kinds that carry something from one row to the next; the others are shown and left out.
USED_KINDS: frozenset[Kind] = frozenset({"number", "category", "boolean", "date", "text"})


@dataclass(frozen=True)
class Column:
    """One column as it was understood.

    Attributes
    ----------
    missing, distinct
        Number of missing values, and of distinct values among the others.
    examples
        A few of its values, as text.
    note
        What a reader should know: why it is left out, what could not be read. Empty where there is nothing to say.
    day_first
        For dates: whether 03/04 is the third of April; new rows are read as the training rows were.
    """

    name: str
    kind: Kind
    missing: int
    distinct: int
    examples: tuple[str, ...]
    note: str
    day_first: bool = False

    def __post_init__(self) -> None:
        if self.missing < 0 or self.distinct < 0:
            raise ValueError(f"column {self.name!r} cannot have {self.missing} missing and {self.distinct} values")

    @property
    def used(self) -> bool:
        """Whether models see this column."""
        return self.kind in USED_KINDS
