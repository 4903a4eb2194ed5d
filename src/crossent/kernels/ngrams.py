"""The kernel of n-grams: documents to the n-grams of each, by ctypes."""

import ctypes
import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.fits import check_array, check_ends
from crossent.kernels.library import info

# What a code point counts as.
SEPARATOR, LETTER, SYMBOL = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Documents:
    """Normalised texts.

    Attributes
    ----------
    text
        UTF-8 of all n documents, one after another.
    ends
        ``(n + 1,)`` int64: where each begins, in bytes, and at last the end.
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
    """How texts are cut.

    Attributes
    ----------
    kinds
        uint8 of each code point: separator, letter or symbol; code points beyond are separators.
    shortest_piece, longest_piece
        Characters of a piece of a word, counting one space before and one after the word.
    """

    kinds: npt.NDArray[np.uint8]
    shortest_piece: int
    longest_piece: int


@dataclass(frozen=True, eq=False)
class NgramCounts:
    """N-grams of documents as compressed sparse rows, those of a document in the order in which they come.

    Attributes
    ----------
    ends
        ``(n + 1,)`` int64: where the elements of each document begin, and at last end.
    ids
        int32 n-gram of each element.
    counts
        int32: how often it stands in the document.
    hashes
        ``(m,)`` uint64 of each n-gram, each different from the others.
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
        len(documents),
        documents.text,
        documents.ends.ctypes.data,
        alphabet.kinds.ctypes.data,
        len(alphabet.kinds),
        alphabet.shortest_piece,
        alphabet.longest_piece,
    )
    counted = library.crossent_count_ngrams(ctypes.byref(problem))
    if not counted:
        raise MemoryError("the n-grams of these documents do not fit into memory")
    found = NgramCounts(
        ends=np.empty(len(documents) + 1, np.int64),
        ids=np.empty(problem.elements, np.int32),
        counts=np.empty(problem.elements, np.int32),
        hashes=np.empty(problem.distinct, np.uint64),
    )
    arrays = (found.ends, found.ids, found.counts, found.hashes)
    library.crossent_take_ngrams(counted, *(array.ctypes.data for array in arrays))
    return found


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(info().path)
    library.crossent_count_ngrams.restype = ctypes.c_void_p
    library.crossent_take_ngrams.argtypes = [ctypes.c_void_p] * 5
    library.crossent_take_ngrams.restype = None
    return library
