import pandas as pd

from crossent.kinds.column import Column
from crossent.kinds.kind import Claim, Kind


def test_a_kind_that_learns_nothing_is_not_used_and_leaves_values_as_they_are() -> None:
    kind = Kind("note", claims=lambda _: Claim())
    values = pd.Series(["b", None, "a"], name="x")
    assert not kind.used
    assert kind.gives == frozenset()
    assert kind.convert(values, Column("x", "note", 1, 2, ("b", "a"), "")) is values
    assert not kind.by_fold
    assert not kind.takes_categories


def test_a_kind_that_learns_is_used() -> None:
    def learn(*_: object) -> None:
        raise AssertionError

    assert Kind("note", claims=lambda _: None, learn=learn).used
