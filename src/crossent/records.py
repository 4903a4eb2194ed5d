"""Frozen dataclasses to JSON records and back: the type hints say all that a record may hold.

Arrays and long texts are set aside under their dotted key, such as ``.models.0.weight``.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from crossent.errors import ModelFileError

_LONG = "a file of its own"
LongText = Annotated[str, _LONG]

Array = npt.NDArray[Any]


class RecordEncoder:
    """Turns a value into JSON, and collects arrays and long texts under their dotted key.

    It takes only values that `RecordDecoder` gives back equal: strings, booleans, numbers, None, literals, arrays of
    the declared type, tuples, string-keyed mappings, and dataclasses of these.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.texts: dict[str, str] = {}

    def encode(self, value: Any, hint: Any, key: str) -> Any:
        """Return the record of a value that a hint describes.

        Raises
        ------
        ModelFileError
            If the value is not what the hint says, or its type has no record.
        """
        if isinstance(value, np.generic):
            value = value.item()
        origin = typing.get_origin(hint)
        if origin in {typing.Union, types.UnionType}:
            return self._of_union(value, typing.get_args(hint), key)
        if not _is_of(value, hint):
            raise _unsaveable(key, value, hint)
        if origin in {Annotated, np.ndarray}:
            return self._set_aside(value, key)
        if origin is tuple:
            return [self.encode(item, _item_hint(hint, i), f"{key}.{i}") for i, item in enumerate(value)]
        if origin is dict:
            # The key has the position, not the name, because names may contain dots.
            of_items = typing.get_args(hint)[1]
            items = enumerate(value.items())
            return {"items": [[name, self.encode(item, of_items, f"{key}.{i}")] for i, (name, item) in items]}
        if dataclasses.is_dataclass(hint):
            return {"type": type(value).__name__, "fields": self._fields(value, key)}
        return _encode_scalar(value, hint)

    def _of_union(self, value: Any, options: tuple[Any, ...], key: str) -> Any:
        option = _option_of(value, options)
        record = None if option is None else self.encode(value, option, key)
        # If two types had equal records, the loader could not tell which one was meant.
        if option is None or sum(_could_be(record, other) for other in options) != 1:
            raise _unsaveable(key, value, " | ".join(getattr(other, "__name__", str(other)) for other in options))
        return record

    def _set_aside(self, value: Any, key: str) -> dict[str, Any]:
        if isinstance(value, str):
            self.texts[key] = value
            return {"text": key}
        self.arrays[key] = np.ascontiguousarray(value)
        return {"array": key, "dtype": str(value.dtype), "shape": list(value.shape)}

    def _fields(self, value: Any, key: str) -> dict[str, Any]:
        cls: Any = type(value)
        hints = _hints(cls)
        names = [field.name for field in dataclasses.fields(value)]
        return {name: self.encode(getattr(value, name), hints[name], f"{key}.{name}") for name in names}


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """Return the type hints of a dataclass; finding them takes longer than everything else for a small one."""
    return typing.get_type_hints(cls, include_extras=True)


def _is_of(value: Any, hint: Any) -> bool:
    """Say whether a value is of a type that has a record; the values inside it are checked later."""
    origin = typing.get_origin(hint)
    if origin is not None:
        return origin in _IS_OF and _IS_OF[origin](value, typing.get_args(hint))
    if hint is float:
        return isinstance(value, float) or (type(value) is int and _is_exact(value))
    if hint is str:
        return _is_text(value)
    return type(value) is hint and (hint in {bool, int, type(None)} or dataclasses.is_dataclass(hint))


def _is_array_of(value: Any, arguments: tuple[Any, ...]) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == typing.get_args(arguments[1])[0]


def _is_tuple_of(value: Any, arguments: tuple[Any, ...]) -> bool:
    return isinstance(value, tuple) and (arguments[-1] is Ellipsis or len(value) == len(arguments))


_IS_OF: dict[Any, Callable[[Any, tuple[Any, ...]], bool]] = {
    Annotated: lambda value, arguments: _LONG in arguments and _is_text(value),
    Literal: lambda value, arguments: type(value) is str and value in arguments,
    dict: lambda value, _: isinstance(value, dict) and all(map(_is_text, value)),
    np.ndarray: _is_array_of,
    tuple: _is_tuple_of,
}


def _option_of(value: Any, options: tuple[Any, ...]) -> Any:
    """Pick the member of a union that a value is of: a whole number counts as a float only if nothing else fits."""
    fitting = [option for option in options if _is_of(value, option)]
    exact = [option for option in fitting if not (option is float and type(value) is int)]
    return next(iter(exact or fitting), None)


def _is_exact(value: int) -> bool:
    try:
        return float(value) == value
    except OverflowError:
        return False


def _unsaveable(key: str, value: object, hint: Any) -> ModelFileError:
    kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else repr(value)[:80]
    return ModelFileError(
        "A saved value has the type that its class declares, because only such a value can be loaded.",
        f"{_place(key)} is {kind} ({type(value).__name__}); the class declares {getattr(hint, '__name__', hint)}.",
        "Give a value of this type.",
    )


def _encode_scalar(value: Any, hint: Any) -> object:
    if hint is float:
        value = float(value)
        return value if math.isfinite(value) else {"float": repr(value)}
    return value


class RecordDecoder:
    """Builds what a type hint asks for, and nothing else, from a JSON record with its arrays and texts.

    Parameters
    ----------
    arrays, texts
        By dotted key; `decode` removes those that it uses, so that those that are left belong to nothing.
    former
        Whether the record is of format 1.
    """

    def __init__(self, arrays: dict[str, Array], texts: dict[str, str], *, former: bool) -> None:
        self._arrays = arrays
        self._texts = texts
        self._former = former

    def decode(self, record: Any, hint: Any, key: str) -> Any:
        """Return the value that a record and a hint describe.

        Raises
        ------
        ModelFileError
            If the record is not what the hint asks for, or a dataclass refuses its fields. Only ``met`` is filled.
        """
        origin = typing.get_origin(hint)
        if origin is Annotated and _LONG in hint.__metadata__:
            return self._taken(self._texts, _part(record, {"text"}, key), "text", key)
        if origin in {typing.Union, types.UnionType}:
            return self.decode(record, _chosen(record, typing.get_args(hint), key), key)
        if origin is np.ndarray:
            return self._array(_part(record, {"array", "dtype", "shape"}, key), hint, key)
        if origin in {tuple, dict}:
            return (self._tuple if origin is tuple else self._mapping)(record, hint, key)
        if dataclasses.is_dataclass(hint):
            return self._dataclass(_part(record, {"type", "fields"}, key), hint, key)
        return _decode_scalar(record, hint, key)

    def _tuple(self, record: Any, hint: Any, key: str) -> tuple[Any, ...]:
        arguments = typing.get_args(hint)
        if type(record) is not list or (arguments[-1] is not Ellipsis and len(record) != len(arguments)):
            raise _unknown(key, record)
        return tuple(self.decode(item, _item_hint(hint, i), f"{key}.{i}") for i, item in enumerate(record))

    def _mapping(self, record: Any, hint: Any, key: str) -> dict[str, Any]:
        items = _part(record, {"items"}, key)["items"]
        pairs: list[Any] = items if type(items) is list else [None]
        if not all(type(pair) is list and len(pair) == 2 and type(pair[0]) is str for pair in pairs):
            raise _unknown(key, items)
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names) or not all(map(_is_text, names)):
            raise _unknown(key, names)
        of_items = typing.get_args(hint)[1]
        return {name: self.decode(item, of_items, f"{key}.{i}") for i, (name, item) in enumerate(pairs)}

    def _dataclass(self, record: dict[str, Any], cls: Any, key: str) -> Any:
        upgrade = getattr(cls, "from_format_1", None) if self._former else None
        former = None if upgrade is None else typing.get_type_hints(upgrade)["former"]
        names = [cls.__name__] if former is None else [cls.__name__, former.__name__]
        # Not a set, because a value in a hostile record may have no hash.
        if record["type"] not in names:
            raise _unknown(key, record["type"])
        return self._built(upgrade or cls, record["fields"], former or cls, key)

    def _built(self, build: Any, fields: Any, cls: Any, key: str) -> Any:
        names = [field.name for field in dataclasses.fields(cls)]
        hints = _hints(cls)
        items = _part(fields, set(names), key)
        values = {name: self.decode(items[name], hints[name], f"{key}.{name}") for name in names}
        try:
            return cls(**values) if build is cls else build(cls(**values))
        except ModelFileError:
            raise
        except ValueError as error:
            raise ModelFileError("", f"{_place(key)}: {error}", "") from error

    def _array(self, record: dict[str, Any], hint: Any, key: str) -> Array:
        array: Array = self._taken(self._arrays, record, "array", key)
        expected = typing.get_args(typing.get_args(hint)[1])[0]
        if array.dtype != expected or str(array.dtype) != record["dtype"] or list(array.shape) != record["shape"]:
            raise _unknown(key, f"{array.dtype} {array.shape}")
        # No dataclass holds one: its checks may take the length of every array for granted.
        if not array.ndim:
            raise _unknown(key, "an array without dimensions")
        return array

    def _taken(self, values: dict[str, Any], record: dict[str, Any], what: str, key: str) -> Any:
        if record[what] != key or key not in values:
            raise _unknown(key, record[what])
        return values.pop(key)


def _part(record: Any, keys: set[str], key: str) -> dict[str, Any]:
    if not isinstance(record, dict) or set(record) != keys:
        raise _unknown(key, sorted(record) if isinstance(record, dict) else record)
    return record


def _chosen(record: Any, options: tuple[Any, ...], key: str) -> Any:
    """Choose the only member of a union that the record can be."""
    fitting = [option for option in options if _could_be(record, option)]
    if len(fitting) != 1:
        raise _unknown(key, record)
    return fitting[0]


def _could_be(record: Any, option: Any) -> bool:
    """Say whether a record can be of a member of a union, without looking at the values inside it."""
    origin = typing.get_origin(option)
    if isinstance(record, dict) and "type" in record:
        return bool(getattr(option, "__name__", "") == record["type"])
    if isinstance(record, dict):
        marks = {np.ndarray: "array", Annotated: "text", dict: "items", None: "float" if option is float else None}
        return marks.get(origin) in record
    if origin is Literal:
        return type(record) is str and record in typing.get_args(option)
    return origin is tuple if type(record) is list else option is type(record)


def _item_hint(hint: Any, position: int) -> Any:
    arguments = typing.get_args(hint)
    return arguments[0] if arguments[-1] is Ellipsis else arguments[position]


def _decode_scalar(record: Any, hint: Any, key: str) -> Any:
    if typing.get_origin(hint) is Literal:
        if type(record) is str and record in typing.get_args(hint):
            return record
    elif hint is float and isinstance(record, dict):
        if _part(record, {"float"}, key)["float"] in ("nan", "inf", "-inf"):
            return float(record["float"])
    elif type(record) is hint and (hint is not str or _is_text(record)):
        return record
    raise _unknown(key, record)


def _is_text(value: object) -> bool:
    """Say whether a value is a string without half of a surrogate pair, which can be neither shown nor written."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown(key: str, met: object) -> ModelFileError:
    return ModelFileError("", f"{_place(key)} holds {repr(met)[:80]}, which this version does not know", "")


def _place(key: str) -> str:
    return key.strip(".") or "the whole"
