"""Frozen dataclasses to JSON records and back: the type hints say all that a record may hold.

Arrays and long texts are set aside under their dotted key, such as ``.models.0.weight``.
"""

import dataclasses
import functools
import math
import types
import typing
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from crossent.errors import ModelFileError

_LONG = "a file of its own"
LongText = Annotated[str, _LONG]

Array = npt.NDArray[Any]


class RecordEncoder:
    """Turns a value into JSON, putting arrays and long texts aside under their dotted key."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.texts: dict[str, str] = {}

    def encode(self, value: Any, hint: Any, key: str) -> Any:
        """Return the record of a value that a hint describes.

        Raises
        ------
        TypeError
            If it is of a type that has no record.
        """
        if typing.get_origin(hint) is Annotated and _LONG in hint.__metadata__:
            self.texts[key] = value
            return {"text": key}
        if isinstance(value, np.ndarray):
            self.arrays[key] = np.ascontiguousarray(value)
            return {"array": key, "dtype": str(value.dtype), "shape": list(value.shape)}
        if dataclasses.is_dataclass(value):
            return {"type": type(value).__name__, "fields": self._fields(value, key)}
        if isinstance(value, tuple):
            return [self.encode(item, _item_hint(hint, i), f"{key}.{i}") for i, item in enumerate(value)]
        return _encode_scalar(value, key)

    def _fields(self, value: Any, key: str) -> dict[str, Any]:
        cls: Any = type(value)
        hints = _hints(cls)
        names = [field.name for field in dataclasses.fields(value)]
        return {name: self.encode(getattr(value, name), hints[name], f"{key}.{name}") for name in names}


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """Return the type hints of a dataclass: to find them takes longer than all else that is done with a small one."""
    return typing.get_type_hints(cls, include_extras=True)


def _encode_scalar(value: object, key: str) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{key}: {type(value).__name__} cannot be saved")


class RecordDecoder:
    """Builds what a type hint asks for, and nothing else, from a JSON record and the arrays and texts beside it.

    Parameters
    ----------
    arrays, texts
        By dotted key; `decode` takes out what it uses, and what is left belongs to nothing.
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
        if origin is tuple:
            return self._tuple(record, hint, key)
        if dataclasses.is_dataclass(hint):
            return self._dataclass(_part(record, {"type", "fields"}, key), hint, key)
        return _decode_scalar(record, hint, key)

    def _tuple(self, record: Any, hint: Any, key: str) -> tuple[Any, ...]:
        arguments = typing.get_args(hint)
        if type(record) is not list or (arguments[-1] is not Ellipsis and len(record) != len(arguments)):
            raise _unknown(key, record)
        return tuple(self.decode(item, _item_hint(hint, i), f"{key}.{i}") for i, item in enumerate(record))

    def _dataclass(self, record: dict[str, Any], cls: Any, key: str) -> Any:
        upgrade = getattr(cls, "from_format_1", None) if self._former else None
        former = None if upgrade is None else typing.get_type_hints(upgrade)["former"]
        if record["type"] not in {cls.__name__, getattr(former, "__name__", "")}:
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
    """Pick the one member of a union that the record can be."""
    if isinstance(record, dict) and "type" in record:
        fitting = [option for option in options if getattr(option, "__name__", "") == record["type"]]
    elif isinstance(record, dict) and "array" in record:
        fitting = [option for option in options if typing.get_origin(option) is np.ndarray]
    elif isinstance(record, dict):
        fitting = [option for option in options if option is float and "float" in record]
    else:
        fitting = [option for option in options if option is type(record)]
    if len(fitting) != 1:
        raise _unknown(key, record)
    return fitting[0]


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


def _is_text(value: str) -> bool:
    """Say whether a string has no half of a surrogate pair: such a half can be neither shown nor written."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown(key: str, met: object) -> ModelFileError:
    return ModelFileError("", f"{_place(key)} holds {repr(met)[:80]}, which this version does not know", "")


def _place(key: str) -> str:
    return key.strip(".") or "the whole"
