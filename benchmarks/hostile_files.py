"""Changes that an attacker may make outside of the record and the arrays: lists of files, bytes, texts, links."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hostile_models import Random, Saved, change_array, places, scalars

# -- Changes of the index and of files, with right checksums


def change_index(saved: Saved, rng: Random) -> None:
    """Change the index outside of the record: versions, lists of files and texts."""
    index = saved.index
    match int(rng.integers(6)):
        case 0:
            index["format_version"] = [1, 3, "2", None, 2.0, True][int(rng.integers(6))]
        case 1:
            keys = sorted(index.keys() - {"value"})
            index.pop(keys[int(rng.integers(len(keys)))])
        case 2:
            index["texts"] = [None, [], {"a": "b"}, {"": 1}, {".x": "model.json"}][int(rng.integers(5))]
        case 3:
            index["versions"] = scalars(rng, "1")
        case 4:
            index["further"] = scalars(rng, 1)
        case _:
            box, key = places(index)[int(rng.integers(len(places(index))))]
            box[key] = scalars(rng, box[key])


def change_entries(saved: Saved, rng: Random) -> None:
    """Change the names, sizes and checksums that the index lists, once they are known."""
    name = ["x" * 300, "a\0b", "..\\x", "/etc/passwd", "../x", "model.json", ".", "", "é", "CON", ".hidden"]
    entry: list[Any] = [None, [], 1, "x", {}, {"bytes": 1}, {"bytes": -1, "sha256": ""}, {"bytes": 8e9, "sha256": ""}]
    choice = (name[int(rng.integers(len(name)))], entry[int(rng.integers(len(entry)))])
    way = int(rng.integers(4))

    def change(files: dict[str, Any]) -> None:
        first = sorted(files)[0]
        if way == 0:
            files[choice[0]] = files.pop(first)
        elif way == 1:
            files[first] = choice[1]
        elif way == 2:
            files[choice[0]] = {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0}
        elif isinstance(files[first], dict):  # another change may have replaced it
            files[first][["bytes", "sha256"][int(rng.integers(2))]] = scalars(rng, 8)

    saved.entry_changes.append(change)


def change_bytes(saved: Saved, rng: Random) -> None:
    """Change the bytes of the arrays' file, most often in its header."""
    way, other_rng = int(rng.integers(6)), np.random.default_rng(int(rng.integers(2**32)))

    def change(data: bytes) -> bytes:
        match way:
            case 0:
                return data[: int(other_rng.integers(len(data)))]
            case 1:
                return data + bytes(int(other_rng.integers(1, 100)))
            case 2:
                return (1 << int(other_rng.integers(64))).to_bytes(8, "little") + data[8:]
            case 3:
                flipped = bytearray(data)
                for at in other_rng.integers(len(data), size=3):
                    flipped[at] ^= 1 << int(other_rng.integers(8))
                return bytes(flipped)
        return _with_other_header(data, other_rng)

    saved.array_changes.append(change)


def _with_other_header(data: bytes, rng: Random) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size].rstrip(), data[8 + size :]
    try:
        parsed: dict[str, Any] = json.loads(header)
    except (ValueError, RecursionError):
        return data  # an earlier change left no header
    if not parsed:
        return data  # or none that names an array
    name = list(parsed)[int(rng.integers(len(parsed)))]
    match int(rng.integers(5)):
        case 0:
            dtype = [b'"BF16"', b'"F32"', b'"F8_E4M3"', b'"X"'][int(rng.integers(4))]
            header = header.replace(b'"F64"', dtype, 1)
        case 1:
            parsed[name]["data_offsets"][int(rng.integers(2))] += int(rng.choice([-8, -1, 1, 8, 2**40, -(2**40)]))
            header = json.dumps(parsed).encode()
        case 2:
            header = header[:-1] + b", " + json.dumps({name: parsed[name]}).encode()[1:]
        case 3:
            parsed[name]["shape"] = [2**40, 2**40]
            header = json.dumps(parsed).encode()
        case _:
            header = b'{"a":' * 2000 + b"1" + b"}" * 2000
    return len(header).to_bytes(8, "little") + header + body


def change_text(saved: Saved, rng: Random) -> None:
    """Change a text: a number, a line, some bytes, or its end."""
    if not saved.files:
        change_array(saved, rng)
        return
    name = sorted(saved.files)[int(rng.integers(len(saved.files)))]
    data = saved.files[name]
    lines = data.split(b"\n")
    at = int(rng.integers(len(lines)))
    match int(rng.integers(6)):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[int(rng.integers(len(lines)))])
        case 2:
            lines = lines[:at]
        case 3:
            flipped = bytearray(data)
            flipped[int(rng.integers(len(flipped)))] = int(rng.integers(256))
            lines = [bytes(flipped)]
        case _:
            # One of the lines of numbers, so that the change usually has an effect.
            lines = _with_other_number(lines, rng)
    saved.files[name] = b"\n".join(lines)


def _with_other_number(lines: list[bytes], rng: Random) -> list[bytes]:
    numeric = [i for i, line in enumerate(lines) if b"=" in line and any(48 <= byte < 58 for byte in line)]
    if not numeric:
        return lines
    at = numeric[int(rng.integers(len(numeric)))]
    name, _, values = lines[at].partition(b"=")
    words = values.split(b" ")
    others = [
        b"-1",
        b"0",
        b"1",
        b"2",
        b"255",
        b"1000000",
        b"2147483648",
        b"1e308",
        b"nan",
        b"-inf",
        b"",
        b"x",
        b"9" * 40,
    ]
    words[int(rng.integers(len(words)))] = others[int(rng.integers(len(others)))]
    return [*lines[:at], name + b"=" + b" ".join(words), *lines[at + 1 :]]


# -- Changes of a folder that was written


def change_folder(path: Path, rng: Random) -> None:
    """Change a file of a model folder, but not its entry in ``model.json``."""
    match int(rng.integers(6)):
        case 0:
            os.truncate(path, int(rng.integers(path.stat().st_size)))
        case 1:
            os.truncate(path, int(rng.choice([2**33, path.stat().st_size + 1])))
        case 2:
            data = bytearray(path.read_bytes())
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(data))
        case 3:
            _replace(path, rng)
        case 4:
            depth = int(rng.choice([500, 5_000, 100_000]))
            _change_index_text(path, lambda text: text[:-1] + ', "x": ' + "[" * depth + "]" * depth + "}")
        case _:
            _change_index_text(path, lambda text: '{"format_version": 2, ' + text[1:])


def _replace(path: Path, rng: Random) -> None:
    other = path.rename(path.parent / "moved")
    match int(rng.integers(6)):
        case 0:
            path.symlink_to(other)
        case 1:
            path.hardlink_to(other)
        case 2:
            path.mkdir()
        case 3:
            os.mkfifo(path)
        case 4:
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to(path)


def _change_index_text(path: Path, change: Callable[[str], str]) -> None:
    index = path.parent / "model.json"
    index.write_text(change(index.read_text()))
