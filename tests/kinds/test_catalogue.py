import contextlib
import io

import numpy as np
import pandas as pd
import pytest

from crossent.cli.app import app
from crossent.data.understand import understand
from crossent.kinds.catalogue import KINDS, claimed, kind_named
from crossent.kinds.raw_column import raw_column

USED = {"number", "category", "boolean", "date", "text"}


def test_names_differ_and_models_see_five_kinds() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert {kind.name for kind in KINDS if kind.used} == USED
    for kind in KINDS:
        assert kind.used == bool(kind.gives) == (kind.encoding is not None)
        assert kind_named(kind.name) is kind
    assert {kind.name for kind in KINDS if kind.by_fold} == {"text"}
    with pytest.raises(ValueError, match="no kind of column 'colour'"):
        kind_named("colour")


def test_what_the_frame_declares_as_categories_is_not_taken_for_numbers() -> None:
    values = pd.Series([1, 2] * 50)
    assert claimed(raw_column(values, declared=False))[0].name == "number"
    assert claimed(raw_column(values, declared=True))[0].name == "category"
    assert claimed(raw_column(values[:1], declared=True))[0].name == "constant"


def test_the_help_of_the_command_names_every_kind() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        app(["train", "--help"])
    words = printed.getvalue().replace(",", " ").replace(".", " ").split()
    assert {kind.name for kind in KINDS} <= set(words)


FEATURES = {
    "number": [0.5, None, 2.0, 1e6, -3.0, 7.25],
    "category": ["red", "blue", None, "red", "é", "x" * 80],
    "boolean": ["yes", "No", None, "TRUE", "f", "1"],
    "date": ["2024-01-31", "03/04/2024 10:00:07", "2923-12-25T10:00:07.123456789", None, "soon", "9:30"],
    "text": ["red wine is good", "good beer", None, "wine", "", "4 2"],
}


@pytest.mark.parametrize("kind", sorted(FEATURES))
def test_what_a_row_gets_does_not_depend_on_the_rows_beside_it(kind: str) -> None:
    values = pd.Series(FEATURES[kind] * 4, name="x", dtype="float64" if kind == "number" else "str")
    # Few are enough to be read: the others are read as missing.
    (column,) = understand(pd.DataFrame({"x": values.head(1).repeat(99)}), {"x": kind})[1]
    convert, learn = kind_named(kind).convert, kind_named(kind).learn
    assert learn is not None
    clean = convert(values, column)
    encoding, features = learn(clean, np.arange(len(values)) % 2, 2)
    for rows in (slice(1, 2), slice(3, 9), slice(None, None, -1)):
        alone = convert(values[rows], column)
        # Pandas takes the unit of dates from all of them.
        pd.testing.assert_series_equal(alone, clean[rows], check_dtype=kind != "date")
        encoded, taken = encoding.encode(alone), features.take(np.arange(len(values))[rows])
        assert np.array_equal(encoded.numbers, taken.numbers)
        assert np.array_equal(encoded.codes, taken.codes)
        if taken.ngrams is not None:
            assert encoded.ngrams is not None
            assert (encoded.ngrams != taken.ngrams).nnz == 0
