"""Constants: columns with a single value or no value, from which a model cannot learn."""

from crossent.kinds.kind import Claim, Kind
from crossent.kinds.raw_column import RawColumn


def _claims(raw: RawColumn) -> Claim | None:
    if raw.distinct > 1:
        return None
    return Claim("every value is the same" if raw.distinct else "every value is missing")


CONSTANT = Kind("constant", _claims, takes_categories=True)
