import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.kernels import info
from crossent.kernels.ngrams import Documents, NgramCounts, count_ngrams
from crossent.kinds.ngrams import alphabet, documents_of
from crossent.kinds.plain_ngrams import count_plain_ngrams

pytestmark = pytest.mark.skipif(not info().available, reason="there are no kernels here")

# Any characters, half surrogate pairs too, and such as make words in several scripts.
TEXTS = st.lists(st.text() | st.text(st.sampled_from("ab aß éê\u0301 中文 ไทย हिन्दी 😀! \ud800")), max_size=5)


def same(first: NgramCounts, second: NgramCounts) -> bool:
    return (
        np.array_equal(first.ends, second.ends)
        and np.array_equal(first.counts, second.counts)
        and np.array_equal(first.hashes[first.ids], second.hashes[second.ids])
        and set(first.hashes.tolist()) == set(second.hashes.tolist())
    )


@given(TEXTS)
def test_the_kernel_counts_as_python_does(texts: list[str]) -> None:
    documents = documents_of(texts)
    assert same(count_ngrams(documents, alphabet()), count_plain_ngrams(documents, alphabet()))


def test_long_words_and_many_documents() -> None:
    rng = np.random.default_rng(0)
    texts = [
        "".join(rng.choice(list("abc "), size=size, p=[0.33, 0.33, 0.33, 0.01])) for size in (0, 1, 63, 64, 65, 5000)
    ]
    texts += [" ".join(f"w{number}" for number in rng.integers(3000, size=200)) for _ in range(50)]
    documents = documents_of(texts)
    assert same(count_ngrams(documents, alphabet()), count_plain_ngrams(documents, alphabet()))


def test_a_part_of_the_documents_is_counted_alone() -> None:
    documents = documents_of(["one two", "zwei", "trois"])
    part = count_ngrams(documents.take(slice(1, 2)), alphabet())
    assert same(part, count_ngrams(documents_of(["zwei"]), alphabet()))


def test_text_that_ends_within_a_character_is_read_to_its_end() -> None:
    for text in (b"a\xf0\x9f", b"\xe4\xb8", b"\xc3", b"\xff\xfe"):
        cut = Documents(text, np.array([0, len(text)]))
        assert count_ngrams(cut, alphabet()).ends[0] == 0
