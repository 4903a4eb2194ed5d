import dataclasses

import numpy as np
import pandas as pd
import pytest

from crossent.data.read import read
from crossent.fitting.expected import expected_seconds, size_of
from crossent.fitting.fit import MANY_ROWS, MANY_TEXTS
from crossent.fitting.recipe import Recipe
from crossent.models.costs import Size
from crossent.models.settings import Boosting, Linear, Network
from tests.conftest import draw_reviews, draw_table


def test_the_size_is_counted_from_what_the_kinds_give() -> None:
    # A number, a category, a date (which gives both), a flag.
    table = read(draw_table(100), "label")
    assert size_of(table, 1000) == Size(rows=1000, numbers=2, codes=3, ngrams=0, classes=3)


def test_n_grams_grow_with_the_characters_of_the_rows() -> None:
    rows = [f"{'good' if i % 2 else 'bad'} words stand in row {i} of the many here" for i in range(100)]
    texts = read(pd.DataFrame({"t": rows, "label": ["u", "v"] * 50}), "label", kinds={"t": "text"})
    size = size_of(texts, 1000)
    assert size.numbers == size.codes == 0
    assert size.ngrams == pytest.approx(1.3 * 10 * sum(map(len, rows)), rel=0.01)


def test_seconds_are_those_of_all_folds() -> None:
    table = read(draw_table(100), "label")
    recipe = Recipe(model="boosting", boosting=Boosting(max_leaves=7))
    # Of five folds each fit sees four fifths of the rows.
    assert expected_seconds(table, recipe, 1000) == 5 * Boosting(max_leaves=7).seconds(size_of(table, 800))
    three = dataclasses.replace(recipe, folds=3)
    assert expected_seconds(table, three, 999) == 3 * Boosting(max_leaves=7).seconds(size_of(table, 666))
    many = expected_seconds(table, recipe, MANY_ROWS)
    assert many == Boosting(max_leaves=7).seconds(size_of(table, MANY_ROWS * 4 // 5))


def test_seconds_are_those_of_all_candidates_and_the_network_takes_one_split_sooner() -> None:
    table = read(draw_table(100), "label")
    size = size_of(table, 8000)
    others = 5 * (Linear().seconds(size) + Boosting().seconds(size))
    assert expected_seconds(table, Recipe(), 10_000) == pytest.approx(others + Network().seconds(size))
    only = Network().seconds(size)
    assert expected_seconds(table, Recipe(model="network"), 10_000) == pytest.approx(only)
    assert expected_seconds(table, Recipe(model="network", folds=5), 10_000) == pytest.approx(5 * only)


def test_with_text_one_more_fit_sees_all_rows() -> None:
    reviews = read(draw_reviews(60), "label")
    one_split = Linear().seconds(size_of(reviews, MANY_TEXTS * 4 // 5))
    all_rows = Linear().seconds(size_of(reviews, MANY_TEXTS))
    assert expected_seconds(reviews, Recipe(), MANY_TEXTS) == pytest.approx(one_split + all_rows)


def test_a_split_by_time_is_one_fit() -> None:
    frame = draw_table(100).assign(when=np.arange(100))
    table = read(frame, "label", time="when")
    assert expected_seconds(table, Recipe(model="linear"), 1000) == Linear().seconds(size_of(table, 800))


def test_the_budget_of_time_is_the_most() -> None:
    table = read(draw_table(100), "label")
    assert expected_seconds(table, Recipe(time_budget=3.0), 10**6) == 3.0
    small = expected_seconds(table, Recipe(model="linear"), 100)
    assert expected_seconds(table, Recipe(model="linear", time_budget=1000.0), 100) == small
