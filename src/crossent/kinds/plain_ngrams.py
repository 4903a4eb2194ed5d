"""The n-grams of documents in Python, where there are no kernels, and their names."""

from collections.abc import Callable, Iterator
from itertools import groupby

import numpy as np

from crossent.kernels.ngrams import LETTER, SEPARATOR, Alphabet, Documents, NgramCounts

# The same constants as in kernels/ngrams.cpp.
_BASE, _PAIR_BASE = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
_MIX, _MIX_AGAIN = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = 2**64 - 1
# Longer words hardly occur twice, and the pieces of a single one could fill the memory.
LONGEST_KEPT = 64

Ngram = tuple[int, str]


def count_plain_ngrams(documents: Documents, alphabet: Alphabet) -> NgramCounts:
    """Do what `crossent.kernels.ngrams.count_ngrams` does."""
    find = ngram_finder(alphabet)
    numbers: dict[int, int] = {}
    ends = [0]
    ids: list[int] = []
    counts: list[int] = []
    for i in range(len(documents)):
        text = documents.text[documents.ends[i] : documents.ends[i + 1]].decode("utf-8", "surrogatepass")
        of_document: dict[int, int] = {}
        for hash_, _ in find(text):
            number = numbers.setdefault(hash_, len(numbers))
            of_document[number] = of_document.get(number, 0) + 1
        ids += of_document.keys()
        counts += of_document.values()
        ends.append(len(ids))
    return NgramCounts(
        np.array(ends, np.int64),
        np.array(ids, np.int32),
        np.array(counts, np.int32),
        np.array(list(numbers), np.uint64),
    )


def ngram_finder(alphabet: Alphabet) -> Callable[[str], Iterator[Ngram]]:
    """Return a function from a normalised text to the hash and name of each of its n-grams, in the kernel's order."""
    kinds = alphabet.kinds.tolist()
    pieces_of: dict[str, list[Ngram]] = {}

    def kind_of(character: str) -> int:
        point = ord(character)
        return kinds[point] if point < len(kinds) else SEPARATOR

    def find(text: str) -> Iterator[Ngram]:
        previous = None
        for kind, characters in groupby(text, kind_of):
            if kind == SEPARATOR:
                continue
            token = "".join(characters)
            total = _sum_of(token)
            yield _hash_of(total, is_piece=False), token
            if kind != LETTER:
                continue
            if previous is not None:
                pair = (previous[0] * _PAIR_BASE + total) & _MASK
                yield _hash_of(pair, is_piece=False), f"{previous[1]} {token}"
            previous = total, token
            if len(token) > LONGEST_KEPT:
                yield from _pieces(f" {token} ", alphabet)
                continue
            if token not in pieces_of:
                pieces_of[token] = list(_pieces(f" {token} ", alphabet))
            yield from pieces_of[token]

    return find


def _pieces(padded: str, alphabet: Alphabet) -> Iterator[Ngram]:
    for length in range(alphabet.shortest_piece, alphabet.longest_piece + 1):
        for begin in range(max(len(padded) - length, 0) + 1):
            piece = padded[begin : begin + length]
            yield _hash_of(_sum_of(piece), is_piece=True), piece
        if length >= len(padded):
            return


def _sum_of(characters: str) -> int:
    total = 0
    for character in characters:
        total = (total * _BASE + ord(character)) & _MASK
    return total


def _hash_of(total: int, *, is_piece: bool) -> int:
    total = (total ^ total >> 30) * _MIX & _MASK
    total = (total ^ total >> 27) * _MIX_AGAIN & _MASK
    return (total ^ total >> 31) & ~1 | is_piece
