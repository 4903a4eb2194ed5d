"""Reading the files of a model: plain files within stated limits, each checked before it is read or trusted.

Nothing here follows a link, waits for a device, or reads a file whose size is not what the model says.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import safetensors
import safetensors.numpy

from crossent.errors import ModelFileError, SettingError

MIB = 1 << 20
# Environment variables that raise the limits, and the limits without them, in MiB.
INDEX_LIMIT, MOST_INDEX_MIB = "CROSSENT_MODEL_JSON_MIB", 64
TOTAL_LIMIT, MOST_TOTAL_MIB = "CROSSENT_MODEL_MIB", 16_384

# Opening must not wait for a FIFO. Windows lacks the first three flags, and needs the last one to read plain bytes.
_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


def read_file(path: Path, check_size: Callable[[int], None]) -> bytes:
    """Return the content of a plain file.

    Parameters
    ----------
    path
        The file. It must have only one name: a change through another link would not be noticed here.
    check_size
        Called with the size in bytes before the file is read; raises an error if the size is wrong.

    Raises
    ------
    ModelFileError
        If it is missing, cannot be read, is a link, has further hard links, or is not a plain file.
    """
    if path.is_symlink():
        raise damaged(path, "it is a symbolic link")
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError as error:
        raise damaged(path, "the file is missing") from error
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror or error})") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise damaged(path, "it is not a plain file")
        if status.st_nlink > 1:
            raise damaged(path, f"it is a hard link; the file has {status.st_nlink} names")
        check_size(status.st_size)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror or error})") from error
    finally:
        os.close(descriptor)


def check_limit(what: str, size: int, variable: str, most_mib: int) -> None:
    """Check a size in bytes against a limit, which an environment variable sets in MiB.

    Raises
    ------
    ModelFileError
        If the size is above the limit; the error names the variable.
    SettingError
        If the variable is not a whole number above 0.
    """
    text = os.environ.get(variable, str(most_mib))
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise SettingError(
            f"{variable} is a whole number of MiB.", f"It is {text[:80]!r}.", "Set it to a whole number, or unset it."
        )
    if size > int(text) * MIB:
        raise ModelFileError(
            f"{what} has at most {int(text):,} MiB.",
            f"This one has {-(-size // MIB):,} MiB.",
            f"If the model is yours, set the environment variable {variable} to more.",
        )


def parse_json(data: bytes) -> Any:
    """Return the value that a JSON text holds.

    Raises
    ------
    ValueError
        If it is not UTF-8 or not JSON, if an object has a key twice, if a number is not finite, or if lists and objects
        are nested too deeply.
    """
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_with_distinct_keys, parse_constant=_finite, parse_float=_finite
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _with_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) < len(pairs):
        raise ValueError(f"a key comes twice among {repr([key for key, _ in pairs])[:80]}")
    return items


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:80]} is not finite")
    return number


def parse_arrays(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a safetensors file by name.

    Raises
    ------
    ValueError
        If it is damaged, has a name twice, or has numbers of a type that NumPy lacks.
    """
    # The library takes the last of two arrays of one name.
    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
    try:
        arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"its arrays cannot be read ({type(error).__name__}: {str(error)[:200]})") from error
    if set(header) - {"__metadata__"} != set(arrays):
        raise ValueError(f"its header names other arrays than it holds: {repr(sorted(header))[:80]}")
    return arrays


def sha256(data: bytes) -> str:
    """Return the hexadecimal checksum of some bytes."""
    return hashlib.sha256(data).hexdigest()


def damaged(file: Path, met: str) -> ModelFileError:
    """Return the error of a file that is not as it was saved."""
    return ModelFileError(
        "A saved model must be complete and unchanged, of plain files.",
        f"{file}: {met}.",
        "Copy the folder again from where it was saved, without links, or train again.",
    )
