"""Values to records and back: equal, or refused when they are saved."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.errors import ModelFileError
from crossent.records import LongText, RecordDecoder, RecordEncoder


@dataclass(frozen=True)
class Point:
    x: float
    name: str


@dataclass(frozen=True)
class Everything:
    number: float
    count: int
    flag: bool
    word: str
    kind: Literal["oak", "elm"]
    text: LongText
    pair: tuple[int, str]
    points: tuple[Point, ...]
    weights: dict[str, float]
    places: dict[str, Point]
    nested: dict[str, dict[str, tuple[float, ...]]]
    maybe_weights: dict[str, float] | None
    maybe_number: float | None
    maybe_kind: Literal["oak"] | None
    maybe_text: LongText | None
    maybe_points: tuple[Point, ...] | None
    label: str | int | float | bool


@dataclass(frozen=True, eq=False)
class Arrays:
    one: npt.NDArray[np.float32]
    by_name: dict[str, npt.NDArray[np.int64]]
    by_names: dict[str, dict[str, npt.NDArray[np.int64]]]


@dataclass(frozen=True)
class TwoAlike:
    either: tuple[int, ...] | tuple[str, ...]


def back(value: Any) -> Any:
    """What comes back through JSON."""
    encoder = RecordEncoder()
    record = json.loads(json.dumps(encoder.encode(value, type(value), ""), allow_nan=False))
    arrays, texts = dict(encoder.arrays), dict(encoder.texts)
    loaded = RecordDecoder(arrays, texts, former=False).decode(record, type(value), "")
    assert not arrays
    assert not texts
    return loaded


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
FLOATS = st.floats(allow_nan=False)
# Whole numbers in a field of float, and NumPy's scalars, come back equal.
NUMBERS = st.one_of(
    FLOATS, st.integers(-(2**53), 2**53), FLOATS.map(np.float64), st.integers(-9, 9).map(np.int64), st.just(2**100)
)
POINTS = st.builds(Point, NUMBERS, WORDS)


@given(
    st.builds(
        Everything,
        number=NUMBERS,
        count=st.integers() | st.integers(0, 99).map(np.int32),
        flag=st.booleans() | st.booleans().map(np.bool_),
        word=WORDS,
        kind=st.sampled_from(["oak", "elm"]),
        text=WORDS,
        pair=st.tuples(st.integers(), WORDS),
        points=st.lists(POINTS, max_size=3).map(tuple),
        weights=st.dictionaries(WORDS, NUMBERS, max_size=3),
        places=st.dictionaries(WORDS, POINTS, max_size=3),
        nested=st.dictionaries(
            WORDS, st.dictionaries(WORDS, st.lists(NUMBERS, max_size=2).map(tuple), max_size=2), max_size=2
        ),
        maybe_weights=st.none() | st.dictionaries(WORDS, NUMBERS, max_size=3),
        maybe_number=st.none() | NUMBERS,
        maybe_kind=st.sampled_from(["oak", None]),
        maybe_text=st.none() | WORDS,
        maybe_points=st.none() | st.lists(POINTS, max_size=3).map(tuple),
        label=WORDS | st.integers() | FLOATS | st.booleans(),
    )
)
def test_what_is_declared_comes_back_equal(value: Everything) -> None:
    loaded = back(value)
    assert loaded == value
    assert type(loaded.number) is float
    assert type(loaded.label) is type(value.label)


def test_order_of_names_is_kept_and_infinities_too() -> None:
    value = Everything(
        number=np.inf,
        count=1,
        flag=True,
        word="",
        kind="oak",
        text="",
        pair=(1, ""),
        points=(),
        weights={"b": -np.inf, "a": 1},
        places={},
        nested={},
        maybe_weights={},
        maybe_number=None,
        maybe_kind=None,
        maybe_text=None,
        maybe_points=None,
        label=3,
    )
    loaded = back(value)
    assert loaded == value
    assert list(loaded.weights) == ["b", "a"]


def test_arrays_under_names_with_dots_stay_apart() -> None:
    one, two, three = (np.full(2, i) for i in (1, 2, 3))
    value = Arrays(np.zeros(1, np.float32), {"a.b": one, "a": two}, {"a": {"b": three}, "a.b": {}})
    loaded = back(value)
    assert {name: array.tolist() for name, array in loaded.by_name.items()} == {"a.b": [1, 1], "a": [2, 2]}
    assert loaded.by_names["a"]["b"].tolist() == [3, 3]
    assert list(loaded.by_names) == ["a", "a.b"]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Point("1", "a"), "x is '1' (str); the class declares float"),  # type: ignore[arg-type]
        (Point(True, "a"), "x is True"),
        (Point(2**53 + 1, "a"), "x is 9007199254740993"),
        (Point(10**400, "a"), "x is 1000"),
        (Point(1.0, 3), "name is 3"),  # type: ignore[arg-type]
        (Point(1.0, "\ud800"), "name is '\\ud800'"),
        (Point(None, "a"), "x is None"),  # type: ignore[arg-type]
        (Arrays(np.zeros(1), {}, {}), "one is an array of float64"),  # type: ignore[arg-type]
        (Arrays(np.zeros(1, np.float32), {1: np.zeros(1, int)}, {}), "by_name is {1: "),  # type: ignore[dict-item]
        (Arrays(np.zeros(1, np.float32), {"a": [1]}, {}), "by_name.0 is [1] (list)"),  # type: ignore[dict-item]
        (TwoAlike((1,)), "either is (1,)"),
    ],
)
def test_what_could_not_be_read_back_is_refused_with_its_place(value: object, place: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        back(value)
    assert place in caught.value.met


@pytest.mark.parametrize(
    "items", [None, {}, [["a"]], [["a", 1.0, 2]], [[1, 1.0]], [["a", 1.0], ["a", 2.0]], [["\ud800", 1.0]], ["ab"]]
)
def test_a_mapping_that_no_saving_wrote_is_refused(items: object) -> None:
    @dataclasses.dataclass
    class Weights:
        by_name: dict[str, float]

    encoder = RecordEncoder()
    record = encoder.encode(Weights({"a": 1.0}), Weights, "")
    assert record["fields"]["by_name"] == {"items": [["a", 1.0]]}
    record["fields"]["by_name"]["items"] = items
    with pytest.raises(ModelFileError, match="by_name"):
        RecordDecoder({}, {}, former=False).decode(record, Weights, "")


@pytest.mark.parametrize("name", [[], {}, None, "", 3])
def test_a_record_whose_type_is_no_name_is_refused(name: object) -> None:
    @dataclass(frozen=True)
    class Point:
        x: float

    with pytest.raises(ModelFileError):
        RecordDecoder({}, {}, former=False).decode({"type": name, "fields": {"x": 1.0}}, Point, "")


def test_an_array_without_dimensions_is_refused() -> None:
    record = {"array": "value", "dtype": "float32", "shape": []}
    decoder = RecordDecoder({"value": np.array(1.0, np.float32)}, {}, former=False)
    with pytest.raises(ModelFileError, match="without dimensions"):
        decoder.decode(record, npt.NDArray[np.float32], "value")
