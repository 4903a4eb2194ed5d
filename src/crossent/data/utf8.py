"""Converts the bytes of text files to UTF-8."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from crossent.errors import DataError

# Number of bytes that are decoded at a time.
_PART = 1 << 20


def to_utf8(path: Path, data: bytes, encoding: str) -> bytes:
    """Return the content of a text file as UTF-8 without a byte order mark.

    Raises
    ------
    DataError
        If it is not text in the encoding, or Python does not know the encoding.
    """
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        encoding = "utf-16"
    try:
        # The byte order mark that spreadsheets write first would become part of the first column's name.
        if encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
            data = data.removeprefix(b"\xef\xbb\xbf")
            for _ in _decoded(data, "utf-8"):
                pass
            return data
        return b"".join(part.encode() for part in _decoded(data, encoding))
    except UnicodeError as error:
        raise DataError(
            f"The file must be text in the encoding {encoding}.",
            f"{path}{_place(data, encoding)} is not text in this encoding.",
            "Name its encoding (--encoding latin-1, encoding='cp1252'), or save it as UTF-8.",
        ) from error
    except (LookupError, ValueError) as error:
        raise DataError(
            "The encoding must be one that Python knows.",
            f"Python does not know {encoding!r}.",
            "Try utf-8, latin-1, cp1252, utf-16.",
        ) from error


def _decoded(data: bytes, encoding: str) -> Iterator[str]:
    """Yield the text in parts, because all of it takes up to four times the memory of its bytes."""
    # Codecs that turn bytes into bytes, such as zlib, are refused here.
    "a".encode(encoding)
    decoder = codecs.getincrementaldecoder(encoding)()
    for begin in range(0, len(data), _PART):
        yield decoder.decode(data[begin : begin + _PART], final=begin + _PART >= len(data))


def _place(data: bytes, encoding: str) -> str:
    """Return the place of the first byte that does not fit, if the encoding can tell."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return f", line {line}, has the byte 0x{data[error.start]:02x}, which"
    except UnicodeError:
        pass
    return ""
