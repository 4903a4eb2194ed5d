import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.typed_json import build, fits, parse_object, read_object, shorten


@dataclass(frozen=True)
class Point:
    x: float
    count: int
    name: Literal["a", "b"] | None
    shares: dict[str, float]


GOOD: dict[str, Any] = {"x": 1, "count": 2, "name": "a", "shares": {"u": 0.5}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)


def test_right_names_and_types_make_the_dataclass() -> None:
    assert build(Point, GOOD) == Point(1, 2, "a", {"u": 0.5})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": True}, "x is True"),
        ({"x": float("nan")}, "x is nan"),
        ({"x": 10**400}, "x is 1000"),
        ({"count": 2.0}, "count is 2.0"),
        ({"count": 2**70}, "count is 118"),
        ({"name": "c"}, "name is 'c'"),
        ({"shares": {"u": "half"}}, "shares is"),
        ({"shares": None}, "shares is None"),
        ({"y": 1}, "unknown 'y'"),
    ],
)
def test_another_name_or_type_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build(Point, GOOD | changes)


def test_a_missing_name_is_named() -> None:
    with pytest.raises(ValueError, match="lacks 'x', 'count', and it has the unknown 'X'"):
        build(Point, {"name": None, "shares": {}, "X": 1})


@given(st.sampled_from(sorted(GOOD)), json_values)
def test_any_value_fits_or_is_refused(name: str, value: object) -> None:
    if fits(value, Point.__annotations__[name]):
        assert getattr(build(Point, GOOD | {name: value}), name) == value
    else:
        with pytest.raises(ValueError, match=f"{name} is "):
            build(Point, GOOD | {name: value})


@given(st.binary(max_size=100))
def test_any_bytes_are_an_object_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_object(data), dict)


def test_what_is_shown_is_printable() -> None:
    assert shorten("a\x1b[31m\n") == "a?[31m?"


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are those of POSIX")
def test_links_pipes_and_long_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"{}   ")
    assert read_object(path, 5) == {}
    with pytest.raises(ValueError, match="5 bytes, and at most 4"):
        read_object(path, 4)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("link", "symbolic link"), ("pipe", "not a plain file"), ("nowhere", "missing")):
        with pytest.raises(ValueError, match=f"^it is .*{why}|^the file is {why}"):
            read_object(tmp_path / name, 5)


@dataclass(frozen=True)
class Line:
    begin: Point
    width: float


def test_a_dataclass_within_another_is_built_too() -> None:
    assert build(Line, {"begin": GOOD, "width": 2}) == Line(Point(1, 2, "a", {"u": 0.5}), 2)
    with pytest.raises(ValueError, match="in begin, x is True"):
        build(Line, {"begin": GOOD | {"x": True}, "width": 2})
    with pytest.raises(ValueError, match="in begin, it has the unknown 'z'"):
        build(Line, {"begin": GOOD | {"z": 0}, "width": 2})
    with pytest.raises(ValueError, match="begin is 3"):
        build(Line, {"begin": 3, "width": 2})
