"""Commands and flags; what each does is imported only when it runs, so that ``--help`` answers at once."""

import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

import cyclopts
from cyclopts import App, Parameter

from crossent import __version__
from crossent.cli.config_file import read_config
from crossent.cli.flags import (
    PREDICTION,
    ROWS,
    CalibrationMethod,
    Encoding,
    Header,
    Json,
    Logits,
    Model,
    PredictionFlags,
    RecipeFlags,
    RowFlags,
    Run,
)
from crossent.cli.named_values import join_named_values
from crossent.cli.terminal import Console
from crossent.disk import without_name
from crossent.errors import CrossentError, DiskError, SettingError
from crossent.fitting.recipe import Recipe

app = App(
    name="crossent",
    version=__version__,
    config=read_config,
    help="From your own table or text to a multiclass classifier whose probabilities you can trust.\n\n"
    "Start with `crossent demo`, then `crossent train your.csv --target your_column`.",
)


@app.command
def demo(*, json: Json = False) -> None:
    """Train on a small data set that comes with crossent, and write a report to look at."""
    from crossent.cli import commands
    from crossent.datasets import hpc_path

    commands.train(hpc_path(), RowFlags(target="class"), Recipe(), runs=Path("runs"), name="demo", as_json=json)


@app.command
def train(
    data: Annotated[
        Path | None, Parameter(help="CSV, TSV, Parquet or Feather file, also .gz; or a folder of texts.")
    ] = None,
    *,
    rows: Annotated[RowFlags, Parameter(name="*", group=ROWS)] = RowFlags(),  # noqa: B008 - frozen
    resume: Annotated[
        Path | None,
        Parameter(
            help="Run folder to go on with; the file and all settings but --time-budget are those it began with."
        ),
    ] = None,
    runs: Annotated[Path, Parameter(help="Where the run folder goes.")] = Path("runs"),
    name: Annotated[
        str | None, Parameter(help="Name of the run folder; default: that of the file, without its ending.")
    ] = None,
    config: Annotated[Path | None, Parameter(help="TOML file with settings; flags overrule it.")] = None,
    json: Json = False,
    recipe: RecipeFlags = Recipe(),  # noqa: B008 - frozen, so sharing it is safe
) -> None:
    """Train a classifier, judge it on rows it has not seen, and write model and report to runs/NAME.

    crossent train jobs.csv --target class

    crossent train --resume runs/jobs
    """
    del config  # `read_config` has read it
    from crossent.cli import commands

    if resume is not None:
        _check_alone(data, rows, recipe)
        commands.resume(resume, recipe.time_budget, as_json=json)
        return
    if data is None:
        example = "Name it: crossent train jobs.csv --target class"
        raise SettingError("Training needs a file.", "None was given.", example)
    commands.train(data, rows, recipe, runs=runs, name=name, as_json=json)


def _check_alone(data: Path | None, rows: RowFlags, recipe: Recipe) -> None:
    """Check that nothing is asked of a run that goes on but how long it may take."""
    if data is not None or rows != RowFlags() or dataclasses.replace(recipe, time_budget=None) != Recipe():
        raise SettingError(
            "A run goes on with the file and the settings that it began with.",
            "--resume was given with others.",
            "Leave them out; only --time-budget can be another.",
        )


@app.command
def predict(
    model: Model,
    data: Annotated[Path, Parameter(help="File with the columns of training, in any order.")],
    *,
    output: Annotated[Path | None, Parameter(help="CSV or Parquet file; default: the terminal.", alias="-o")] = None,
    encoding: Encoding = "utf-8",
    keep_formulas: Annotated[
        bool,
        Parameter(
            help="Write texts that a spreadsheet would run as formulas (=, +, -, @ first) as they are, without the"
            " apostrophe that else stands before them in CSV.",
            negative="",
        ),
    ] = False,
    flags: Annotated[PredictionFlags, Parameter(name="*", group=PREDICTION)] = PredictionFlags(),  # noqa: B008 - frozen
) -> None:
    """Add the predicted class and the probability of each class to the rows of a file.

    crossent predict runs/jobs new.csv -o predictions.csv

    crossent predict runs/jobs new.csv --coverage 0.9 --risk 0.1
    """
    from crossent.cli import commands

    commands.predict(model, data, output, encoding, flags, keep_formulas=keep_formulas)


@app.command
def evaluate(
    model: Model,
    data: Annotated[Path, Parameter(help="File with the columns of training and the target.")],
    *,
    weight: Annotated[
        str | None, Parameter(help="Column of numbers: how many rows each row counts as; 0 leaves a row out.")
    ] = None,
    encoding: Encoding = "utf-8",
    json: Json = False,
) -> None:
    """Judge a model on rows with known classes.

    crossent evaluate runs/jobs labelled.csv
    """
    from crossent.cli import commands

    commands.evaluate(model, data, encoding, weight=weight, as_json=json)


@app.command
def calibrate(
    logits: Logits,
    labels: Annotated[Path, Parameter(help="Class indices, 0 for the first column: one a row, in the same formats.")],
    *,
    output: Annotated[Path, Parameter(help="Folder for the calibration.", alias="-o")] = Path("calibration"),
    method: Annotated[
        CalibrationMethod, Parameter(help="What to try; auto keeps the best, judged by other rows.")
    ] = "auto",
    header: Header = "auto",
    json: Json = False,
) -> None:
    """Learn, from rows with known classes, how to make probabilities of any model's logits mean what they say.

    The rows must be others than those that the model was trained on.

    crossent calibrate logits.npy labels.npy -o calibration
    """
    from crossent.cli import calibrate as command

    command.calibrate(logits, labels, output, method, header, as_json=json)


@app.command
def apply_calibration(
    calibration: Annotated[Path, Parameter(help="Folder that crossent calibrate wrote.")],
    logits: Logits,
    *,
    output: Annotated[Path | None, Parameter(help=".npy or .csv file; default: the terminal.", alias="-o")] = None,
    header: Header = "auto",
) -> None:
    """Write the calibrated probability of each class for the logits of new rows.

    crossent apply-calibration calibration new.npy -o probs.npy
    """
    from crossent.cli import calibrate as command

    command.apply_calibration(calibration, logits, output, header)


@app.command
def diagnose(run: Run) -> None:
    """Say what went wrong in a training and what to do, from its history.

    crossent diagnose runs/jobs
    """
    from crossent.cli import history

    history.diagnose(run)


@app.command
def watch(
    run: Run,
    *,
    patience: Annotated[float, Parameter(help="Seconds without a new epoch after which it is taken for ended.")] = 60.0,
) -> None:
    """Follow a training from another terminal until it ends; Ctrl-C stops the watching, not the training.

    crossent watch runs/jobs
    """
    from crossent.cli import history

    history.watch(run, patience)


def main() -> None:
    """Run the command line; bad input gets one block and exit code 2."""
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ["RANK"] != "0":
        _follow()
        return
    try:
        app(join_named_values(sys.argv[1:]), exit_on_error=False, console=Console(), error_console=Console(stderr=True))
        # What waits to be written may find no room.
        sys.stdout.flush()
    except CrossentError as error:
        _fail(error)
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        _forget(sys.stdout)
        sys.exit(1)
    except OSError as error:
        _fail(without_name(error))
    except cyclopts.CycloptsError:
        # The message stands already.
        sys.exit(2)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            Console(stderr=True).print("Stopped.")
        sys.exit(130)


def _fail(error: CrossentError) -> NoReturn:
    """End with exit code 2, whether or not there is room for the message."""
    try:
        print_error(error)
    except OSError:
        _forget(sys.stderr)
    sys.exit(2)


def _forget(output: TextIO) -> None:
    """Lead what waits to be written nowhere: Python would complain again when it flushes at exit."""
    try:
        output.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())


def _follow() -> None:
    """Help the first of the processes that torchrun started, if there is something to train; it does all else.

    What is wrong with the command that one says; torchrun would end it before, if another one failed sooner.
    """
    from crossent.cli import following

    with contextlib.suppress(CrossentError, cyclopts.CycloptsError):
        command, _, _ = app.parse_args(join_named_values(sys.argv[1:]), exit_on_error=False, print_error=False)
        if command in (train, demo):
            following.follow()


def print_error(error: CrossentError) -> None:
    """Print an error as one block: the rule, what was met, what to do."""
    if isinstance(error, DiskError):
        _forget(sys.stdout)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("[bold red]Error[/] ", end="")
    for part in (error.rule, error.met, error.fix):
        if part:
            console.print(part, markup=False)
