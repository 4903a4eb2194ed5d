"""The folder of a run: its name, and ``run.json``, which says what the run is made from."""

import dataclasses
import datetime
import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from crossent.data.dataset import Dataset
from crossent.data.folder import RUN_FILE
from crossent.disk import naming, write_file
from crossent.errors import DataError, SettingError
from crossent.file_lock import lock
from crossent.fitting.recipe import Recipe
from crossent.predictor import versions
from crossent.typed_json import build, read_object, shorten

DESCRIPTION, HISTORY, REPORT = RUN_FILE, "history.jsonl", "report.html"
CHECKPOINTS, MODEL, BOARD = "checkpoints", "model", "tensorboard"
# Characters of a name that comes from a file; a temporary name is longer, and most disks end at 255 bytes.
_MOST_NAME = 50
# Tables of very many columns have long descriptions; longer ones are no descriptions.
_MOST_BYTES = 256_000_000
# Another process needs the folder of all runs for milliseconds.
_LOCK_SECONDS = 10.0


T = TypeVar("T")
_BEGIN_ANEW = "Give the folder of a whole run, or begin a new run."


@dataclass(frozen=True)
class RunDescription:
    """What ``run.json`` says of a run that is to go on.

    Attributes
    ----------
    created
        Date and time.
    source
        The file of the rows.
    fingerprint
        Of the rows.
    held_out
        Share of the rows that training never sees.
    recipe
        All settings.
    environment
        Versions of the libraries that it began with.
    request
        What it takes to read the rows again; whoever began the run knows its types.
    """

    created: str
    source: str
    fingerprint: str
    held_out: float
    recipe: Recipe
    environment: dict[str, str]
    request: dict[str, Any]


@dataclass(frozen=True)
class _Record:
    """The same as JSON holds it."""

    created: str
    source: str
    fingerprint: str
    held_out: float
    recipe: dict[str, Any]
    environment: dict[str, str]
    request: dict[str, Any]

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}")


_READ = {field.name for field in dataclasses.fields(_Record)}


def describe_run(dataset: Dataset, recipe: Recipe, held_out: float, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``run.json`` says of a run: all that it takes to train, and what it rests on.

    Parameters
    ----------
    dataset
        All labelled rows.
    recipe
        All settings of the training.
    held_out
        Share of the rows that training never sees.
    request
        What it takes to read the rows again, as JSON can hold it.
    """
    return {
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "source": dataset.source,
        "target": dataset.target_name,
        "rows": len(dataset),
        "fingerprint": fingerprint(dataset),
        "classes": list(dataset.classes),
        "class_counts": dataset.class_counts.tolist(),
        "columns": [dataclasses.asdict(column) for column in dataset.columns],
        "notes": list(dataset.notes),
        "held_out": held_out,
        "recipe": dataclasses.asdict(recipe),
        "environment": versions(),
        "request": dict(request),
    }


def fingerprint(dataset: Dataset) -> str:
    """Return a sha256 of the rows, labels and weights, so that two runs can be told to rest on the same data."""
    digest = hashlib.sha256(repr((list(dataset.frame.columns), dataset.classes)).encode())
    digest.update(dataset.row_hashes.tobytes())
    digest.update(dataset.target.tobytes())
    if dataset.weight is not None:
        digest.update(dataset.weight.tobytes())
    return digest.hexdigest()


def name_of_run(source: Path) -> str:
    """Return what the run of a file or a folder is called: its name, without the ending that says how it is written.

    Examples
    --------
    >>> name_of_run(Path("data/2024.01.jobs.csv.gz")), name_of_run(Path(".jobs.csv"))
    ('2024.01.jobs', 'jobs')
    """
    name = source.name.lstrip(".") or source.resolve().name
    if not source.is_dir():
        name = Path(name.removesuffix(".gz").removesuffix(".GZ")).stem
    return name.strip(". ")[:_MOST_NAME].strip(". ") or "run"


def make_run_folder(description: Mapping[str, Any], runs: Path, name: str) -> Path:
    """Make ``<runs>/<name>``, or ``<name>-2`` and on where that is taken; none is ever seen without its description.

    Raises
    ------
    DiskError
        If it cannot be made.
    """
    with naming(runs / name):
        runs.mkdir(parents=True, exist_ok=True)
        # Held while there is a folder without a name: whoever holds it knows that such folders are left from a crash.
        with lock(runs, _LOCK_SECONDS):
            unnamed = Path(tempfile.mkdtemp(dir=runs, prefix=f".{name}."))
            try:
                # mkdtemp makes folders that only their owner can read.
                unnamed.chmod(runs.stat().st_mode)
                write_json(unnamed / DESCRIPTION, description)
                return _rename_to_free_name(unnamed, runs / name)
            except BaseException:
                shutil.rmtree(unnamed, ignore_errors=True)
                raise


def _rename_to_free_name(folder: Path, wanted: Path) -> Path:
    """Give a folder the name that is wanted, or that with ``-2`` and on where it is taken."""
    name, number = wanted, 1
    while True:
        try:
            if not name.exists():
                return folder.rename(name)
        except OSError as error:
            # Somebody else was faster.
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise
        number += 1
        name = wanted.with_name(f"{wanted.name}-{number}")


def check_unfinished(folder: Path) -> None:
    """Check that a run is not finished.

    Raises
    ------
    DataError
        If it is.
    """
    if (folder / REPORT).is_file():
        raise DataError(
            "A run that is finished has nothing to go on with.",
            f"{folder / REPORT} is there.",
            "Begin a new run with crossent train FILE --target COLUMN.",
        )


def changed_versions(description: RunDescription) -> tuple[str, ...]:
    """Return, in words, the libraries of a run that have another version now: results may differ by them."""
    begun, now = description.environment, versions()
    changed = [name for name in now if begun.get(name) != now[name]]
    return tuple(f"{name} was {shorten(begun.get(name, 'missing'))}, is {now[name]}" for name in changed)


def read_description(folder: Path) -> RunDescription:
    """Return what ``run.json`` holds.

    Raises
    ------
    DataError
        If it is missing, damaged, or of a version with other settings.
    """
    path = folder / DESCRIPTION
    rule, fix = f"The folder of a run has a {DESCRIPTION}.", "Give the folder of a run: runs/NAME."
    if not path.is_file():
        raise DataError(rule, f"There is no file {path}.", fix)
    try:
        record = read_object(path, _MOST_BYTES)
        record = {name: value for name, value in record.items() if name in _READ}
        begun = build(_Record, record)
    except ValueError as error:
        raise DataError(rule, f"{path} cannot be read: {shorten(str(error))}.", _BEGIN_ANEW) from error
    recipe = read_settings(path, Recipe, begun.recipe, begun.environment)
    return RunDescription(**record | {"recipe": recipe})


def read_settings(path: Path, cls: type[T], settings: Mapping[str, Any], environment: Mapping[str, str]) -> T:
    """Return settings that ``run.json`` holds, if they are those of this version of crossent.

    Raises
    ------
    DataError
        If they are those of another version, or damaged.
    """
    try:
        return build(cls, settings)
    except ValueError as error:
        met = f"{error.rule} {error.met}" if isinstance(error, SettingError) else str(error)
        version = shorten(environment.get("crossent", ""))
        raise DataError(
            "A run goes on with settings that this version of crossent knows.",
            f"Those of {path}: {met.rstrip('.')}.",
            f"Go on with the version that began it, crossent {version}, or begin a new run.",
        ) from error


def write_json(path: Path, value: object) -> None:
    """Write plain values as JSON, in one step."""
    write_file(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
