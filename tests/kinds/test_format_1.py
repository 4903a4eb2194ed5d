import numpy as np
import pytest

from crossent.kinds.category import CategoryEncoding as CurrentCategoryEncoding
from crossent.kinds.date import DateEncoding
from crossent.kinds.format_1 import (
    CategoryEncoding,
    EncoderOfFormat1,
    NumberEncoding,
    TableEncoder,
    current_encodings,
)
from crossent.kinds.vocabulary import rare_hashes

NONE = np.empty(0)


def number(column: str, part: str = "value") -> NumberEncoding:
    return NumberEncoding(column, part, 0.5, 2.0, NONE, NONE, flag=part == "year")


def names(column: str, part: str = "value") -> CategoryEncoding:
    return CategoryEncoding(column, part, ("a", "b"), ("z", "y"))


def test_parts_of_dates_are_brought_together_and_blocks_keep_their_order() -> None:
    table = TableEncoder(
        (
            number("n"),
            number("d", "days"),
            number("d", "year"),
            number("m"),
            number("e", "days"),
            number("e", "year"),
            number("e", "hour"),
        ),
        (
            names("c"),
            names("d", "month"),
            names("d", "weekday"),
            names("e", "month"),
            names("e", "weekday"),
            names("b"),
        ),
    )
    encodings = current_encodings(EncoderOfFormat1(table, ()))
    given = {block: [e.column for e in encodings if getattr(e.widths, block)] for block in ("numbers", "cardinalities")}
    assert given == {"numbers": ["n", "d", "m", "e"], "cardinalities": ["c", "d", "e", "b"]}
    by_column = {encoding.column: encoding for encoding in encodings}
    d, e, c = by_column["d"], by_column["e"], by_column["c"]
    assert isinstance(d, DateEncoding)
    assert isinstance(e, DateEncoding)
    assert isinstance(c, CurrentCategoryEncoding)
    assert (d.hour is None, e.hour is None) == (True, False)
    assert (d.widths.numbers, e.widths.numbers) == (3, 4)
    assert c.vocabulary.frequent == ("a", "b")
    assert c.vocabulary.rare.tolist() == rare_hashes(["y", "z"]).tolist()


@pytest.mark.parametrize(
    ("numbers", "codes"),
    [
        ((number("d", "days"),), (names("d", "month"), names("d", "weekday"))),
        ((number("d", "days"), number("d", "year")), (names("d", "month"),)),
        ((number("d", "year"), number("d", "days")), (names("d", "month"), names("d", "weekday"))),
        ((number("d", "days"), number("d", "year")), (names("e", "month"), names("e", "weekday"))),
        ((number("d", "colour"),), ()),
        ((), (names("d", "colour"),)),
    ],
)
def test_parts_that_make_no_date_are_refused(
    numbers: tuple[NumberEncoding, ...], codes: tuple[CategoryEncoding, ...]
) -> None:
    with pytest.raises(ValueError, match="the parts of the date 'd' are"):
        current_encodings(EncoderOfFormat1(TableEncoder(numbers, codes), ()))
