"""Chooses the models that are tried on a dataset."""

from dataclasses import dataclass

from crossent.data.dataset import Dataset
from crossent.errors import SettingError
from crossent.fitting.recipe import AUTO, Recipe
from crossent.kinds.catalogue import kind_of
from crossent.models.catalogue import check_takes
from crossent.models.settings import Settings
from crossent.names import listed


@dataclass(frozen=True)
class Candidate:
    """Settings of a model under a name, by which checkpoints, history and report know it."""

    name: str
    settings: Settings


def candidates(recipe: Recipe, dataset: Dataset, asked: frozenset[str]) -> tuple[Candidate, ...]:
    """Return what is tried: the model that the recipe names, or all that suit the columns and the loss.

    Parameters
    ----------
    recipe
        Its ``model``, and the settings of each.
    dataset
        Its columns.
    asked
        What the loss asks of a model, as `Objective.asks` says it.

    Raises
    ------
    SettingError
        If the model that is named, or every model, cannot read a column or cannot take what the loss asks for.
    """
    if recipe.model != AUTO:
        settings = next(settings for settings in recipe.models if settings.name == recipe.model)
        _check_reads(settings, recipe, dataset)
        check_takes(settings, asked)
        return (Candidate(settings.name, settings),)
    reading = [settings for settings in recipe.models if not _unread(settings, dataset)]
    if not reading:
        # Each model lacks something; the error names what the first one lacks.
        _check_reads(recipe.models[0], recipe, dataset)
    taking = [settings for settings in reading if asked <= settings.takes]
    if not taking:
        check_takes(reading[0], asked)
    small_enough = [
        settings
        for settings in taking
        if settings.most_columns is None or len(dataset.columns) <= settings.most_columns
    ]
    return tuple(Candidate(settings.name, settings.for_auto()) for settings in small_enough or taking)


def _unread(settings: Settings, dataset: Dataset) -> list[str]:
    """Return the names of the columns that give blocks which a model does not read."""
    return [column.name for column in dataset.columns if not kind_of(column).gives <= settings.reads]


def _check_reads(settings: Settings, recipe: Recipe, dataset: Dataset) -> None:
    unread = _unread(settings, dataset)
    if not unread:
        return
    kinds = sorted({column.kind for column in dataset.columns if column.name in unread})
    readers = [other.name for other in recipe.models if not _unread(other, dataset)]
    raise SettingError(
        f"Model {settings.name} does not read columns of {' and '.join(kinds)}.",
        f"So it cannot read {listed(unread, 5)}.",
        f"Take model {' or '.join([*readers, AUTO])}, or leave them out: --kind NAME=identifier.",
    )
