"""The folder of a run: its name, and ``run.json``, which says what the run is made from."""

import dataclasses
import datetime
import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crossent.data.dataset import Dataset
from crossent.errors import DataError
from crossent.predictor import versions
from crossent.recipe import Recipe
from crossent.storage import write_file

DESCRIPTION, REPORT = "run.json", "report.html"


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
    """Return a sha256 of the rows and labels, so that two runs can be told to rest on the same data."""
    digest = hashlib.sha256(repr((list(dataset.frame.columns), dataset.classes)).encode())
    digest.update(pd.util.hash_pandas_object(dataset.frame, index=False).to_numpy().tobytes())
    digest.update(dataset.target.tobytes())
    return digest.hexdigest()


def make_run_folder(description: Mapping[str, Any], runs: Path, name: str) -> Path:
    """Make ``<runs>/<name>``, or ``<name>-2`` and on where that is taken; none is ever seen without its description."""
    runs.mkdir(parents=True, exist_ok=True)
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


def read_request(folder: Path) -> dict[str, Any]:
    """Return what it takes to read the rows of an unfinished run.

    Raises
    ------
    DataError
        If there is no run, or if it is finished.
    """
    request: dict[str, Any] = read_description(folder)["request"]
    if (folder / REPORT).is_file():
        raise DataError(
            "A run that is finished has nothing to go on with.",
            f"{folder / REPORT} is there.",
            "Begin a new run with crossent train FILE --target COLUMN.",
        )
    return request


def changed_versions(folder: Path) -> tuple[str, ...]:
    """Return, in words, the libraries of a run that have another version now: results may differ by them."""
    begun, now = read_description(folder)["environment"], versions()
    return tuple(f"{name} was {begun.get(name)}, is {now[name]}" for name in now if begun.get(name) != now[name])


def read_description(folder: Path) -> dict[str, Any]:
    """Return what ``run.json`` holds.

    Raises
    ------
    DataError
        If it is missing or damaged.
    """
    path = folder / DESCRIPTION
    rule, fix = f"The folder of a run has a {DESCRIPTION}.", "Give the folder of a run: runs/NAME."
    if not path.is_file():
        raise DataError(rule, f"There is no file {path}.", fix)
    try:
        description = json.loads(path.read_bytes())
        missing = {"created", "environment", "fingerprint", "held_out", "recipe", "request"} - set(description)
    except (ValueError, TypeError) as error:
        raise DataError(rule, f"{path} cannot be read: {error}.", fix) from error
    if missing:
        raise DataError(rule, f"{path} lacks {', '.join(sorted(missing))}.", fix)
    return dict(description)


def write_json(path: Path, value: object) -> None:
    """Write plain values as JSON, in one step."""
    write_file(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
