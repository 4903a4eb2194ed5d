"""A training run, from a dataset to a folder that holds everything about it."""

import dataclasses
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossent.data.dataset import Dataset
from crossent.data.split import Sides, hold_out
from crossent.disk import naming, write_file
from crossent.errors import DataError
from crossent.evaluation.evaluate import to_json
from crossent.evaluation.result import Evaluation
from crossent.explain.judgement import judge
from crossent.explain.ngrams import find_evidence
from crossent.file_lock import lock
from crossent.fitting.fit import FitResult, check_trainable, fit
from crossent.fitting.recipe import Recipe, flat_values
from crossent.monitoring.history_file import HistoryWriter, read_history
from crossent.monitoring.records import EpochRecord, OnEpoch
from crossent.monitoring.tensorboard import TensorBoardWriter, write_settings
from crossent.predictor import Predictor, load
from crossent.report.assemble import report_content
from crossent.report.html import write_report
from crossent.run_folder import (
    BOARD,
    CHECKPOINTS,
    DESCRIPTION,
    HISTORY,
    MODEL,
    REPORT,
    RunDescription,
    check_unfinished,
    describe_run,
    fingerprint,
    make_run_folder,
    read_description,
    write_json,
)
from crossent.sweep import sweep_run, sweep_runs
from crossent.train.checkpoint import Checkpoints, remove
from crossent.train.learning_rate import LearningRateCurve
from crossent.train.processes import Processes
from crossent.typed_json import shorten

# Longer than another process takes to search a run folder for leftover files.
LOCK_SECONDS = 5.0


def ignore_note(_note: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    folder
        ``runs/<name>``, with ``run.json``, ``history.jsonl``, ``metrics.json``, ``tensorboard/``, ``model/`` and
        ``report.html``; ``learning_rate.json`` where one was searched.
    training_rows
        Number of rows that the model was made from.
    evaluation
        Of the held-out rows.
    result
        The result of training.
    """

    folder: Path
    training_rows: int
    evaluation: Evaluation
    result: FitResult


def begin_run(
    dataset: Dataset, recipe: Recipe, *, held_out: float, request: Mapping[str, Any], runs: Path, name: str
) -> Path:
    """Make the folder of a run, with all in ``run.json`` that it takes to train.

    Split the rows before, with `split_rows`: what cannot be split is then reported before there is a folder.

    Parameters
    ----------
    dataset
        All labelled rows.
    recipe
        All settings of the training.
    held_out
        Share of the rows that training never sees; the evaluation and the report rest on them.
    request
        What it takes to read the rows again, as JSON can hold it; `reopen_run` gives it back.
    runs, name
        The run goes to ``<runs>/<name>``, or ``<name>-2`` and on where that is taken.
    """
    # Rows that cannot be trained on are reported before a folder is made.
    check_trainable(dataset, recipe)
    sweep_runs(runs)
    description = describe_run(dataset, recipe, held_out, request)
    return make_run_folder(description, runs, name)


def split_rows(dataset: Dataset, recipe: Recipe, held_out: float) -> Sides:
    """Return 1 for each row that is held out to evaluate the model, and 0 for those to train on.

    Raises
    ------
    DataError
        If one of the two sides would be empty.
    """
    rng = np.random.default_rng(recipe.seed)
    return hold_out(dataset, held_out, duplicates=recipe.duplicates, rng=rng)


def finish_run(
    folder: Path,
    dataset: Dataset,
    *,
    on_epoch: OnEpoch,
    interrupted: Callable[[], bool],
    sides: Sides | None = None,
    on_note: Callable[[str], None] = ignore_note,
    time_budget: float | None = None,
    processes: Processes | None = None,
) -> Run:
    """Train on a part of the rows, evaluate on the others, and write all of it to the folder of the run.

    What an earlier, interrupted call has done of it is not done again.

    Parameters
    ----------
    folder
        That `begin_run` made.
    dataset
        All labelled rows, the same as there.
    on_epoch
        Called with every epoch; returns True to end training soon.
    interrupted
        Asked after each step of training; True interrupts it.
    sides
        What `split_rows` gave; None splits the rows, as where an interrupted run goes on.
    on_note
        Called with what a reader should know of what an interrupted call left.
    time_budget
        Replaces the time budget of the recipe.
    processes
        Those that train networks together, of which this one leads; None trains by this one alone.

    Raises
    ------
    DataError
        If the rows are others than those that the run began with, or if another process trains it.
    CheckpointError
        If what an interrupted call left is damaged.
    DiskError
        If a file cannot be written.
    TrainingInterruptedError
        If training was interrupted.
    ProcessError
        If another process is gone.
    """
    begun = read_description(folder)
    if begun.fingerprint != fingerprint(dataset):
        raise DataError(
            "A run goes on with the rows that it began with.",
            f"{shorten(begun.source)} holds others now.",
            "Bring the old file back, or begin a new run.",
        )
    with lock(folder / DESCRIPTION, LOCK_SECONDS) as state:
        if state == "taken":
            raise DataError(
                "A run is trained by one process at a time.",
                f"Another process trains {folder}.",
                f"Wait until it ends; crossent watch {shlex.quote(str(folder))} shows where it stands.",
            )
        check_unfinished(folder)
        recipe = begun.recipe
        if time_budget is not None:
            recipe = dataclasses.replace(recipe, time_budget=time_budget)
        if sides is None:
            sides = split_rows(dataset, recipe, begun.held_out)
        train, test = dataset.take(sides == 0), dataset.take(sides == 1)
        result = _fit(folder, train, recipe, on_epoch, interrupted, on_note, processes)
        run = _save(folder, dataset, train, test, recipe, result, begun.created)
        # A process that is killed before this leaves them to `sweep_run`.
        remove(folder / CHECKPOINTS)
    return run


def _fit(
    folder: Path,
    train: Dataset,
    recipe: Recipe,
    on_epoch: OnEpoch,
    interrupted: Callable[[], bool],
    on_note: Callable[[str], None],
    processes: Processes | None,
) -> FitResult:
    """Train, and write the history, the curves for TensorBoard and the checkpoints."""
    with (
        HistoryWriter(folder / HISTORY) as history,
        TensorBoardWriter(folder / BOARD, train.classes) as board,
    ):
        if history.dropped.count:
            on_note(f"{folder / HISTORY}: {history.dropped}; dropped, and nothing else depends on it.")
        # The history is never behind a checkpoint, whenever the power fails.
        checkpoints = Checkpoints(folder / CHECKPOINTS, interrupted, history.sync)

        def record(epoch: EpochRecord) -> bool:
            history.write(epoch)
            board.write(epoch)
            return on_epoch(epoch)

        return fit(train, recipe, on_epoch=record, checkpoints=checkpoints, processes=processes)


def _save(
    folder: Path, dataset: Dataset, train: Dataset, test: Dataset, recipe: Recipe, result: FitResult, created: str
) -> Run:
    """Write the model, its results on the held-out rows, and last the report, with which a run is finished."""
    if result.learning_rate is not None:
        write_json(folder / "learning_rate.json", _curve_json(result.learning_rate))
    with naming(folder / MODEL):
        # Remove a model that a crash left unfinished.
        remove(folder / MODEL)
        result.predictor.save(folder / MODEL)
    judgement = judge(result.predictor, test, recipe.seed)
    write_json(folder / "metrics.json", to_json(judgement.evaluation))
    write_settings(folder / BOARD, _settings(recipe, result), _metric_values(judgement.evaluation))
    evidence = find_evidence(result.predictor, train)
    if evidence:
        table = pd.DataFrame([dataclasses.asdict(one) for one in evidence])
        write_file(folder / "ngrams.csv", table.to_csv(index=False).encode())
    history = read_history(folder / HISTORY)
    content = report_content(folder, history, dataset, recipe, result, judgement, created, evidence)
    write_report(folder / REPORT, content)
    return Run(folder, len(train), judgement.evaluation, result)


def _settings(recipe: Recipe, result: FitResult) -> dict[str, object]:
    return {**flat_values(recipe), "chosen model": result.trials[result.chosen].model}


def _metric_values(evaluation: Evaluation) -> dict[str, float]:
    return {name.replace("_", " "): estimate.value for name, estimate in evaluation.metrics.items()}


def _curve_json(curve: LearningRateCurve) -> dict[str, Any]:
    fields = dataclasses.asdict(curve)
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}


def reopen_run(folder: Path) -> RunDescription:
    """Return what an interrupted run is made from, and remove what a killed process left in its folder.

    Raises
    ------
    DataError
        If there is no run, if its description is damaged, or if it is finished.
    """
    begun = read_description(folder)
    with lock(folder / DESCRIPTION, 0) as state:
        if state == "held":
            sweep_run(folder)
    check_unfinished(folder)
    return begun


def load_run(path: Path) -> Predictor:
    """Load the predictor of a run folder, or of a model folder."""
    return load(path / "model" if (path / "model" / "model.json").is_file() else path)
