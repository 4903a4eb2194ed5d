from pathlib import Path

import pytest

from crossent.data.utf8 import to_utf8
from crossent.errors import DataError

PATH = Path("file.txt")


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("grün".encode(), "utf-8"),
        ("grün".encode("utf-8-sig"), "UTF_8"),
        ("grün".encode("latin-1"), "latin-1"),
        ("grün".encode("utf-16"), "utf-8"),
    ],
)
def test_known_encodings_become_utf8(data: bytes, encoding: str) -> None:
    assert to_utf8(PATH, data, encoding) == "grün".encode()


def test_bytes_that_are_no_text_are_an_error_with_their_line() -> None:
    with pytest.raises(DataError, match=r"file.txt, line 2, has the byte 0xff.*Name its encoding"):
        to_utf8(PATH, b"fine\n\xff\xff", "utf-8")


def test_unknown_encoding_is_an_error() -> None:
    with pytest.raises(DataError, match="does not know 'klingon'"):
        to_utf8(PATH, b"a", "klingon")


@pytest.mark.parametrize("encoding", ["zlib", "hex", "undefined", "a\0b", "idna"])
def test_codecs_of_no_text_are_an_error(encoding: str) -> None:
    with pytest.raises(DataError):
        to_utf8(PATH, b"a,b\n\xff", encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_character_may_lie_across_the_parts_that_are_decoded(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr("crossent.data.utf8._PART", 3)
    text = "größer, ü\n" * 5
    assert to_utf8(PATH, text.encode(encoding), encoding) == text.encode()
    with pytest.raises(DataError, match="line 6"):
        to_utf8(PATH, (text + "ü").encode("utf-8")[:-1], "utf-8")
