"""What the commands do: everything between the flags and the screen."""

import dataclasses
import functools
import json
import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.table import Table
from rich.text import Text

from crossent.cli.flags import PredictionFlags, RowFlags
from crossent.cli.following import lead
from crossent.cli.predictions import PREDICTED, beside, columns_of, decision_rule, name_of_added
from crossent.cli.progress import Progress
from crossent.cli.spreadsheet import to_csv, with_formulas, without_formulas
from crossent.cli.terminal import Console, visible
from crossent.data.dataset import Dataset
from crossent.data.labels import label_positions
from crossent.data.read import check_column, read, read_table
from crossent.data.split import Sides
from crossent.data.weights import read_weights
from crossent.disk import SCREEN, naming, without_name, write_file
from crossent.errors import CheckpointError, DataError, DiskError, ProcessError, SettingError
from crossent.evaluation.evaluate import evaluate_log_probs, to_json
from crossent.evaluation.result import Evaluation
from crossent.fitting.expected import expected_seconds
from crossent.fitting.recipe import Recipe
from crossent.kinds.catalogue import kind_of
from crossent.logits import log_softmax
from crossent.models.catalogue import model_of
from crossent.names import listed
from crossent.predictor import Predictor
from crossent.report.assemble import next_commands
from crossent.report.words import calibration_test_words, headline
from crossent.run import Run, begin_run, finish_run, load_run, reopen_run, split_rows
from crossent.run_folder import DESCRIPTION, changed_versions, name_of_run, read_settings
from crossent.train.checkpoint import TrainingInterruptedError
from crossent.train.processes import Processes

# More columns than this are counted, not listed.
MOST_COLUMNS_SHOWN = 40
# A training that takes longer is said to, in seconds.
LONG_TRAINING = 10.0


def train(data: Path, rows: RowFlags, recipe: Recipe, *, runs: Path, name: str | None, as_json: bool) -> None:
    """Train, evaluate, write a run folder, and say what matters."""
    name = name_of_run(data) if name is None else name
    _check_runs(data, runs, name)
    if not 0 < rows.held_out < 1:
        raise SettingError(
            "held-out is a share of the rows, between 0 and 1.", f"It is {rows.held_out}.", "Default: 0.25."
        )
    # With --json, standard output holds only JSON; the lines for people go to standard error.
    console = Console(stderr=as_json)
    with lead() as processes:
        dataset = _read(data, rows)
        _show_dataset(console, dataset)
        for settings in recipe.models:
            if note := model_of(settings).note_on_processes(settings, processes.count):
                _note(console, note)
        request = {"data": str(data.resolve()), **dataclasses.asdict(rows)}
        # From here on a signal ends the run with the command that goes on with it.
        with Progress(console) as progress:
            sides = split_rows(dataset, recipe, rows.held_out)
            folder = begin_run(dataset, recipe, held_out=rows.held_out, request=request, runs=runs, name=name)
            _show_duration(console, expected_seconds(dataset, recipe, round(len(dataset) * (1 - rows.held_out))))
            run = _finish(console, progress, folder, dataset, sides, None, processes)
    _show_run(console, run)
    if as_json:
        _print_json(_run_json(run))


def _check_runs(data: Path, runs: Path, name: str) -> None:
    """Check where a run is to go."""
    if name != Path(name).name or name in {"", ".", ".."}:
        met, fix = f"{name!r} names no folder.", "Give one such as --name first, and the folder above it as --runs."
        raise SettingError("The name of a run is the name of a folder.", met, fix)
    if data.is_dir() and runs.resolve().is_relative_to(data.resolve()):
        raise SettingError(
            "Runs do not go to a folder of texts.",
            f"{runs} lies in {data}: the next training would take it for a class.",
            f"Give another folder: --runs {shlex.quote(str(data.resolve().parent / 'runs'))}",
        )


def resume(folder: Path, time_budget: float | None, *, as_json: bool) -> None:
    """Resume a run that was interrupted."""
    console = Console(stderr=as_json)
    with lead() as processes:
        begun = reopen_run(folder)
        for change in changed_versions(begun):
            _note(console, f"{change}; results may differ because of it.")
        request = read_settings(folder / DESCRIPTION, _Request, begun.request, begun.environment)
        dataset = _read(Path(request.data), request.rows())
        with Progress(console) as progress:
            run = _finish(console, progress, folder, dataset, None, time_budget, processes)
    _show_run(console, run)
    if as_json:
        _print_json(_run_json(run))


@dataclass(frozen=True, kw_only=True)
class _Request(RowFlags):
    """What is needed to read the rows of a run again."""

    data: str

    def rows(self) -> RowFlags:
        """Return the flags without the file."""
        return RowFlags(**{field.name: getattr(self, field.name) for field in dataclasses.fields(RowFlags)})


def _note(console: Console, note: str) -> None:
    console.print(f"Note: {note}", markup=False, highlight=False, soft_wrap=True)


def _show_duration(console: Console, seconds: float) -> None:
    if seconds < LONG_TRAINING:
        return
    duration = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:,.0f} minutes"
    _note(console, f"training takes about {duration} on one processor, and less on several.")


def _print_json(value: dict[str, object]) -> None:
    with naming(SCREEN):
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


def _read(data: Path, rows: RowFlags) -> Dataset:
    if rows.target is None:
        example = "Name it: crossent train jobs.csv --target class"
        raise SettingError("Training needs the column that holds the class.", "--target is missing.", example)
    return read(
        str(data),
        rows.target,
        groups=rows.groups,
        time=rows.time,
        weight=rows.weight,
        kinds=rows.kind,
        encoding=rows.encoding,
    )


def _finish(
    console: Console,
    progress: Progress,
    folder: Path,
    dataset: Dataset,
    sides: Sides | None,
    time_budget: float | None,
    processes: Processes,
) -> Run:
    try:
        return finish_run(
            folder,
            dataset,
            on_epoch=progress,
            interrupted=progress.interrupted,
            sides=sides,
            on_note=functools.partial(_note, console),
            time_budget=time_budget,
            processes=processes,
        )
    except (TrainingInterruptedError, KeyboardInterrupt):
        _show_resume(console, folder)
        sys.exit(128 + (progress.signal or signal.SIGINT))
    except (CheckpointError, ProcessError):
        _show_resume(console, folder)
        raise
    except BrokenPipeError:
        raise
    except (DiskError, OSError) as error:
        named = without_name(error) if isinstance(error, OSError) else error
        # The error itself says it, because the output may go to a file on the same disk.
        fix = f"{named.fix} What was done is kept; go on with {_resume_command(folder)}"
        raise DiskError(named.rule, named.met, fix) from error


def _resume_command(folder: Path) -> str:
    return f"crossent train --resume {shlex.quote(str(folder))}"


def _show_resume(console: Console, folder: Path) -> None:
    command = _resume_command(folder)
    console.print("Stopped; the finished part is saved.", highlight=False)
    for label, line in (("Resume  ", command), ("Or end  ", f"{command} --time-budget 0")):
        console.print(f"{label} {line}", markup=False, highlight=False, soft_wrap=True)


def predict(
    model: Path, data: Path, output: Path | None, encoding: str, flags: PredictionFlags, *, keep_formulas: bool
) -> None:
    """Add predictions to the rows of a file."""
    predictor = load_run(model)
    if output is not None and output.suffix.lower() not in {".csv", ".parquet"}:
        raise DataError("Predictions are written as CSV or Parquet.", f"{output} ends in neither.", "Rename it.")
    if output is not None and not output.parent.is_dir():
        raise DataError("The output folder must exist.", f"There is no folder {output.parent}.", "Make it first.")
    console = Console(stderr=True)
    rule = decision_rule(flags, predictor.classes)
    frame = _read_rows(console, predictor, data, encoding)
    converted = predictor.convert(frame)
    decisions = predictor.decide_of(converted, rule)
    table = beside(predictor, frame, columns_of(decisions, frame.index))
    for note in predictor.notes_of(converted):
        console.print(f"Note: {note}", markup=False, highlight=False)
    csv = output is None or output.suffix.lower() == ".csv"
    if csv and not keep_formulas:
        table, count = without_formulas(table)
        if count:
            note = f"{count:,} texts that a spreadsheet would run as formulas begin with an apostrophe"
            console.print(f"Note: {note}; --keep-formulas leaves them as they are.", markup=False)
    if output is None:
        text = to_csv(table)
        with naming(SCREEN):
            sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
        return
    write_file(output, to_csv(table).encode() if csv else table.to_parquet(index=False))
    console.print(f"{len(table):,} rows predicted: {output}", markup=False, highlight=False)


def _read_rows(console: Console, predictor: Predictor, data: Path, encoding: str) -> pd.DataFrame:
    """Read new rows; if `predict` wrote the file, texts are as they were before it made formulas safe."""
    frame = read_table(data, encoding=encoding)
    if name_of_added(predictor, PREDICTED) not in frame.columns:
        return frame
    frame, count = with_formulas(frame)
    if count:
        console.print(
            f"Note: {count:,} texts are read without the apostrophe that keeps a spreadsheet from running them."
        )
    return frame


def _rows_to_judge(
    frame: pd.DataFrame, target: str, weight: str | None, data: Path
) -> tuple[pd.DataFrame, npt.NDArray[np.float64] | None, list[str]]:
    """Return the rows with a label and a weight above 0, their weights, and what a reader should know of the others."""
    notes: list[str] = []
    labelled = frame[target].notna()
    if not labelled.any():
        raise DataError(
            "Evaluation needs rows with known classes.",
            f"No row of {data} has a value in {target!r}.",
            "Give a file of rows whose classes are known.",
        )
    if not labelled.all():
        notes.append(f"{int((~labelled).sum()):,} rows have no value in {target!r} and are left out.")
        frame = frame[labelled]
    if weight is None:
        return frame, None, notes
    check_column(frame, weight, str(data))
    weights, weight_notes = read_weights(frame[weight])
    return frame[weights > 0], weights[weights > 0], [*notes, *weight_notes]


def evaluate(model: Path, data: Path, encoding: str, *, weight: str | None, as_json: bool) -> None:
    """Judge a model on rows with known classes."""
    predictor = load_run(model)
    frame = _read_rows(Console(stderr=True), predictor, data, encoding)
    if predictor.target_name not in frame.columns:
        raise DataError(
            "Evaluation needs the column that the model predicts.",
            f"{data} has no column {predictor.target_name!r}; it has {listed(frame.columns)}.",
            "Add it, or rename the one that holds the known classes.",
        )
    frame, weights, notes = _rows_to_judge(frame, predictor.target_name, weight, data)
    target = label_positions(frame[predictor.target_name], predictor.classes)
    converted = predictor.convert(frame)
    log_probs = log_softmax(predictor.logits_of(converted))
    rng = np.random.default_rng(0)
    evaluation = evaluate_log_probs(log_probs, target, predictor.classes, predictor.prior, rng, weight=weights)
    if as_json:
        _print_json(to_json(evaluation))
        return
    console = Console()
    for note in [*notes, *predictor.notes_of(converted)]:
        console.print(f"Note: {note}", markup=False, highlight=False)
    _show_evaluation(console, evaluation, f"On {evaluation.rows:,} rows:")
    console.print(f"  {calibration_test_words(evaluation)}", markup=False, highlight=False, soft_wrap=True)
    console.print(_class_table(evaluation))


def _show_dataset(console: Console, dataset: Dataset) -> None:
    counts = sorted(zip(dataset.class_counts, dataset.classes, strict=True), key=lambda pair: -pair[0])
    classes = " · ".join(f"{label} {count:,}" for count, label in counts[:8]) + (" · …" if len(counts) > 8 else "")
    summary = f"{len(dataset):,} rows, {len(dataset.columns)} columns, {len(counts)} classes: {classes}"
    console.print(summary, markup=False, highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("column", "kind", "missing", "distinct", "examples", ""):
        table.add_column(heading, justify="right" if heading in {"missing", "distinct"} else "left")
    for column in dataset.columns[:MOST_COLUMNS_SHOWN]:
        used = kind_of(column).used
        note = column.note if used else f"left out: {column.note}"
        missing = f"{column.missing:,}" if column.missing else ""
        cells = (column.name, column.kind, missing, f"{column.distinct:,}", ", ".join(column.examples), note)
        # Text objects show values of the user's data as they are, whatever brackets they hold.
        table.add_row(*map(Text, cells), style="" if used else "dim")
    console.print(table)
    if len(dataset.columns) > MOST_COLUMNS_SHOWN:
        console.print(f"… and {len(dataset.columns) - MOST_COLUMNS_SHOWN} more columns, all in the report")
    for note in dataset.notes:
        console.print(f"Note: {note}", markup=False, highlight=False)


def _show_run(console: Console, run: Run) -> None:
    chosen = run.result.trials[run.result.chosen]
    tried = ", ".join(f"{t.model} {t.calibrated_log_loss:.3f}" for t in run.result.trials)
    console.print(f"\nModel: {chosen.model} (held-out log-loss in training: {tried})", markup=False, highlight=False)
    if chosen.learning_rate is not None:
        curve = chosen.learning_rate
        said = f"Learning rate of the {chosen.model}: {curve.suggested:.2g}. {curve.why}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    _show_evaluation(console, run.evaluation, f"On {run.evaluation.rows:,} rows that training has not seen:")
    console.print(f"\nReport   {run.folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    for label, command in zip(("Next    ", "        "), next_commands(run.folder), strict=True):
        console.print(f"{label} {command}", markup=False, highlight=False, soft_wrap=True)


def _show_evaluation(console: Console, evaluation: Evaluation, title: str) -> None:
    console.print(title, highlight=False)
    for sentence in headline(evaluation):
        console.print(f"  {sentence}", markup=False, highlight=False, soft_wrap=True)


def _class_table(evaluation: Evaluation) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("class", "rows", "precision", "recall"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for result in evaluation.classes:
        figures = (result.precision.value, result.recall.value)
        shown = ["-" if np.isnan(figure) else f"{figure:.0%}" for figure in figures]
        table.add_row(Text(str(result.label)), f"{result.support:,}", *shown)
    return table


def _run_json(run: Run) -> dict[str, object]:
    chosen = run.result.trials[run.result.chosen]
    return {
        "run": str(run.folder),
        "report": str(run.folder / "report.html"),
        "model": chosen.model,
        "temperature": chosen.calibration.temperature,
        "training_rows": run.training_rows,
        **to_json(run.evaluation),
    }
