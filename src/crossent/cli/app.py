"""Commands and flags; what each does is imported only when it runs, so that ``--help`` answers at once."""

import contextlib
import dataclasses
import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import App, Group, Parameter

from crossent import __version__
from crossent.cli.terminal import Console
from crossent.data.column import Kind
from crossent.disk import without_name
from crossent.errors import CrossentError, DiskError, SettingError
from crossent.fitting.recipe import Recipe

_ENCODING = "Encoding of the text file: utf-8, latin-1, cp1252."
# Characters of a name that comes from a file; a temporary name is longer, and most disks end at 255 bytes.
MOST_NAME = 50
_ROWS = Group("Rows", sort_key=1)
_PREDICTION = Group("Prediction", sort_key=1)
_RECIPE = Group("Recipe", help="Also keys of the file that --config names.", sort_key=2)

app = App(
    name="crossent",
    version=__version__,
    help="From your own table or text to a multiclass classifier whose probabilities you can trust.\n\n"
    "Start with `crossent demo`, then `crossent train your.csv --target your_column`.",
)


@dataclass(frozen=True, kw_only=True)
class RowFlags:
    """Flags that say what the rows of a file mean, and which of them judge the model."""

    target: Annotated[str | None, Parameter(help="Column that holds the class to predict.")] = None
    groups: Annotated[str | None, Parameter(help="Column; rows with the same value are never split.")] = None
    time: Annotated[str | None, Parameter(help="Column of dates or numbers; the latest rows are held out.")] = None
    kind: Annotated[
        dict[str, Kind] | None,
        Parameter(help="Kind of a column where the inferred one is wrong: --kind.zip=category"),
    ] = None
    held_out: Annotated[float, Parameter(help="Share of the rows kept apart to judge the model.")] = 0.25
    encoding: Annotated[str, Parameter(help=_ENCODING)] = "utf-8"


@dataclass(frozen=True, kw_only=True)
class PredictionFlags:
    """Flags that say what is to be predicted."""

    prior: Annotated[
        str | None,
        Parameter(
            help="Class shares of the new rows where they differ from training: uniform, estimate (found from the rows"
            " themselves), or LABEL=SHARE,LABEL=SHARE,…"
        ),
    ] = None
    costs: Annotated[
        Path | None,
        Parameter(
            help="CSV file of what each error costs: a line a true class, its label first, a column a predicted class;"
            " the cheapest class is predicted."
        ),
    ] = None
    coverage: Annotated[
        float | None,
        Parameter(help="Add a column with the classes that a row may have, right in this share of the rows: 0.9."),
    ] = None
    by: Annotated[
        Literal["overall", "class", "cluster"],
        Parameter(help="What --coverage is promised for: all rows, those of each class, or of clusters of classes."),
    ] = "overall"
    risk: Annotated[
        float | None,
        Parameter(help="Add a column that says which rows to hand to a person, so that at most this share is wrong."),
    ] = None
    top: Annotated[
        int | None, Parameter(help="Give the so many most probable classes in place of a column for each class.")
    ] = None


Json = Annotated[bool, Parameter(help="Print one JSON object, for machines.", negative="")]


def flag_name(name: str) -> str:
    """Return the flag of a setting, which is also its key in TOML: ``max_rounds`` is ``max-rounds``, and C stays C."""
    return name if name == "C" else cyclopts.default_name_transform(name)


RecipeFlags = Annotated[Recipe, Parameter(name="*", group=_RECIPE, name_transform=flag_name)]
Model = Annotated[Path, Parameter(help="A run folder (runs/NAME) or a saved model.")]
Run = Annotated[Path, Parameter(help="A run folder (runs/NAME), or that of a ce.Monitor.")]
Encoding = Annotated[str, Parameter(help=_ENCODING)]
Logits = Annotated[
    Path, Parameter(help="Raw scores, a row for each row and a column for each class: .npy, or CSV or Parquet.")
]
CalibrationMethod = Literal["auto", "identity", "temperature", "vector", "matrix"]


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
    rows: Annotated[RowFlags, Parameter(name="*", group=_ROWS)] = RowFlags(),
    resume: Annotated[
        Path | None,
        Parameter(
            help="Run folder to go on with; the file and all settings but --time-budget are those it began with."
        ),
    ] = None,
    runs: Annotated[Path, Parameter(help="Where the run folder goes.")] = Path("runs"),
    name: Annotated[str | None, Parameter(help="Name of the run folder; default: that of the file.")] = None,
    config: Annotated[Path | None, Parameter(help="TOML file with settings; flags overrule it.")] = None,
    json: Json = False,
    recipe: RecipeFlags = Recipe(),  # noqa: B008 - frozen, so sharing it is safe
) -> None:
    """Train a classifier, judge it on rows it has not seen, and write model and report to runs/NAME.

    crossent train jobs.csv --target class

    crossent train --resume runs/jobs
    """
    del config  # read before the flags are parsed
    from crossent.cli import commands

    if resume is not None:
        _check_alone(data, rows, recipe)
        commands.resume(resume, recipe.time_budget, as_json=json)
        return
    if data is None:
        example = "Name it: crossent train jobs.csv --target class"
        raise SettingError("Training needs a file.", "None was given.", example)
    commands.train(data, rows, recipe, runs=runs, name=default_name(data) if name is None else name, as_json=json)


def default_name(data: Path) -> str:
    """Return what the run of a file is called: the file's name up to its first dot.

    Examples
    --------
    >>> default_name(Path("data/jobs.csv.gz")), default_name(Path(".jobs.csv"))
    ('jobs', 'jobs')
    """
    name = data.name.lstrip(".") or data.resolve().name.lstrip(".")
    return name.split(".")[0][:MOST_NAME] or "run"


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
    flags: Annotated[PredictionFlags, Parameter(name="*", group=_PREDICTION)] = PredictionFlags(),
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
    encoding: Encoding = "utf-8",
    json: Json = False,
) -> None:
    """Judge a model on rows with known classes.

    crossent evaluate runs/jobs labelled.csv
    """
    from crossent.cli import commands

    commands.evaluate(model, data, encoding, as_json=json)


@app.command
def calibrate(
    logits: Logits,
    labels: Annotated[Path, Parameter(help="Class indices, 0 for the first column: one a row, in the same formats.")],
    *,
    output: Annotated[Path, Parameter(help="Folder for the calibration.", alias="-o")] = Path("calibration"),
    method: Annotated[
        CalibrationMethod, Parameter(help="What to try; auto keeps the best, judged by other rows.")
    ] = "auto",
    json: Json = False,
) -> None:
    """Learn, from rows with known classes, how to make probabilities of any model's logits mean what they say.

    The rows must be others than those that the model was trained on.

    crossent calibrate logits.npy labels.npy -o calibration
    """
    from crossent.cli import calibrate as command

    command.calibrate(logits, labels, output, method, as_json=json)


@app.command
def apply_calibration(
    calibration: Annotated[Path, Parameter(help="Folder that crossent calibrate wrote.")],
    logits: Logits,
    *,
    output: Annotated[Path | None, Parameter(help=".npy or .csv file; default: the terminal.", alias="-o")] = None,
) -> None:
    """Write the calibrated probability of each class for the logits of new rows.

    crossent apply-calibration calibration new.npy -o probs.npy
    """
    from crossent.cli import calibrate as command

    command.apply_calibration(calibration, logits, output)


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
        app.config = _config(sys.argv[1:])
        app(sys.argv[1:], exit_on_error=False, console=Console(), error_console=Console(stderr=True))
        # What waits to be written may find no room.
        sys.stdout.flush()
    except CrossentError as error:
        print_error(error)
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        _forget_output()
        sys.exit(1)
    except OSError as error:
        print_error(without_name(error))
        sys.exit(2)
    except cyclopts.CycloptsError:
        # The message stands already.
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped.")
        sys.exit(130)


def _forget_output() -> None:
    """Lead what waits to be written nowhere: Python would complain again when it flushes at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _follow() -> None:
    """Help the first of the processes that torchrun started, if there is something to train; it does all else.

    What is wrong with the command that one says; torchrun would end it before, if another one failed sooner.
    """
    from crossent.cli import following

    with contextlib.suppress(CrossentError, cyclopts.CycloptsError):
        app.config = _config(sys.argv[1:])
        command, _, _ = app.parse_args(sys.argv[1:], exit_on_error=False, print_error=False)
        if command in (train, demo):
            following.follow()


def _config(arguments: list[str]) -> tuple[cyclopts.config.Toml, ...]:
    """Return the reader of the file that --config names: it must be known before the other flags are parsed."""
    if "--config" not in arguments[:-1]:
        return ()
    path = Path(arguments[arguments.index("--config") + 1])
    if not path.is_file():
        raise SettingError("The config file must exist.", f"There is no file {path}.", "Check the path.")
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        example = 'Write settings like this: model = "linear"'
        raise SettingError("The config file must be TOML.", f"{path}: {error}.", example) from error
    return (cyclopts.config.Toml(path, use_commands_as_keys=False),)


def print_error(error: CrossentError) -> None:
    """Print an error as one block: the rule, what was met, what to do."""
    if isinstance(error, DiskError):
        _forget_output()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("[bold red]Error[/] ", end="")
    for part in (error.rule, error.met, error.fix):
        if part:
            console.print(part, markup=False)
