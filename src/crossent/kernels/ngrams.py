"""The kernel of n-grams: counts the n-grams of documents, by ctypes."""

import ctypes
import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.fits import check_array, check_ends
from crossent.kernels.library import open_library

# The kinds of code points.
SEPARATOR, LETTER, SYMBOL = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Documents:
    """Normalised texts.

    Attributes
    ----------
    text
        UTF-8 of all n documents, one after another.
    ends
        ``(n + 1,)`` int64: where each document begins, in bytes, and at the end where the last one ends.
    """

    text: bytes
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return n."""
        return len(self.ends) - 1

    def take(self, documents: slice) -> "Documents":
        """Return some of the documents, without a copy of their text."""
        begin, end, _ = documents.indices(len(self))
        return Documents(self.text, self.ends[begin : end + 1])


@dataclass(frozen=True)
class Alphabet:
    """How texts are cut into n-grams.

    Attributes
    ----------
    kinds
        uint8 kind of each code point: separator, letter or symbol; further code points are separators.
    shortest_piece, longest_piece
        Number of characters of a piece of a word, which includes a space before and after the word.
    """

    kinds: npt.NDArray[np.uint8]
    shortest_piece: int
    longest_piece: int


@dataclass(frozen=True, eq=False)
class NgramCounts:
    """N-grams of documents as compressed sparse rows, in the order of their first occurrence in the document.

    Attributes
    ----------
    ends
        ``(n + 1,)`` int64: where the elements of each document begin, and at last end.
    ids
        int32 n-gram of each element.
    counts
        int32: how often it occurs in the document.
    hashes
        ``(m,)`` uint64 hash of each n-gram; all are different.
    """

    ends: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]


class _NgramProblem(ctypes.Structure):
    """The struct of the same name in ngrams.h."""

    _fields_ = (
        ("documents", ctypes.c_int64),
        ("text", ctypes.c_char_p),
        ("ends", ctypes.c_void_p),
        ("kinds", ctypes.c_void_p),
        ("kinds_size", ctypes.c_int64),
        ("shortest_piece", ctypes.c_int64),
        ("longest_piece", ctypes.c_int64),
        ("elements", ctypes.c_int64),
        ("distinct", ctypes.c_int64),
    )


def count_ngrams(documents: Documents, alphabet: Alphabet) -> NgramCounts:
    """Count words, pairs of words and pieces of words, in one thread.

    Parameters
    ----------
    documents
        Normalised texts.
    alphabet
        How to cut them.

    Raises
    ------
    MemoryError
        If there is too little memory.
    """
    check_ends("the ends of documents", documents.ends, len(documents), len(documents.text))
    check_array("kinds", alphabet.kinds, (len(alphabet.kinds),), np.uint8)
    library = _library()
    problem = _NgramProblem(
        documents=len(documents),
        text=documents.text,
        ends=documents.ends.ctypes.data,
        kinds=alphabet.kinds.ctypes.data,
        kinds_size=len(alphabet.kinds),
        shortest_piece=alphabet.shortest_piece,
        longest_piece=alphabet.longest_piece,
    )
    counted = library.crossent_count_ngrams(ctypes.byref(problem))
    if not counted:
        raise MemoryError("the n-grams of these documents do not fit into memory")
    ngrams = NgramCounts(
        ends=np.empty(len(documents) + 1, np.int64),
        ids=np.empty(problem.elements, np.int32),
        counts=np.empty(problem.elements, np.int32),
        hashes=np.empty(problem.distinct, np.uint64),
    )
    arrays = (ngrams.ends, ngrams.ids, ngrams.counts, ngrams.hashes)
    library.crossent_take_ngrams(counted, *(array.ctypes.data for array in arrays))
    return ngrams


@functools.cache
def _library() -> ctypes.CDLL:
    library = open_library(_NgramProblem)
    library.crossent_count_ngrams.restype = ctypes.c_void_p
    library.crossent_take_ngrams.argtypes = [ctypes.c_void_p] * 5
    library.crossent_take_ngrams.restype = None
    return library
