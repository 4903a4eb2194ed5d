"""A run from its begin to its end."""

from pathlib import Path

from crossent.data.dataset import Dataset
from crossent.fitting.recipe import Recipe
from crossent.monitoring.records import ignore_epoch
from crossent.run import Run, begin_run, finish_run
from crossent.train.checkpoint import never_interrupted


def train(dataset: Dataset, recipe: Recipe, held_out: float, runs: Path) -> Run:
    folder = begin_run(dataset, recipe, held_out=held_out, request={}, runs=runs, name="r")
    return finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted)
