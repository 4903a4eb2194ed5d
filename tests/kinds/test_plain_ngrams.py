from collections import Counter

import pytest
from sklearn.feature_extraction.text import CountVectorizer

from crossent.kinds.ngrams import alphabet
from crossent.kinds.plain_ngrams import ngram_finder

TEXT = "it was the best of times it was the worst of times a b ab ça naïve 1984 в чащах юга"


def found(text: str, *, pieces: bool) -> Counter[str]:
    return Counter(name for hash_, name in ngram_finder(alphabet())(text) if hash_ & 1 == pieces)


def counted(text: str, **settings: object) -> Counter[str]:
    """The n-grams of scikit-learn."""
    return Counter(CountVectorizer(lowercase=False, **settings).build_analyzer()(text))


def test_pieces_are_those_of_scikit_learn() -> None:
    assert found(TEXT, pieces=True) == counted(TEXT, analyzer="char_wb", ngram_range=(2, 5))


def test_words_and_pairs_are_those_of_scikit_learn() -> None:
    assert found(TEXT, pieces=False) == counted(TEXT, token_pattern=r"\w+", ngram_range=(1, 2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't stop!!!", {"don", "'", "t", "stop", "!!!", "don t", "t stop"}),
        ("हिन्दी में", {"हिन्दी", "में", "हिन्दी में"}),
        ("สวัสดี", {"สวัสดี"}),
        ("a\x00b\ud800c", {"a", "b", "c", "a b", "b c"}),
        (" \t\n ", set()),
        ("", set()),
    ],
)
def test_words_by_hand(text: str, words: set[str]) -> None:
    assert set(found(text, pieces=False)) == words


def test_different_ngrams_have_different_hashes() -> None:
    hashes: dict[int, str] = {}
    text = " ".join(f"{first}{second}" for first in "abcdefgh" for second in range(500))
    for hash_, name in ngram_finder(alphabet())(text):
        assert hashes.setdefault(hash_, name) == name
