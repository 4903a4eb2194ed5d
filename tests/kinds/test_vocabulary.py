import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossent.kinds.vocabulary as module
from crossent.kinds.vocabulary import MISSING, RARE, RESERVED, UNSEEN, Vocabulary, learn_vocabulary, rare_hashes


def names(values: list[str | None]) -> "pd.Series[str]":
    return pd.Series(values, dtype="str", name="colour")


def test_names_are_missing_unseen_rare_or_frequent() -> None:
    colours = names(["red"] * 5 + ["blue"] * 4 + ["pink", None])
    vocabulary = learn_vocabulary(colours)
    assert vocabulary.encode(colours).tolist() == [RESERVED] * 5 + [RESERVED + 1] * 4 + [RARE, MISSING]
    assert vocabulary.cardinality == RESERVED + 2
    new = names(["green", "pink", None, "blue", "green"])
    assert vocabulary.encode(new).tolist() == [UNSEEN, RARE, MISSING, RESERVED + 1, UNSEEN]
    assert vocabulary.unseen(new) == "2 rows hold values not seen in training: 'green'"
    assert vocabulary.unseen(colours) == ""


@given(st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=3)), max_size=40), st.data())
def test_codes_are_those_of_a_dictionary(values: list[str | None], data: st.DataObject) -> None:
    vocabulary = learn_vocabulary(names(values))
    counts = {name: values.count(name) for name in values if name is not None}
    frequent = sorted((name for name in counts if counts[name] >= 3), key=lambda name: (-counts[name], name))
    code_of = {name: RESERVED + i for i, name in enumerate(frequent)}
    new = data.draw(st.lists(st.one_of(st.none(), st.sampled_from(["a", "", *counts])), max_size=9))
    expected = [MISSING if name is None else code_of.get(name, RARE if name in counts else UNSEEN) for name in new]
    assert vocabulary.encode(names(new)).tolist() == expected


def test_the_most_frequent_names_alone_have_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NAMES", 2)
    vocabulary = learn_vocabulary(names(["c"] * 3 + ["a"] * 3 + ["b"] * 4))
    assert vocabulary.frequent == ("b", "a")
    assert vocabulary.encode(names(["c"])).tolist() == [RARE]


def test_the_order_of_rows_does_not_matter() -> None:
    values = names(["a", "b", "c", "d"] * 3 + ["x", "y"])
    first, second = learn_vocabulary(values), learn_vocabulary(values[::-1])
    assert first.frequent == second.frequent
    assert first.rare.tolist() == second.rare.tolist()


def test_hashes_are_the_same_on_every_machine_and_in_every_version() -> None:
    # As `printf a | b2sum -l 64` prints it, the last byte first.
    assert rare_hashes(["a"]).tolist() == [0x2F42665B399EF840]


def test_hashes_ascend_and_nothing_of_a_name_is_saved() -> None:
    vocabulary = learn_vocabulary(names([f"person{i}@example.org" for i in range(100)]))
    assert vocabulary.frequent == ()
    assert (vocabulary.rare.dtype, vocabulary.rare.shape) == (np.uint64, (100,))
    for rare in (vocabulary.rare[::-1], vocabulary.rare[[0, 0]], vocabulary.rare[None]):
        with pytest.raises(ValueError, match="must ascend"):
            Vocabulary((), rare)
    with pytest.raises(ValueError, match="must be distinct"):
        Vocabulary(("a", "a"), vocabulary.rare)


def test_no_names_at_all() -> None:
    vocabulary = learn_vocabulary(names([None, None]))
    assert vocabulary.cardinality == RESERVED
    assert vocabulary.encode(names([None, "a"])).tolist() == [MISSING, UNSEEN]
    assert vocabulary.encode(names([])).tolist() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_encodes() -> None:
    vocabulary = learn_vocabulary(names(["a"] * 3))
    vocabulary.encode(names(["a"]))
    child = os.fork()
    if not child:
        os._exit(0 if vocabulary.encode(names(["a", "b"])).tolist() == [RESERVED, UNSEEN] else 1)
    assert os.waitpid(child, 0)[1] == 0
