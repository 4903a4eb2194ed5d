"""Frozen dataclasses to a folder and back: JSON for structure, safetensors for arrays, plain text for long strings.

The type hints of the dataclass say all that a file may hold, so loading builds only what the caller asked for: no
class is named by the file alone, and no code runs from it. Data files carry a part of their sha256 in their name and
the index, ``model.json``, is replaced last and at once: a crash at any instant leaves the previous model whole.

What is loaded may come from anyone. The index is at most 64 MiB, a model has at most 1,000 files of together 16 GiB;
the environment variables ``CROSSENT_MODEL_JSON_MIB`` and ``CROSSENT_MODEL_MIB`` raise the first and the last of these.
"""

import json
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import safetensors.numpy

from crossent.disk import naming, write_file
from crossent.errors import ModelFileError
from crossent.model_files import (
    INDEX_LIMIT,
    MOST_INDEX_MIB,
    MOST_TOTAL_MIB,
    TOTAL_LIMIT,
    check_limit,
    damaged,
    parse_arrays,
    parse_json,
    read_file,
    sha256,
)
from crossent.records import LongText, RecordDecoder, RecordEncoder

__all__ = ["LongText", "load_folder", "save_folder"]

FORMAT = "crossent-model"
FORMAT_VERSION = 2
# Models of the first format are converted to the second when they are loaded.
FIRST_FORMAT = 1
INDEX = "model.json"
MOST_FILES = 1_000

_INDEX_KEYS = {"format", "format_version", "versions", "files", "texts", "value_sha256", "value"}
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")

T = TypeVar("T")


def save_folder(path: Path, value: object, versions: Mapping[str, str]) -> None:
    """Write a frozen dataclass to a folder.

    Parameters
    ----------
    path
        The folder; made if it does not exist. A model that is there already is replaced completely or not at all.
    value
        A dataclass of strings, numbers, arrays, tuples, string-keyed mappings and further dataclasses, each of the type
        that its field declares: it is loaded equal. A whole number in a field of float is loaded as that float.
    versions
        Library versions to record, by name.

    Raises
    ------
    ModelFileError
        If the path is a file, or a folder that holds something other than a model, or if a value is not of the type
        that its field declares, so that it could not be loaded.
    DiskError
        If a file cannot be written; a model that was there is then whole.
    """
    with naming(path):
        old_files = _files_to_replace(path)
    encoder = RecordEncoder()
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
        "files": {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in contents.items()},
        "texts": text_names,
        "value_sha256": sha256(_canonical(record)),
        "value": record,
    }
    with naming(path):
        path.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        write_file(path / name, data)
    write_file(path / INDEX, json.dumps(index, indent=1, allow_nan=False, ensure_ascii=False).encode())
    for name in old_files - contents.keys():
        (path / name).unlink(missing_ok=True)


def load_folder(path: Path, cls: type[T]) -> T:
    """Read what `save_folder` wrote, checking every hash, shape and type on the way.

    A dataclass whose fields have changed since format 1 has a class method ``from_format_1``. Its one argument,
    ``former``, is annotated with a dataclass of the fields as they were, called by the name of that time if the class
    had another: these are read by the same rules, and the method makes of them what the class is now.

    Raises
    ------
    ModelFileError
        If there is no model, if a file is missing, damaged, a link or larger than the limits, or if anything in it is
        not known to this version.
    """
    index = _read_index(path)
    contents = {name: _read_checked(path, name, entry) for name, entry in index["files"].items()}
    arrays = _arrays_of(path, contents)
    texts = _texts_of(path, index["texts"], contents)
    decoder = RecordDecoder(arrays, texts, former=index["format_version"] == FIRST_FORMAT)
    try:
        value = decoder.decode(index["value"], cls, "")
    except ModelFileError as error:
        raise damaged(path / INDEX, error.met) from error
    except RecursionError as error:
        raise damaged(path / INDEX, "it is nested too deeply") from error
    if arrays or texts:
        raise damaged(path / INDEX, f"nothing in it uses {repr(sorted((*arrays, *texts)))[:80]}")
    return typing.cast("T", value)


def _files_to_replace(path: Path) -> set[str]:
    if not path.exists():
        return set()
    rule, fix = "A model is saved to a folder that holds nothing else.", "Give a new folder, or one that holds a model."
    if not path.is_dir():
        raise ModelFileError(rule, f"{path} is a file.", fix)
    if not any(path.iterdir()):
        return set()
    if not (path / INDEX).is_file():
        raise ModelFileError(rule, f"{path} holds other files and no {INDEX}.", fix)
    return set(_read_index(path)["files"])


def _read_index(path: Path) -> dict[str, Any]:
    """Return the index; all of it is checked except for the record of the value."""
    file = path / INDEX
    rule, fix = f"A saved model is a folder with a {INDEX}.", "Give the folder that `save` wrote."
    try:
        is_there = file.is_file() or file.is_symlink()
    except OSError as error:
        # The name is too long, or the folder may not be read.
        raise ModelFileError(rule, f"{str(path)[:200]!r} cannot be read ({error.strerror}).", fix) from error
    if not is_there:
        raise ModelFileError(rule, f"{path} has no {INDEX}.", fix)
    data = read_file(file, lambda size: check_limit(f"The {INDEX} of a model", size, INDEX_LIMIT, MOST_INDEX_MIB))
    try:
        index = parse_json(data)
    except ValueError as error:
        raise damaged(file, f"it is not JSON of a model ({error})") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise damaged(file, "it is not a crossent model")
    version = index.get("format_version")
    if type(version) is not int or version not in {FIRST_FORMAT, FORMAT_VERSION}:
        raise ModelFileError(
            f"This version of crossent reads model formats {FIRST_FORMAT} and {FORMAT_VERSION}.",
            f"{file} has format {repr(version)[:80]}.",
            "Load it with the version of crossent that wrote it (named in the file), or train again.",
        )
    if set(index) != _INDEX_KEYS or not all(isinstance(index[key], dict) for key in ("versions", "files", "texts")):
        raise damaged(file, "parts of it are missing, or not known to this version")
    try:
        checksum = sha256(_canonical(index["value"]))
    except RecursionError as error:
        raise damaged(file, "it is nested too deeply") from error
    if checksum != index["value_sha256"]:
        raise damaged(file, "its content does not match its checksum")
    _check_files(file, index["files"])
    return index


def _check_files(file: Path, files: dict[str, Any]) -> None:
    """Check the names and entries of the files that an index lists, before any of them is opened."""
    if len(files) > MOST_FILES:
        raise damaged(file, f"it names {len(files):,} files, and a model has at most {MOST_FILES:,}")
    for name, entry in files.items():
        if not _FILE_NAME.fullmatch(name) or name == INDEX:
            raise damaged(file, f"it names a file that no model has, {repr(name)[:80]}")
        if not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"}:
            raise damaged(file, f"its entry of {name} is {repr(entry)[:80]}")
        if type(entry["bytes"]) is not int or not 0 <= entry["bytes"] < 2**63 or type(entry["sha256"]) is not str:
            raise damaged(file, f"its entry of {name} is {repr(entry)[:80]}")
    check_limit("A model", sum(entry["bytes"] for entry in files.values()), TOTAL_LIMIT, MOST_TOTAL_MIB)


def _read_checked(path: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    file = path / name

    def check_size(size: int) -> None:
        if size != entry["bytes"]:
            raise damaged(file, f"it has {size:,} bytes, and {entry['bytes']:,} when it was saved")

    data = read_file(file, check_size)
    if sha256(data) != entry["sha256"]:
        raise damaged(file, "its content does not match its checksum")
    return data


def _arrays_of(path: Path, contents: Mapping[str, bytes]) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, data in contents.items():
        if name.endswith(".safetensors"):
            try:
                further = parse_arrays(data)
            except ValueError as error:
                raise damaged(path / name, str(error)) from error
            if twice := arrays.keys() & further.keys():
                raise damaged(path / name, f"another file has arrays of the same names, {repr(sorted(twice))[:80]}")
            arrays |= further
    return arrays


def _texts_of(path: Path, names: Mapping[str, Any], contents: Mapping[str, bytes]) -> dict[str, str]:
    texts = {}
    for key, name in names.items():
        if type(name) is not str or name not in contents:
            raise damaged(path / INDEX, f"it lists no file {repr(name)[:80]}")
        try:
            texts[key] = contents[name].decode()
        except UnicodeDecodeError as error:
            raise damaged(path / name, f"it is not text ({error})") from error
    unused = {name for name in contents if not name.endswith(".safetensors")} - set(names.values())
    if unused:
        raise damaged(path / INDEX, f"nothing in it uses the files {repr(sorted(unused))[:80]}")
    return texts


def _canonical(record: object) -> bytes:
    return json.dumps(record, sort_keys=True, allow_nan=False).encode()


def _content_name(stem: str, suffix: str, data: bytes) -> str:
    return f"{stem}-{sha256(data)[:16]}.{suffix}"
