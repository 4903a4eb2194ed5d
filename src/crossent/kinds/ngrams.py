"""Counts the n-grams of texts: normalisation, and the choice between the kernel and NumPy."""

import functools
import itertools
import re
import unicodedata
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from crossent.kernels.library import info
from crossent.kernels.ngrams import LETTER, SYMBOL, Alphabet, Documents, NgramCounts, count_ngrams
from crossent.kinds.plain_ngrams import count_plain_ngrams, ngram_finder
from crossent.threads import processors

# Smallest and largest number of characters in a piece of a word, with a space before and after the word.
SHORTEST_PIECE, LONGEST_PIECE = 2, 5
# Code points above this are not letters of any script, but variation selectors and private use.
LAST_LETTER = 0x323AF
# Counting fewer bytes of text than this is quicker than starting a second thread.
BYTES_FOR_THREADS = 1 << 18

# Joiners, direction marks and soft hyphens, which occur inside words and do not change their meaning.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")


def normalise(text: str) -> str:
    """Return a text without differences that do not distinguish words: case, compatibility forms, invisible characters.

    Examples
    --------
    >>> normalise("STRASSE, Straße, 5 m²")
    'strasse, strasse, 5 m2'
    """
    if text.isascii():
        return text.lower()
    # Case folding can leave characters that must be composed again, such as the final sigma with its accent.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _INVISIBLE.sub("", folded)


@functools.cache
def alphabet() -> Alphabet:
    """Return how texts are cut: letters, their marks and digits make words; punctuation and symbols stand alone."""
    kind_of = {"L": LETTER, "M": LETTER, "N": LETTER, "P": SYMBOL, "S": SYMBOL}
    kinds = [kind_of.get(unicodedata.category(chr(point))[0], 0) for point in range(LAST_LETTER + 1)]
    return Alphabet(np.array(kinds, np.uint8), SHORTEST_PIECE, LONGEST_PIECE)


def documents_of(texts: Sequence[str]) -> Documents:
    """Return normalised texts in the form that the kernel takes."""
    # Half of a surrogate pair is not a character, but strings from JSON may hold it; it separates words.
    encoded = [normalise(text).encode("utf-8", "surrogatepass") for text in texts]
    ends = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    return Documents(b"".join(encoded), ends)


def count(texts: Sequence[str]) -> NgramCounts:
    """Count the n-grams of texts: words, pairs of neighbouring words, and pieces of words.

    Parameters
    ----------
    texts
        n texts in any language.

    Returns
    -------
    counts
        Hashes ascend. The last bit of a hash is 1 for pieces and 0 for words and pairs.

    Examples
    --------
    >>> counts = count(["to be or not to be"])
    >>> words = counts.hashes[counts.ids] % 2 == 0
    >>> counts.counts[words]  # to, be, "to be", or, "be or", not, "or not", "not to"
    array([2, 2, 2, 1, 1, 1, 1, 1], dtype=int32)
    """
    documents = documents_of(texts)
    count_part = count_ngrams if info().available else count_plain_ngrams
    threads = processors() if len(documents.text) >= BYTES_FOR_THREADS else 1
    parts = _parts_of_like_size(documents, threads)
    with ThreadPoolExecutor(threads) as pool:
        return _joined(list(pool.map(lambda part: count_part(documents.take(part), alphabet()), parts)), pool)


def _parts_of_like_size(documents: Documents, count: int) -> list[slice]:
    shares = documents.ends[-1] * np.arange(1, count) // count
    cuts = [0, *np.searchsorted(documents.ends[:-1], shares).tolist(), len(documents)]
    return [slice(begin, end) for begin, end in itertools.pairwise(cuts)]


def _joined(parts: list[NgramCounts], pool: ThreadPoolExecutor) -> NgramCounts:
    hashes, numbers = np.unique(np.concatenate([part.hashes for part in parts]), return_inverse=True)
    numbers_of_parts = np.split(numbers.astype(np.int32), np.cumsum([len(part.hashes) for part in parts])[:-1])
    ids = pool.map(lambda part, of_part: of_part[part.ids], parts, numbers_of_parts)
    begins = np.cumsum([0, *(len(part.ids) for part in parts)])
    ends = [part.ends[1:] + begin for part, begin in zip(parts, begins[:-1], strict=True)]
    return NgramCounts(
        np.concatenate([np.zeros(1, np.int64), *ends]),
        np.concatenate(list(ids)),
        np.concatenate([part.counts for part in parts]),
        hashes,
    )


def names(text: str, wanted: Container[int]) -> dict[int, str]:
    """Return the n-grams of a text that have one of some hashes, by hash; spaces mark where words begin and end.

    Examples
    --------
    >>> counts = count(["ab"])
    >>> sorted(names("ab", counts.hashes.tolist()).values())
    [' a', ' ab', ' ab ', 'ab', 'ab', 'ab ', 'b ']
    """
    return {hash_: name for hash_, name in ngram_finder(alphabet())(normalise(text)) if hash_ in wanted}
