"""Estimates how long a training takes before it begins: the sum of the seconds that each model expects for its fits."""

from dataclasses import replace

from crossent.data.dataset import Dataset
from crossent.fitting.fit import VALID_SHARE, fold_count, folds_of, learns_by_fold, tried_on
from crossent.fitting.recipe import Recipe
from crossent.kinds.catalogue import kind_of
from crossent.models.costs import Size

# Number of n-grams for each character of a text: 1.5 in English news, 1.2 in posts.
NGRAMS_A_CHARACTER = 1.3


def expected_seconds(dataset: Dataset, recipe: Recipe, rows: int) -> float:
    """Return about how many seconds of one processor all fits of `fit` take, at most its budget of time.

    Reading, evaluation and the report take further time. With several processors it is quicker, at most by their
    number.

    Parameters
    ----------
    dataset
        Rows like those to train on.
    recipe
        All settings.
    rows
        Number of training rows.

    Raises
    ------
    SettingError
        If no model suits the columns and the settings.

    Examples
    --------
    >>> from crossent.data.read import read
    >>> from crossent.datasets import hpc_path
    >>> table = read(hpc_path(), "class")
    >>> expected_seconds(table, Recipe(model="linear"), 4000) < expected_seconds(table, Recipe(), 4000)
    True
    """
    by_fold = learns_by_fold(dataset)
    folds = fold_count(recipe, rows, by_fold=by_fold, in_time=dataset.time is not None)
    whole, total = size_of(dataset, rows), 0.0
    for candidate in tried_on(dataset, recipe):
        fits = folds_of(candidate.settings, recipe, rows, folds)
        share = 1 - 1 / fits if fits > 1 else 1 - VALID_SHARE
        total += fits * candidate.settings.seconds(_size_of_part(whole, share))
        if by_fold:
            total += candidate.settings.seconds(whole)
    return total if recipe.time_budget is None else min(total, recipe.time_budget)


def size_of(dataset: Dataset, rows: int) -> Size:
    """Return the size of a fit to this number of rows that are like those of a dataset."""
    gives = {column.name: kind_of(column).gives for column in dataset.columns}
    texts = [dataset.frame[name] for name, blocks in gives.items() if "ngrams" in blocks]
    characters = sum(float(values.str.len().sum()) for values in texts)
    return Size(
        rows=rows,
        numbers=sum("numbers" in blocks for blocks in gives.values()),
        codes=sum("codes" in blocks for blocks in gives.values()),
        ngrams=round(NGRAMS_A_CHARACTER * characters * rows / len(dataset)),
        classes=len(dataset.classes),
    )


def _size_of_part(size: Size, share: float) -> Size:
    """Return the size of a fit to a share of the rows."""
    return replace(size, rows=round(size.rows * share), ngrams=round(size.ngrams * share))
