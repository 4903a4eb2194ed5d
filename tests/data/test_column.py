from typing import get_args

from crossent.data.column import USED_KINDS, Column, Kind


def test_a_column_is_used_or_left_out_by_its_kind() -> None:
    used = {kind for kind in get_args(Kind) if Column("x", kind, 0, 2, (), "").used}
    assert used == USED_KINDS == {"number", "category", "boolean", "date", "text"}
