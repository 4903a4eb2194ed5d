import time

import pytest

from crossent.errors import DataError
from crossent.names import check_distinct, listed, nearest, shortened


def test_messages_stay_short() -> None:
    assert len(shortened("a" * 10**6)) < 100
    assert len(listed(["a" * 10**6] * 10**5)) < 1500
    assert listed(["a"]) == "'a'"
    assert shortened("\x1b[31m\u202e") == r"'\x1b[31m\u202e'"


def test_the_nearest_name_is_looked_for_among_many_and_long_ones() -> None:
    begin = time.perf_counter()
    assert nearest("size", ["a" * 10**6, "siza", *map(str, range(200_000))]) == "siza"
    assert nearest("b" * 10**6, ["a" * 10**6]) is None
    assert time.perf_counter() - begin < 5


def test_repeated_names_are_told_with_a_few_places() -> None:
    check_distinct(map(str, range(200_000)), "t.csv")
    with pytest.raises(DataError, match="'same' as columns 1 and 2 and 3 and 99,997 more") as caught:
        check_distinct(["same"] * 100_000, "t.csv")
    assert len(str(caught.value)) < 200
