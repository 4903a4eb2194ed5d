import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossent.kinds.ngrams as module
from crossent.kinds.ngrams import alphabet, count, documents_of, names, normalise
from crossent.kinds.plain_ngrams import count_plain_ngrams


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("e\u0301te\u0301", "été"),
        ("\uff26\uff35\uff2c\uff2c\u3000\uff57", "full w"),
        ("ﬁn", "fin"),
        ("co\u00adop", "coop"),
        ("\ufeffmark", "mark"),
        ("①", "1"),
    ],
)
def test_what_reads_the_same_is_the_same(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@given(st.text())
def test_normal_text_stays_as_it_is(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{number}" for number in rng.integers(500, size=rng.integers(60))) for _ in range(200)]
    alone = count(texts)
    monkeypatch.setattr(module, "BYTES_FOR_THREADS", 1)
    monkeypatch.setattr(module, "processors", lambda: 5)
    together = count(texts)
    for name in ("ends", "ids", "counts", "hashes"):
        assert np.array_equal(getattr(alone, name), getattr(together, name))


def test_kernel_and_python_give_the_same_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Grüße aus Köln!", "", "中文字符", "the cat sat on the mat"]
    native = count(texts)
    monkeypatch.setattr(module, "count_ngrams", count_plain_ngrams)
    plain = count(texts)
    for name in ("ends", "ids", "counts", "hashes"):
        assert np.array_equal(getattr(native, name), getattr(plain, name))


def test_documents_are_their_bytes() -> None:
    documents = documents_of(["Ab", "", "ß"])
    assert documents.text == b"abss"
    assert documents.ends.tolist() == [0, 2, 2, 4]


def test_names_are_found_by_their_hashes() -> None:
    text = "Red wine"
    counts = count([text])
    words = {int(hash_) for hash_ in counts.hashes if hash_ % 2 == 0}
    assert set(names(text, words).values()) == {"red", "wine", "red wine"}
    assert names(text, set()) == {}


def test_letters_of_all_scripts_make_words() -> None:
    kinds = alphabet().kinds
    for letter in "aßжش中あ한ไ\u0e31\u093f7":
        assert kinds[ord(letter)] == 1, letter
    for symbol in "!?-€+":
        assert kinds[ord(symbol)] == 2
    for separator in " \n\t\u3000\u00a0":
        assert kinds[ord(separator)] == 0
