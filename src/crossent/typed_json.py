"""JSON that others may have changed: it becomes a dataclass only if every name and type is right."""

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from crossent.errors import ModelFileError, SettingError
from crossent.model_files import parse_json, read_file

T = TypeVar("T")
_HIGHEST_INT = 2**63
# Characters of a value that an error shows.
_LONGEST = 160


def read_object(path: Path, most: int) -> dict[str, Any]:
    """Return the object that a plain file of JSON holds.

    Parameters
    ----------
    path
        Of the file; a link is not followed.
    most
        Largest number of bytes.

    Raises
    ------
    ValueError
        If it is missing, not a plain file, too long, or holds something else.
    """

    def check_size(size: int) -> None:
        if size > most:
            raise ValueError(f"it has {size:,} bytes, and at most {most:,} are read")

    try:
        return parse_object(read_file(path, check_size))
    except ModelFileError as error:
        raise ValueError(error.met.removeprefix(f"{path}: ").rstrip(".")) from error


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the object that JSON holds.

    Raises
    ------
    ValueError
        If it holds something else, the same key twice, or numbers that are not finite.

    Examples
    --------
    >>> parse_object(b'{"rows": 3}')
    {'rows': 3}
    """
    value = parse_json(data)
    if not isinstance(value, dict):
        raise ValueError("it does not hold an object in braces")
    # Half a character, such as \\ud800 is, would be an error wherever it is shown or written.
    json.dumps(value, ensure_ascii=False).encode()
    return value


def build(cls: type[T], record: Mapping[str, Any]) -> T:
    """Return the dataclass that has these fields.

    Parameters
    ----------
    cls
        Its fields are strings, numbers, booleans, literals, mappings of them, None, or further such dataclasses.
    record
        The values of all fields by name, and no others.

    Raises
    ------
    ValueError
        If a field is missing, unknown, or of another type.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Point:
    ...     x: float
    ...     name: str | None
    >>> build(Point, {"x": 1, "name": None})
    Point(x=1, name=None)
    >>> build(Point, {"x": "1", "name": None})
    Traceback (most recent call last):
    ValueError: x is '1'
    """
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # T is a dataclass
    missing, unknown = [name for name in names if name not in record], [name for name in record if name not in names]
    if missing or unknown:
        parts = (("it lacks", missing), ("it has the unknown", unknown))
        raise ValueError(
            ", and ".join(
                f"{words} {shorten(', '.join(map(repr, names_found)))}" for words, names_found in parts if names_found
            )
        )
    return cls(**{name: _value(name, record[name], hints[name]) for name in names})


def _value(name: str, value: Any, hint: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        try:
            return build(hint, value)
        except SettingError:
            raise
        except ValueError as error:
            raise ValueError(f"in {name}, {error}") from error
    if not fits(value, hint):
        raise ValueError(f"{name} is {shorten(repr(value))}")
    return value


def fits(value: object, hint: Any) -> bool:
    """Say whether a value that came from JSON is of a type.

    Examples
    --------
    >>> fits(1, float), fits(True, float), fits({"a": 2.5}, dict[str, float] | None)
    (True, False, True)
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin in {typing.Union, types.UnionType}:
        return any(fits(value, option) for option in arguments)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(key, arguments[0]) and fits(item, arguments[1]) for key, item in value.items()
        )
    return hint is Any or _fits_scalar(value, hint)


def _fits_scalar(value: object, hint: type) -> bool:
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, hint) and (not isinstance(value, int) or abs(value) < _HIGHEST_INT)


def shorten(text: str) -> str:
    """Return the start of a text, printable in a line.

    Examples
    --------
    >>> len(shorten("a" * 1000))
    160
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: _LONGEST + 1])
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
