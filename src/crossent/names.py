"""Names of columns and labels in messages, and the check that those of a table differ."""

import collections
import difflib
import itertools
from collections.abc import Iterable
from typing import Any

from crossent.errors import DataError

# The largest number of names in a message, and of characters of each name.
MOST_NAMES, MOST_CHARACTERS = 12, 60
# The largest number of names that are compared with an unknown name; the time grows with the square of their length.
_MOST_COMPARED = 10_000


def shortened(value: Any) -> str:
    """Return a value for a message: as Python writes it, and cut if it is long.

    Examples
    --------
    >>> shortened("size")
    "'size'"
    >>> shortened("a" * 1000)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…' (1,000 characters)"
    """
    text = value if isinstance(value, str) else str(value)
    if len(text) <= MOST_CHARACTERS:
        return repr(value)
    return f"{text[:MOST_CHARACTERS] + '…'!r} ({len(text):,} characters)"


def listed(values: Iterable[Any], most: int = MOST_NAMES) -> str:
    """Return a few values for a message.

    Examples
    --------
    >>> listed(["a", "b"]), listed(range(100), 2)
    ("'a', 'b'", '0, 1, … (100 in all)')
    """
    values = list(values)
    some = ", ".join(shortened(value) for value in values[:most])
    return some if len(values) <= most else f"{some}, … ({len(values):,} in all)"


def nearest(name: str, names: Iterable[Any], cutoff: float = 0.6) -> str | None:
    """Return the name that is most like an unknown name, or None."""
    if len(name) > MOST_CHARACTERS:
        return None
    short = [str(other) for other in itertools.islice(names, _MOST_COMPARED) if len(str(other)) <= 2 * MOST_CHARACTERS]
    return next(iter(difflib.get_close_matches(name, short, n=1, cutoff=cutoff)), None)


def check_distinct(names: Iterable[str], source: str) -> None:
    """Check that no two columns have the same name.

    Raises
    ------
    DataError
        If two do.
    """
    names = list(names)
    if len(set(names)) == len(names):
        return
    places: dict[str, list[str]] = collections.defaultdict(list)
    for i, name in enumerate(names, start=1):
        places[name].append(str(i))
    repeated = next(name for name, where in places.items() if len(where) > 1)
    where = places[repeated]
    more = f" and {len(where) - 3:,} more" if len(where) > 3 else ""
    raise DataError(
        "Column names must differ.",
        f"{source} has {shortened(repeated)} as columns {' and '.join(where[:3])}{more}.",
        "Rename all but one of them.",
    )
