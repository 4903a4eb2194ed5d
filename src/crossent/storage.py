"""Frozen dataclasses to a folder and back: JSON for structure, safetensors for arrays, plain text for long strings.

The type hints of the dataclass say all that a file may hold, so loading builds only what the caller asked for: no
class is named by the file alone, and no code runs from it. Data files carry a part of their sha256 in their name and
the index, ``model.json``, is replaced last and at once: a crash at any instant leaves the previous model whole.
"""

import dataclasses
import hashlib
import json
import math
import os
import tempfile
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from crossent.errors import ModelFileError

FORMAT = "crossent-model"
FORMAT_VERSION = 2
# Models of the first format are brought to the second as they are loaded.
FIRST_FORMAT = 1
INDEX = "model.json"

_LONG = "kept in a file of its own"
LongText = Annotated[str, _LONG]

T = TypeVar("T")
Array = npt.NDArray[Any]


def save_folder(path: Path, value: object, versions: Mapping[str, str]) -> None:
    """Write a frozen dataclass to a folder.

    Parameters
    ----------
    path
        The folder; made if it is not there. A model that is there already is replaced, all of it or nothing.
    value
        A dataclass of strings, numbers, arrays, tuples, string-keyed mappings and further dataclasses.
    versions
        Library versions to record, by name.

    Raises
    ------
    ModelFileError
        If the path is a file, or a folder that holds something other than a model.
    """
    old_files = _files_to_replace(path)
    encoder = _Encoder()
    record = encoder.encode(value, type(value), "")
    array_data = safetensors.numpy.save(encoder.arrays)
    contents = {_content_name("arrays", "safetensors", array_data): array_data}
    text_names = {}
    for key, text in encoder.texts.items():
        data = text.encode()
        text_names[key] = _content_name(key.strip(".").replace(".", "-"), "txt", data)
        contents[text_names[key]] = data
    index = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": dict(versions),
        "files": {name: {"sha256": _sha256(data), "bytes": len(data)} for name, data in contents.items()},
        "texts": text_names,
        "value_sha256": _sha256(_canonical(record)),
        "value": record,
    }
    path.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        write_file(path / name, data)
    write_file(path / INDEX, json.dumps(index, indent=1, allow_nan=False, ensure_ascii=False).encode())
    for name in old_files - contents.keys():
        (path / name).unlink(missing_ok=True)


def load_folder(path: Path, cls: type[T]) -> T:
    """Read what `save_folder` wrote, checking every hash, shape and type on the way.

    A dataclass whose fields have changed since format 1 has a class method ``from_format_1``. Its one argument,
    ``former``, is annotated with a dataclass of the fields as they were: these are read by the same rules, and the
    method makes of them what the class is now.

    Raises
    ------
    ModelFileError
        If there is no model, if a file is missing or damaged, or if anything in it is not known to this version.
    """
    index = _read_index(path)
    contents = {name: _read_checked(path, name, entry) for name, entry in index["files"].items()}
    if _sha256(_canonical(index["value"])) != index["value_sha256"]:
        raise _damaged(path / INDEX, "its content does not match its checksum")
    arrays: dict[str, Array] = {}
    for name, data in contents.items():
        if name.endswith(".safetensors"):
            arrays.update(safetensors.numpy.load(data))
    try:
        texts = {key: contents[name].decode() for key, name in index["texts"].items()}
        value = _Decoder(arrays, texts, index["format_version"]).decode(index["value"], cls, "")
    except ModelFileError as error:
        raise _damaged(path / INDEX, error.met) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path / INDEX, f"{type(error).__name__}: {error}") from error
    return typing.cast("T", value)


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one step: under a temporary name, flushed to disk, renamed; a crash leaves the old file whole."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files_to_replace(path: Path) -> set[str]:
    if not path.exists():
        return set()
    rule, fix = "A model is saved to a folder of its own.", "Give a new folder, or one that holds a model."
    if not path.is_dir():
        raise ModelFileError(rule, f"{path} is a file.", fix)
    if not any(path.iterdir()):
        return set()
    if not (path / INDEX).is_file():
        raise ModelFileError(rule, f"{path} holds other files and no {INDEX}.", fix)
    return set(_read_index(path)["files"])


def _read_index(path: Path) -> dict[str, Any]:
    file = path / INDEX
    if not file.is_file():
        raise ModelFileError(
            f"A saved model is a folder with a {INDEX}.", f"{path} has none.", "Give the folder that `save` wrote."
        )
    try:
        index = json.loads(file.read_bytes())
    except ValueError as error:
        raise _damaged(file, f"it is not JSON ({error})") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise _damaged(file, "it is not a crossent model")
    version = index.get("format_version")
    if type(version) is not int or version not in {FIRST_FORMAT, FORMAT_VERSION}:
        raise ModelFileError(
            f"This version of crossent reads model formats {FIRST_FORMAT} and {FORMAT_VERSION}.",
            f"{file} has format {repr(version)[:80]}.",
            "Load it with the version of crossent that wrote it (named in the file), or train again.",
        )
    files = index.get("files")
    if not isinstance(files, dict) or not isinstance(index.get("texts"), dict) or "value" not in index:
        raise _damaged(file, "parts of it are missing")
    for name in files:
        if Path(name).name != name or name in {"", ".", "..", INDEX}:
            raise _damaged(file, f"it names a file outside its folder, {name!r}")
    return index


def _read_checked(path: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    file = path / name
    if not file.is_file():
        raise _damaged(file, "the file is missing")
    data = file.read_bytes()
    if len(data) != entry.get("bytes") or _sha256(data) != entry.get("sha256"):
        raise _damaged(file, "its content does not match its checksum")
    return data


def _damaged(file: Path, met: str) -> ModelFileError:
    return ModelFileError(
        "A saved model must be complete and unchanged.",
        f"{file}: {met}.",
        "Copy the folder again from where it was saved, or train again.",
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _canonical(record: object) -> bytes:
    return json.dumps(record, sort_keys=True, allow_nan=False).encode()


def _content_name(stem: str, suffix: str, data: bytes) -> str:
    return f"{stem}-{_sha256(data)[:16]}.{suffix}"


class _Encoder:
    """Turns a value into JSON, putting arrays and long texts aside under their dotted key."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.texts: dict[str, str] = {}

    def encode(self, value: Any, hint: Any, key: str) -> Any:
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
        hints = typing.get_type_hints(type(value), include_extras=True)
        names = [field.name for field in dataclasses.fields(value)]
        return {name: self.encode(getattr(value, name), hints[name], f"{key}.{name}") for name in names}


def _encode_scalar(value: object, key: str) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{key}: {type(value).__name__} cannot be saved")


class _Decoder:
    """Builds what a type hint asks for, and nothing else, from a JSON record and the arrays and texts beside it."""

    def __init__(self, arrays: Mapping[str, Array], texts: Mapping[str, str], version: int) -> None:
        self._arrays = arrays
        self._texts = texts
        self._version = version

    def decode(self, record: Any, hint: Any, key: str) -> Any:
        origin = typing.get_origin(hint)
        if origin is Annotated and _LONG in hint.__metadata__:
            return self._texts[record["text"]]
        if origin in {typing.Union, types.UnionType}:
            return self.decode(record, _chosen(record, typing.get_args(hint), key), key)
        if origin is np.ndarray:
            return self._array(record, hint, key)
        if origin is tuple:
            return tuple(self.decode(item, _item_hint(hint, i), f"{key}.{i}") for i, item in enumerate(record))
        if dataclasses.is_dataclass(hint):
            return self._dataclass(record, hint, key)
        return _decode_scalar(record, hint, key)

    def _dataclass(self, record: Any, cls: Any, key: str) -> Any:
        if record["type"] != cls.__name__:
            raise _unknown(key, record["type"])
        upgrade = getattr(cls, "from_format_1", None)
        if upgrade is None or self._version != FIRST_FORMAT:
            return self._fields(record["fields"], cls, key)
        former = typing.get_type_hints(upgrade)["former"]
        return upgrade(self._fields(record["fields"], former, key))

    def _fields(self, fields: Any, cls: Any, key: str) -> Any:
        names = [field.name for field in dataclasses.fields(cls)]
        if set(fields) != set(names):
            raise _unknown(key, sorted(fields))
        hints = typing.get_type_hints(cls, include_extras=True)
        return cls(**{name: self.decode(fields[name], hints[name], f"{key}.{name}") for name in names})

    def _array(self, record: Any, hint: Any, key: str) -> Array:
        array = self._arrays[record["array"]]
        expected = typing.get_args(typing.get_args(hint)[1])[0]
        if str(array.dtype) != record["dtype"] or list(array.shape) != record["shape"]:
            raise _unknown(key, f"{array.dtype} {array.shape}")
        if array.dtype != expected:
            raise _unknown(key, f"{array.dtype} instead of {np.dtype(expected)}")
        return array


def _chosen(record: Any, options: tuple[Any, ...], key: str) -> Any:
    """Pick the one member of a union that the record can be."""
    if isinstance(record, dict) and "type" in record:
        fitting = [option for option in options if getattr(option, "__name__", "") == record["type"]]
    elif isinstance(record, dict):
        fitting = [option for option in options if option is float and "float" in record]
    else:
        fitting = [option for option in options if option is type(record)]
    if len(fitting) != 1:
        raise _unknown(key, record)
    return fitting[0]


def _item_hint(hint: Any, position: int) -> Any:
    arguments = typing.get_args(hint)
    return arguments[0] if arguments[1] is Ellipsis else arguments[position]


def _decode_scalar(record: Any, hint: Any, key: str) -> Any:
    if typing.get_origin(hint) is Literal and record in typing.get_args(hint):
        return record
    if hint is float and isinstance(record, dict):
        return float(record["float"])
    if type(record) is hint:
        return record
    raise _unknown(key, record)


def _unknown(key: str, met: object) -> ModelFileError:
    place = key.strip(".") or "the whole"
    return ModelFileError("", f"{place} holds {repr(met)[:80]}, which this version does not know", "")
