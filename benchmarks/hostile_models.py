"""The parts of a saved model, and changes that an attacker may make in its record and its arrays."""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

Random = np.random.Generator
Array = npt.NDArray[Any]


@dataclass
class Saved:
    """A saved model in parts, so that any part can be changed.

    Attributes
    ----------
    index
        ``model.json``, parsed.
    arrays
        By key.
    files
        Bytes of all files except for the file of the arrays.
    array_changes, entry_changes
        Changes of the bytes of the arrays' file, and of the list of files, which are made at the end.
    renamed
        Whether columns may have other names than the rows.
    """

    index: dict[str, Any]
    arrays: dict[str, Array]
    files: dict[str, bytes]
    array_changes: list[Callable[[bytes], bytes]] = field(default_factory=list)
    entry_changes: list[Callable[[dict[str, Any]], None]] = field(default_factory=list)
    renamed: bool = False


def write(saved: Saved, folder: Path) -> None:
    """Write a model folder whose checksums are right."""
    data = safetensors.numpy.save(saved.arrays)
    for change in saved.array_changes:
        data = change(data)
    contents = {f"arrays-{hashlib.sha256(data).hexdigest()[:16]}.safetensors": data, **saved.files}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files: dict[str, Any] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    for entry_change in saved.entry_changes:
        entry_change(files)
    index = saved.index | {"files": files}
    if "value" in index:
        index["value_sha256"] = hashlib.sha256(json.dumps(index["value"], sort_keys=True).encode()).hexdigest()
    (folder / "model.json").write_text(json.dumps(index))


# -- Parts of a record


def places(record: Any) -> list[tuple[Any, Any]]:
    """Return each container and key of a record, from the top down."""
    found = []
    items = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for key, value in items:
        found += [(record, key), *places(value)]
    return found


def array_records(record: Any, key: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return the records of arrays and long texts, with the keys that belong to their places."""
    if isinstance(record, list):
        return [item for i, value in enumerate(record) for item in array_records(value, f"{key}.{i}")]
    if not isinstance(record, dict):
        return []
    if "array" in record or "text" in record:
        return [(key, record)]
    fields = record["fields"].items() if isinstance(record.get("fields"), dict) else ()
    return [item for name, value in fields for item in array_records(value, f"{key}.{name}")]


def give_keys(saved: Saved) -> None:
    """Name all arrays and texts by their places, as a program would after a change; drop unused ones."""
    names = saved.index.get("texts")
    if not isinstance(names, dict):
        return
    arrays, texts = {}, {}
    for key, record in array_records(saved.index["value"]):
        if "array" in record and isinstance(record["array"], str) and record["array"] in saved.arrays:
            arrays[key] = saved.arrays[record["array"]]
            record["array"] = key
        elif isinstance(record.get("text"), str) and record["text"] in names:
            texts[key] = names[record["text"]]
            record["text"] = key
    saved.arrays, saved.index["texts"] = arrays, texts
    saved.files = {name: data for name, data in saved.files.items() if name in texts.values()}


# -- Changes of the record


def scalars(rng: Random, value: Any) -> Any:
    """Return a value that replaces another one."""
    near: list[Any] = []
    if isinstance(value, bool):
        near = [not value, int(value)]
    elif isinstance(value, int):
        near = [value + 1, value - 1, -value, 0, float(value), 2 * value + 1, 2**31, 2**63, 2**64 + value]
    elif isinstance(value, float):
        near = [-value, 0.0, value * 1e10, value * 1e-10, 1e300, -1e300, 5e-324, 1.0, 2.0, int(value)]
    elif isinstance(value, str):
        near = [
            "",
            value + "x",
            value[:-1],
            value.upper(),
            "x" * 300,
            "\0",
            "\x1b[31m",
            "\ud800",
            "../x",
            "/etc/passwd",
        ]
        near += ["value", "days", "hour", "month", "number", "category", "text", "identity", "temperature", "matrix"]
    far: list[Any] = [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        "a",
        [],
        {},
        [[]],
        {"float": "nan"},
        {"float": "inf"},
        {"float": "1e5"},
        10**400,
    ]
    options = near if near and rng.random() < 0.7 else far
    return copy.deepcopy(options[int(rng.integers(len(options)))])


def change_scalar(saved: Saved, rng: Random) -> None:
    """Put another value in the place of one."""
    found = [(box, key) for box, key in places(saved.index["value"]) if not isinstance(box[key], dict | list)]
    if found:
        box, key = found[int(rng.integers(len(found)))]
        box[key] = scalars(rng, box[key])
        saved.renamed = True


def change_list(saved: Saved, rng: Random) -> None:
    """Drop, double, move or empty the items of a list, and rename arrays."""
    lists = [box[key] for box, key in places(saved.index["value"]) if isinstance(box[key], list) and box[key]]
    if not lists:
        return
    items = lists[int(rng.integers(len(lists)))]
    at = int(rng.integers(len(items)))
    match int(rng.integers(5)):
        case 0:
            del items[at]
        case 1:
            items.insert(at, copy.deepcopy(items[at]))
        case 2:
            items.append(items.pop(at))
        case 3:
            items.clear()
        case _:
            items.append(scalars(rng, items[at]))
    saved.renamed = True
    if rng.random() < 0.8:
        give_keys(saved)


def change_dict(saved: Saved, rng: Random) -> None:
    """Drop, add or rename a key, or put another part of the record in its place."""
    found = [(box, key) for box, key in places(saved.index["value"]) if isinstance(box, dict)]
    if not found:
        return
    box, key = found[int(rng.integers(len(found)))]
    other_box, other_key = found[int(rng.integers(len(found)))]
    match int(rng.integers(5)):
        case 0:
            del box[key]
        case 1:
            box[f"{key}_"] = box.pop(key)
        case 2:
            box["further"] = 1
        case _:
            alike = [(a, b) for a, b in found if isinstance(a[b], dict) and a[b].get("type") == _type(box[key])]
            if alike:
                other_box, other_key = alike[int(rng.integers(len(alike)))]
            box[key] = copy.deepcopy(other_box[other_key])
    saved.renamed = True
    if rng.random() < 0.8:
        give_keys(saved)


def _type(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else None


# -- Changes of arrays


def change_array(saved: Saved, rng: Random) -> None:
    """Give an array another shape or dtype, or other values."""
    if not saved.arrays:
        return
    key = sorted(saved.arrays)[int(rng.integers(len(saved.arrays)))]
    kinds = (_other_shape, _other_dtype, _other_values, _other_values, _far_values)
    changed = kinds[int(rng.integers(len(kinds)))](saved.arrays[key], rng)
    saved.arrays[key] = np.ascontiguousarray(changed) if changed.ndim else changed
    if rng.random() < 0.85:
        for _, record in array_records(saved.index["value"]):
            if record.get("array") == key:
                record["dtype"], record["shape"] = str(changed.dtype), list(changed.shape)


def _other_shape(array: Array, rng: Random) -> Array:
    if not array.ndim or not array.size:
        return np.zeros(int(rng.integers(1, 4)), array.dtype)
    axis = int(rng.integers(array.ndim))
    at = int(rng.integers(array.shape[axis]))
    options: list[Callable[[], Array]] = [
        lambda: np.delete(array, at, axis),
        lambda: np.insert(array, at, np.take(array, at, axis), axis),
        lambda: np.concatenate([array, array], axis),
        lambda: np.take(array, [], axis),
        lambda: array.T,
        array.ravel,
        lambda: array[None],
        lambda: array.reshape(-1, 1),
        lambda: array.ravel()[:1].reshape(()),
        lambda: np.take(array, rng.permutation(array.shape[axis]), axis),
    ]
    return options[int(rng.integers(len(options)))]()


def _other_dtype(array: Array, rng: Random) -> Array:
    dtypes = ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u4", "u8", "?")
    with np.errstate(all="ignore"):
        return array.astype(dtypes[int(rng.integers(len(dtypes)))])


def _other_values(array: Array, rng: Random) -> Array:
    """Change a few values by numbers of similar size."""
    changed = array.copy()
    flat = changed.reshape(-1)
    if not flat.size:
        return changed
    at = rng.integers(flat.size, size=int(rng.integers(1, 4)))
    with np.errstate(all="ignore"):
        options = [
            ~flat[at] if array.dtype.kind == "b" else -flat[at],
            flat[at] * 2 + 1,
            flat[at[::-1]],
            np.zeros_like(flat[at]),
            flat[(at + 1) % flat.size],
        ]
        flat[at] = options[int(rng.integers(len(options)))]
    return changed


def _far_values(array: Array, rng: Random) -> Array:
    """Change a few values, or all, to NaN, infinity, or the ends of the dtype."""
    changed = array.copy()
    flat = changed.reshape(-1)
    if not flat.size:
        return changed
    at = slice(None) if rng.random() < 0.2 else rng.integers(flat.size, size=int(rng.integers(1, 4)))
    if array.dtype.kind == "f":
        limits = np.finfo(array.dtype)
        options = [
            np.nan,
            np.inf,
            -np.inf,
            limits.max,
            limits.min,
            limits.tiny,
            -limits.tiny,
            limits.max / 1e6,
            1e9,
            0.0,
        ]
    else:
        ends = (0, 1) if array.dtype.kind == "b" else (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
        options = [*ends, 0, 1, 100]
    flat[at] = options[int(rng.integers(len(options)))]
    return changed


def change_pair(saved: Saved, rng: Random) -> None:
    """Change all arrays of the same length in the same way, as for one class, feature or row less or more."""
    lengths = sorted({length for array in saved.arrays.values() for length in array.shape if 1 < length < 1000})
    if not lengths:
        return
    length, more = lengths[int(rng.integers(len(lengths)))], rng.random() < 0.5
    for key, array in saved.arrays.items():
        for axis, size in enumerate(array.shape):
            if size == length and rng.random() < 0.9:
                index = [*range(length), 0] if more else list(range(length - 1))
                saved.arrays[key] = np.take(saved.arrays[key], index, axis)
    for _, record in array_records(saved.index["value"]):
        if isinstance(record.get("array"), str) and record["array"] in saved.arrays:
            record["shape"] = list(saved.arrays[record["array"]].shape)
