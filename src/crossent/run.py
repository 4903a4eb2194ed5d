"""One training run, from a dataset to a folder that holds everything about it."""

import dataclasses
import itertools
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.calibration.scaling import Attempt
from crossent.cross_fit import Trial
from crossent.data.column import Column
from crossent.data.dataset import Dataset
from crossent.data.split import hold_out
from crossent.errors import DataError
from crossent.evaluation.evaluate import to_json
from crossent.evaluation.result import Evaluation
from crossent.evidence import Evidence, find_evidence
from crossent.fit import FitResult, fit
from crossent.judgement import Judgement, judge
from crossent.predictor import Predictor, load, versions
from crossent.recipe import Recipe
from crossent.report import content
from crossent.report.html import write_report
from crossent.run_folder import REPORT, describe_run, fingerprint, make_run_folder, read_description, write_json
from crossent.storage import write_file
from crossent.train.checkpoint import Checkpoints
from crossent.train.diagnose import diagnosis_words
from crossent.train.learning_rate import LearningRateCurve
from crossent.train.monitor import EpochRecord, HistoryWriter, OnEpoch, read_history
from crossent.train.processes import Processes
from crossent.train.tensorboard import TensorBoardWriter, write_settings

WORST_ROWS = 20
MOST_NGRAMS_SHOWN = 10
# Characters of a value; texts go on.
MOST_SHOWN = 200


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
        Of the rows held out.
    result
        What training found.
    """

    folder: Path
    training_rows: int
    evaluation: Evaluation
    result: FitResult


def begin_run(
    dataset: Dataset, recipe: Recipe, *, held_out: float, request: Mapping[str, Any], runs: Path, name: str
) -> Path:
    """Make the folder of a run, with all in ``run.json`` that it takes to train.

    Parameters
    ----------
    dataset
        All labelled rows.
    recipe
        All settings of the training.
    held_out
        Share of the rows that training never sees; the evaluation and the report rest on them.
    request
        What it takes to read the rows again, as JSON can hold it; `read_request` gives it back.
    runs, name
        The run goes to ``<runs>/<name>``, or ``<name>-2`` and on where that is taken.
    """
    # Rows that cannot be parted are told of before there is a folder.
    _sides(dataset, recipe, held_out)
    description = describe_run(dataset, recipe, held_out, request)
    return make_run_folder(description, runs, name)


def _sides(dataset: Dataset, recipe: Recipe, held_out: float) -> npt.NDArray[np.int64]:
    """Return 1 for each row that is held out, and 0 for the others."""
    rng = np.random.default_rng(recipe.seed)
    return hold_out(dataset, held_out, duplicates=recipe.duplicates, rng=rng)


def finish_run(
    folder: Path,
    dataset: Dataset,
    *,
    on_epoch: OnEpoch,
    interrupted: Callable[[], bool],
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
        Told of every epoch; returns True to end training soon.
    interrupted
        Asked after each step of training; True interrupts it.
    time_budget
        In place of that of the recipe.
    processes
        Those that train networks together, of which this one leads; None trains by this one alone.

    Raises
    ------
    DataError
        If the rows are others than those that the run began with.
    TrainingInterruptedError
        If training was interrupted.
    ProcessError
        If another process is gone.
    """
    begun = read_description(folder)
    if begun["fingerprint"] != fingerprint(dataset):
        raise DataError(
            "A run goes on with the rows that it began with.",
            f"{begun['source']} holds others now.",
            "Bring the old file back, or begin a new run.",
        )
    recipe = Recipe(**begun["recipe"])
    if time_budget is not None:
        recipe = dataclasses.replace(recipe, time_budget=time_budget)
    sides = _sides(dataset, recipe, begun["held_out"])
    train, test = dataset.take(sides == 0), dataset.take(sides == 1)
    checkpoints = Checkpoints(folder / "checkpoints", interrupted)
    board_folder = folder / "tensorboard"
    with HistoryWriter(folder / "history.jsonl") as history, TensorBoardWriter(board_folder, dataset.classes) as board:

        def record(epoch: EpochRecord) -> bool:
            history.write(epoch)
            board.write(epoch)
            return on_epoch(epoch)

        result = fit(train, recipe, on_epoch=record, checkpoints=checkpoints, processes=processes)
    if result.learning_rate is not None:
        write_json(folder / "learning_rate.json", _curve_json(result.learning_rate))
    # A model that a crash left unfinished is in the way.
    shutil.rmtree(folder / "model", ignore_errors=True)
    result.predictor.save(folder / "model")
    judgement = judge(result.predictor, test, recipe.seed)
    write_json(folder / "metrics.json", to_json(judgement.evaluation))
    write_settings(board_folder, _settings(recipe, result), _metric_values(judgement.evaluation))
    evidence = find_evidence(result.predictor, train)
    if evidence:
        table = pd.DataFrame([dataclasses.asdict(one) for one in evidence])
        write_file(folder / "ngrams.csv", table.to_csv(index=False).encode())
    run = Run(folder, len(train), judgement.evaluation, result)
    worst = worst_rows(test, judgement.log_probs)
    report = _report(dataset, recipe, run, judgement, begun["created"], worst, evidence)
    write_report(folder / REPORT, report)
    checkpoints.remove()
    return run


def _settings(recipe: Recipe, result: FitResult) -> dict[str, object]:
    return {**dataclasses.asdict(recipe), "chosen model": result.trials[result.chosen].model}


def _metric_values(evaluation: Evaluation) -> dict[str, float]:
    return {name.replace("_", " "): estimate.value for name, estimate in evaluation.metrics.items()}


def _curve_json(curve: LearningRateCurve) -> dict[str, Any]:
    fields = dataclasses.asdict(curve)
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}


def worst_rows(dataset: Dataset, log_probs: npt.NDArray[np.float64]) -> tuple[content.WorstRow, ...]:
    """Return the rows whose given label is least probable: hard cases, or wrong labels."""
    losses = -log_probs[np.arange(len(dataset)), dataset.target]
    order = np.argsort(-losses, kind="stable")[:WORST_ROWS]
    predicted = log_probs.argmax(axis=1)
    return tuple(
        content.WorstRow(
            row=int(dataset.frame.index[i]) + 1,
            values=tuple((name, _shown(dataset.frame[name].iloc[i])) for name in dataset.frame.columns),
            label=str(dataset.classes[dataset.target[i]]),
            predicted=str(dataset.classes[predicted[i]]),
            prob=float(np.exp(-losses[i])),
            loss=float(losses[i]),
        )
        for i in order
        if predicted[i] != dataset.target[i]
    )


def _shown(value: Any) -> str:
    if pd.isna(value):
        return "missing"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _report(
    dataset: Dataset,
    recipe: Recipe,
    run: Run,
    judgement: Judgement,
    created: str,
    worst: tuple[content.WorstRow, ...],
    evidence: tuple[Evidence, ...],
) -> content.ReportContent:
    counts = zip(dataset.classes, dataset.class_counts, strict=True)
    chosen = run.result.trials[run.result.chosen]
    settings = {name: str(value) for name, value in dataclasses.asdict(recipe).items()}
    history = read_history(run.folder / "history.jsonl")
    stopped = ("Training was ended early by the user.",) if run.result.stopped else ()
    return content.ReportContent(
        title=f"{dataset.target_name} from {Path(dataset.source).name}",
        source=Path(dataset.source).name,
        target=dataset.target_name,
        created=created[:16].replace("T", " "),
        training_rows=run.training_rows,
        class_counts=tuple((str(label), int(count)) for label, count in counts),
        columns=tuple(_column_summary(column, len(dataset)) for column in dataset.columns),
        notes=(*dataset.notes, *stopped),
        evaluation=run.evaluation,
        history=history,
        trials=tuple(_trial_summary(trial, trial is chosen) for trial in run.result.trials),
        calibration=_calibration_summary(chosen),
        worst_rows=worst,
        ngrams=class_ngrams(evidence),
        settings=tuple(settings.items()),
        environment=tuple(versions().items()),
        commands=next_commands(run.folder),
        before_after=judgement.before_after,
        sets=judgement.sets,
        risk_coverage=judgement.risk_coverage,
        remedy=judgement.remedy,
        diagnosis=diagnosis_words(history, chosen.model),
        learning_rate=run.result.learning_rate,
    )


def class_ngrams(evidence: tuple[Evidence, ...]) -> tuple[content.ClassNgrams, ...]:
    """Return the n-grams of each class, with a dot where a piece begins or ends a word; not those of its parts."""
    found = []
    for label, of_label in itertools.groupby(evidence, key=lambda one: one.label):
        words: list[str] = []
        pieces: list[str] = []
        for one in of_label:
            name = one.ngram.replace(" ", "·") if one.is_piece else one.ngram
            shown = pieces if one.is_piece else words
            # "·oil·", "oil·" and "oil" say the same; the strongest of them stands for all.
            if len(shown) < MOST_NGRAMS_SHOWN and not any(name in other or other in name for other in pieces):
                shown.append(name)
        found.append(content.ClassNgrams(str(label), tuple(words), tuple(pieces)))
    return tuple(found)


def next_commands(folder: Path) -> tuple[str, ...]:
    """Return the commands that a reader wants next."""
    name = shlex.quote(str(folder))
    return (f"crossent predict {name} new.csv -o predictions.csv", f"crossent evaluate {name} labelled.csv")


def _column_summary(column: Column, rows: int) -> content.ColumnSummary:
    return content.ColumnSummary(
        name=column.name,
        kind=column.kind,
        missing=column.missing / rows,
        distinct=column.distinct,
        examples=column.examples,
        used=column.used,
        note=column.note,
    )


def _trial_summary(trial: Trial, chosen: bool) -> content.Trial:
    folds = "one split" if trial.folds == 1 else f"{trial.folds} folds"
    averaged = folds if trial.folds == 1 else f"average of {trial.folds} models, one a fold"
    models = f"{folds}, then fitted to all rows" if trial.refitted else averaged
    return content.Trial(
        model=trial.model,
        log_loss=trial.log_loss,
        calibrated_log_loss=trial.calibrated_log_loss,
        seconds=trial.seconds,
        chosen=chosen,
        note=f"lowest held-out log-loss; {models}" if chosen else models,
    )


def _calibration_summary(trial: Trial) -> content.CalibrationSummary:
    calibration = trial.calibration
    return content.CalibrationSummary(
        method=calibration.method,
        temperature=calibration.temperature,
        log_loss_before=calibration.log_loss_before,
        log_loss_after=calibration.log_loss_after,
        kept=calibration.method != "identity",
        note=calibration.note,
        attempts=tuple(_attempt_summary(attempt) for attempt in calibration.attempts),
    )


def _attempt_summary(attempt: Attempt) -> content.CalibrationAttempt:
    penalty = f", penalties times {attempt.strength:g}" if attempt.strength not in {0, 1} else ""
    name = "none" if attempt.method == "identity" else f"{attempt.method} scaling{penalty}"
    return content.CalibrationAttempt(name, attempt.log_loss, attempt.kept)


def load_run(path: Path) -> Predictor:
    """Load the predictor of a run folder, or of a model folder."""
    return load(path / "model" if (path / "model" / "model.json").is_file() else path)
