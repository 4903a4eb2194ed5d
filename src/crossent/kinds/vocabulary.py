"""Turns names into codes: frequent names have a code each; rare names share one, and so do names unseen in training."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.kinds.values import arrow_of
from crossent.lazy import lazy_property
from crossent.value_checks import check_distinct

# Codes that every column has; the codes of its vocabulary follow.
MISSING, UNSEEN, RARE = 0, 1, 2
RESERVED = 3

# A name needs this many rows to have its own code, and at most `MOST_NAMES` names have one; the others share RARE.
FEWEST_ROWS_OF_A_NAME = 3
MOST_NAMES = 255
# Number of new names that a note shows.
EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """How a name becomes a code.

    Attributes
    ----------
    frequent
        The names with a code, which is their position plus `RESERVED`.
    rare
        ``(r,)`` uint64 hashes of the names that share `RARE`, ascending. The names themselves are not needed, and they
        may be private, such as addresses or customer numbers. A name that training did not see has the hash of a rare
        name with a probability of r / 2^64; it then counts as rare, which does no harm.
    """

    frequent: tuple[str, ...]
    rare: npt.NDArray[np.uint64]

    def __post_init__(self) -> None:
        check_distinct("the names of a vocabulary", self.frequent)
        if self.rare.ndim != 1 or not (self.rare[1:] > self.rare[:-1]).all():
            raise ValueError("hashes of rare names must ascend")

    @property
    def cardinality(self) -> int:
        """Number of codes."""
        return RESERVED + len(self.frequent)

    def encode(self, names: "pd.Series[Any]") -> npt.NDArray[np.int32]:
        """Return the ``(n,)`` codes of ``(n,)`` texts."""
        places, distinct = _factors(names)
        # A missing value is in the last place.
        return np.array([*self._codes_of(distinct), MISSING], np.int32)[places]

    def unseen(self, names: "pd.Series[Any]") -> str:
        """Say which of ``(n,)`` texts were not seen in training; empty if all were."""
        places, distinct = _factors(names)
        is_new = np.array([*self._codes_of(distinct), MISSING]) == UNSEEN
        count = int(is_new[places].sum())
        if not count:
            return ""
        examples = ", ".join(repr(distinct[i]) for i in np.flatnonzero(is_new)[:EXAMPLES])
        return f"{count:,} rows hold values not seen in training: {examples}"

    def _codes_of(self, distinct: list[str]) -> list[int]:
        codes = [self._code_of.get(name, UNSEEN) for name in distinct]
        others = [i for i, code in enumerate(codes) if code == UNSEEN] if len(self.rare) else []
        if others:
            hashes = _hashes_of(distinct[i] for i in others)
            near = self.rare[np.minimum(np.searchsorted(self.rare, hashes), len(self.rare) - 1)]
            for i in np.flatnonzero(near == hashes).tolist():
                codes[others[i]] = RARE
        return codes

    @lazy_property
    def _code_of(self) -> dict[str, int]:
        return {name: i + RESERVED for i, name in enumerate(self.frequent)}


def learn_vocabulary(names: "pd.Series[Any]") -> Vocabulary:
    """Learn the names of ``(n,)`` texts.

    Examples
    --------
    >>> vocabulary = learn_vocabulary(pd.Series(["red", "blue", "red", None, "red"], dtype="str"))
    >>> vocabulary.encode(pd.Series(["red", "blue", "green", None], dtype="str"))
    array([3, 2, 1, 0], dtype=int32)
    """
    counts = names.value_counts()
    # Names with equal counts are sorted, so that the order of the rows does not matter.
    ordered = sorted(counts.index, key=lambda name: (-counts[name], name))
    frequent = [name for name in ordered if counts[name] >= FEWEST_ROWS_OF_A_NAME][:MOST_NAMES]
    return Vocabulary(tuple(map(str, frequent)), rare_hashes(map(str, ordered[len(frequent) :])))


def rare_hashes(names: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Return the hashes of names, as `Vocabulary.rare` holds them."""
    return np.unique(_hashes_of(names))


def _hashes_of(names: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Return hashes that are the same on every machine and in every version."""
    return np.frombuffer(
        b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names), np.dtype("<u8")
    ).astype(np.uint64)


def _factors(names: "pd.Series[Any]") -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return the place of each name among the distinct names, -1 where it is missing, and the distinct names."""
    factors = arrow_of(names).dictionary_encode()
    places = factors.indices.fill_null(-1) if factors.indices.null_count else factors.indices
    return np.asarray(places.to_numpy()), factors.dictionary.to_pylist()
