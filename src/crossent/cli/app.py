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
        Path | None, Parameter(help="CSV, TSV, Parquet or Feather file, also compressed as .gz; or a folder of texts.")
    ] = None,
    *,
    rows: Annotated[RowFlags, Parameter(name="*", group=ROWS)] = RowFlags(),  # noqa: B008 - frozen
    resume: Annotated[
        Path | None,
        Parameter(
            help="Run folder of an interrupted training that is to be continued. File and settings stay as they were;"
            " only --time-budget can be changed."
        ),
    ] = None,
    runs: Annotated[Path, Parameter(help="Folder in which the run folder is made.")] = Path("runs"),
    name: Annotated[
        str | None, Parameter(help="Name of the run folder. Default: the name of the file without its ending.")
    ] = None,
    config: Annotated[
        Path | None, Parameter(help="TOML file with settings, for settings that you use often; flags overrule it.")
    ] = None,
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
    """Check that a resumed run gets no new file and no new setting, except for its time budget."""
    if data is not None or rows != RowFlags() or dataclasses.replace(recipe, time_budget=None) != Recipe():
        raise SettingError(
            "A run is resumed with the file and the settings that it began with.",
            "--resume was given together with a file or with other settings.",
            "Leave them out; only --time-budget can be changed.",
        )


@app.command
def predict(
    model: Model,
    data: Annotated[Path, Parameter(help="File with the columns that the model was trained on, in any order.")],
    *,
    output: Annotated[
        Path | None, Parameter(help="CSV or Parquet file to write. Default: the terminal.", alias="-o")
    ] = None,
    encoding: Encoding = "utf-8",
    keep_formulas: Annotated[
        bool,
        Parameter(
            help="Write texts that begin with =, +, - or @ to CSV unchanged. Otherwise an apostrophe is put before"
            " them, because a spreadsheet would run them as formulas. For files that only programs read.",
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
    data: Annotated[
        Path, Parameter(help="File with the columns that the model was trained on, and the target column.")
    ],
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
    labels: Annotated[
        Path, Parameter(help="The true class of each row as an index, 0 for the first column; in the same formats.")
    ],
    *,
    output: Annotated[Path, Parameter(help="Folder to which the calibration is saved.", alias="-o")] = Path(
        "calibration"
    ),
    method: Annotated[
        CalibrationMethod,
        Parameter(
            help="How logits are corrected: identity (not at all), temperature (one number for all classes), vector"
            " (two numbers for each class), matrix (all pairs of classes), or auto: the method with the lowest"
            " log-loss in cross-validation."
        ),
    ] = "auto",
    header: Header = "auto",
    json: Json = False,
) -> None:
    """Learn, from rows with known classes, how to turn the logits of any model into calibrated probabilities.

    The model must not have been trained on these rows.

    crossent calibrate logits.npy labels.npy -o calibration
    """
    from crossent.cli import calibrate as command

    command.calibrate(logits, labels, output, method, header, as_json=json)


@app.command
def apply_calibration(
    calibration: Annotated[Path, Parameter(help="Folder that crossent calibrate wrote.")],
    logits: Logits,
    *,
    output: Annotated[
        Path | None, Parameter(help=".npy or .csv file to write. Default: the terminal.", alias="-o")
    ] = None,
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
    patience: Annotated[float, Parameter(help="Stop after this many seconds without a new epoch.")] = 60.0,
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
        # The output that is still in the buffer may find no room on the disk.
        sys.stdout.flush()
    except CrossentError as error:
        _fail(error)
    except BrokenPipeError:
        # The program that read the output has ended, as `head` does.
        _forget(sys.stdout)
        sys.exit(1)
    except OSError as error:
        _fail(without_name(error))
    except cyclopts.CycloptsError:
        # The message is printed already.
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
    """Discard the buffered output: Python would complain again when it flushes the buffer at exit."""
    try:
        output.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())


def _follow() -> None:
    """Take part in the training that the first of the processes of torchrun leads; it does everything else.

    Only the leader reports errors of the command: if another process failed first, torchrun would end the leader
    before it could.
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
