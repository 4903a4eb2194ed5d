"""Identifiers: row numbers, and names that differ in nearly every row; they say nothing about other rows."""

from crossent.kinds.kind import Claim, Kind
from crossent.kinds.raw_column import ENOUGH_ROWS, RawColumn

# With a larger share of distinct names than this, the names are identifiers.
DISTINCT_SHARE = 0.95


def _claims(raw: RawColumn) -> Claim | None:
    if raw.count_rows:
        return Claim("counts the rows")
    if raw.is_texts and raw.present >= ENOUGH_ROWS and raw.distinct > DISTINCT_SHARE * raw.present:
        return Claim("nearly every row has a value of its own")
    return None


IDENTIFIER = Kind("identifier", _claims)
