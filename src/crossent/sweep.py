"""Removes what killed processes left in the folders of runs; everything that is not known to be theirs stays.

The locks show that the process has ended: a process that trains a run holds the lock of its ``run.json``, and a process
that makes a folder under a temporary name holds the lock of the folder of all runs.
"""

import contextlib
import re
import stat
from pathlib import Path

from crossent.disk import replaced_name
from crossent.file_lock import lock
from crossent.run_folder import CHECKPOINTS, DESCRIPTION, HISTORY, MODEL, REPORT
from crossent.train.checkpoint import remove

# What a run writes to its folder; `crossent.disk.replacing` puts a dot before and eight digits after the name.
WRITTEN = {DESCRIPTION, REPORT, HISTORY, "learning_rate.json", "metrics.json", "ngrams.csv"}
_OF_MODEL = re.compile(r"model\.json|.+-[0-9a-f]{16}\.(safetensors|txt)")
_UNNAMED = re.compile(r"\..+\.[0-9a-z_]{8}")


def sweep_runs(runs: Path) -> None:
    """Remove what killed processes left in a folder of runs, as far as this process has the permission.

    Parameters
    ----------
    runs
        Holds run folders and perhaps other things; it may be missing.
    """
    with contextlib.suppress(OSError), lock(runs, 0) as state:
        if state != "held":
            return
        for path in sorted(runs.iterdir()):
            if path.is_symlink() or not path.is_dir():
                continue
            if _UNNAMED.fullmatch(path.name) and _holds_a_description_at_most(path):
                remove(path)
            elif (path / DESCRIPTION).is_file():
                with lock(path / DESCRIPTION, 0) as state_of_run:
                    if state_of_run == "held":
                        sweep_run(path)


def sweep_run(folder: Path) -> None:
    """Remove what a killed process left in the folder of a run, of which this process holds the lock.

    These are files under temporary names and, if the report exists and the run is therefore finished, its checkpoints.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if replaced_name(path.name) in WRITTEN and _is_file(path):
                path.unlink()
        if (folder / REPORT).is_file():
            remove(folder / CHECKPOINTS)
        for path in (folder / MODEL).iterdir():
            if _OF_MODEL.fullmatch(replaced_name(path.name) or "") and _is_file(path):
                path.unlink()


def _holds_a_description_at_most(folder: Path) -> bool:
    return all(DESCRIPTION in (path.name, replaced_name(path.name)) and _is_file(path) for path in folder.iterdir())


def _is_file(path: Path) -> bool:
    """Say whether a path is a file and not a link to a file."""
    return stat.S_ISREG(path.lstat().st_mode)
