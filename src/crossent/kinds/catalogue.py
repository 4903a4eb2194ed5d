"""The list of all kinds of columns, and the only place that names them all. A new kind is a file and a name here."""

from typing import TYPE_CHECKING, Union

from crossent.kinds.boolean import BOOLEAN
from crossent.kinds.category import CATEGORY
from crossent.kinds.column import Column
from crossent.kinds.constant import CONSTANT
from crossent.kinds.date import DATE
from crossent.kinds.identifier import IDENTIFIER
from crossent.kinds.kind import Claim, Encoding, Kind
from crossent.kinds.number import NUMBER
from crossent.kinds.raw_column import RawColumn
from crossent.kinds.text import TEXT

# In the order in which they claim a column; the last one claims every column that is left.
KINDS: tuple[Kind, ...] = (CONSTANT, BOOLEAN, NUMBER, DATE, TEXT, IDENTIFIER, CATEGORY)

if TYPE_CHECKING:
    AnyEncoding = Encoding
else:
    # The encodings that a saved model may hold; the loader reads this type hint.
    AnyEncoding = Union[tuple(kind.encoding for kind in KINDS if kind.used)]  # noqa: UP007 - made of the list


def claimed(raw: RawColumn) -> tuple[Kind, Claim]:
    """Return the first kind that claims a column, and its claim."""
    asked = [kind for kind in KINDS if kind.takes_categories] if raw.declared else KINDS
    for kind in asked:
        claim = kind.claims(raw)
        if claim is not None:
            return kind, claim
    raise AssertionError("the last kind claims every column")


def kind_named(name: str) -> Kind:
    """Return the kind with a name.

    Raises
    ------
    ValueError
        If there is no such kind.

    Examples
    --------
    >>> sorted(kind_named("date").gives)
    ['codes', 'numbers']
    """
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise ValueError(f"there is no kind of column {name!r}")


def kind_of(column: Column) -> Kind:
    """Return the kind of a column."""
    return kind_named(column.kind)
