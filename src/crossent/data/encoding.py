"""Bytes of text files to UTF-8."""

from pathlib import Path

from crossent.errors import DataError


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
        # The BOM that spreadsheets put first would become part of the first column's name.
        if encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
            data = data.removeprefix(b"\xef\xbb\xbf")
            data.decode("utf-8")
            return data
        return data.decode(encoding).encode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"The file must be text in the encoding {encoding}.",
            f"{path}, line {line}, has the byte 0x{data[error.start]:02x}, which is not.",
            "Name its encoding (--encoding latin-1, encoding='cp1252'), or save it as UTF-8.",
        ) from error
    except LookupError as error:
        raise DataError(
            "The encoding must be one that Python knows.",
            f"{encoding!r} is not.",
            "Try utf-8, latin-1, cp1252, utf-16.",
        ) from error
