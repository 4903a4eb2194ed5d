"""What an interrupted training needs to go on, to the bit; no crash at any instant harms it.

A training's folder holds the tensors of the last step, the parameters of the best epoch, and ``checkpoint.json``, which
names both with their sha256. Each file is written under a temporary name, flushed to disk and renamed, the index last:
until then the checkpoint before is whole, and what it names is removed only after.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, final

import safetensors.torch
from torch import Tensor

from crossent.errors import CheckpointError
from crossent.storage import load_folder, save_folder, write_file

INDEX = "checkpoint.json"
FORMAT, FORMAT_VERSION = "crossent-checkpoint", 2
FITTED = "fitted"
# The next checkpoint waits so many times as long as the last one took: then keeping them takes 2 % of the time at most.
PAUSE = 50

T = TypeVar("T")


def never_interrupted() -> bool:
    """Interrupt nothing."""
    return False


class TrainingInterruptedError(Exception):
    """Training was asked to interrupt itself, and kept its last step."""


@dataclass(frozen=True, eq=False)
class State:
    """All that a training changes.

    Attributes
    ----------
    step
        Steps that were taken.
    tensors
        By name.
    best_epoch, best
        The best epoch so far, and its parameters.
    numbers
        What else there is, as JSON can hold it.
    """

    step: int
    tensors: dict[str, Tensor]
    best_epoch: int
    best: dict[str, Tensor]
    numbers: dict[str, Any]


@final
class Checkpoint:
    """The checkpoint of one training.

    Parameters
    ----------
    folder
        Of this training alone; made when there is something to keep.
    interrupted
        Asked after each step; True interrupts training.

    Examples
    --------
    >>> import tempfile, torch
    >>> folder = Path(tempfile.mkdtemp()) / "network"
    >>> state = State(3, {"weight": torch.ones(2)}, 1, {"0": torch.zeros(2)}, {"epoch": 1})
    >>> Checkpoint(folder, lambda: False).after_step(lambda: state)
    >>> Checkpoint(folder, lambda: False).load().tensors["weight"]
    tensor([1., 1.])
    """

    def __init__(self, folder: Path, interrupted: Callable[[], bool]) -> None:
        self.folder = folder
        self._interrupted = interrupted
        self._next = -float("inf")

    def after_step(self, state: Callable[[], State]) -> None:
        """Keep the state if one is due; interrupt training if that is asked for.

        Raises
        ------
        TrainingInterruptedError
            After the state was kept.
        CheckpointError
            If the state cannot be written; the one kept before is whole.
        """
        interrupted = self._interrupted()
        if interrupted or time.monotonic() >= self._next:
            started = time.monotonic()
            self._save(state())
            ended = time.monotonic()
            self._next = ended + PAUSE * (ended - started)
        if interrupted:
            raise TrainingInterruptedError

    def raise_if_interrupted(self) -> None:
        """Interrupt training if that is asked for.

        Raises
        ------
        TrainingInterruptedError
            If so.
        """
        if self._interrupted():
            raise TrainingInterruptedError

    def load(self) -> State | None:
        """Return the state kept last; None if there is none.

        Raises
        ------
        CheckpointError
            If it is damaged.
        """
        path = self.folder / INDEX
        if not path.is_file():
            return None
        try:
            index = json.loads(path.read_bytes())
            if (index["format"], index["format_version"]) != (FORMAT, FORMAT_VERSION):
                raise _damaged(path, f"it has format {index['format']!r} {index['format_version']!r}")
            tensors, best = (self._read(index["files"][role]) for role in ("last", "best"))
            return State(index["step"], tensors, index["best_epoch"], best, index["numbers"])
        except CheckpointError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, f"{type(error).__name__}: {error}") from error

    def finish(self, fitted: object) -> None:
        """Keep what the training led to, a frozen dataclass of arrays, in the place of its state.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        # One that a crash left unfinished is in the way.
        shutil.rmtree(self.folder / FITTED, ignore_errors=True)
        try:
            save_folder(self.folder / FITTED, fitted, {})
        except OSError as error:
            raise _unwritten(self.folder, error) from error
        self._remove_all_but({FITTED})

    def finished(self, cls: type[T]) -> T | None:
        """Return what `finish` kept; None if there is nothing.

        Raises
        ------
        ModelFileError
            If it is damaged.
        """
        path = self.folder / FITTED
        return load_folder(path, cls) if (path / "model.json").is_file() else None

    def _save(self, state: State) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            files = {
                "last": self._write(f"step-{state.step}", state.tensors),
                "best": self._write(f"best-epoch-{state.best_epoch}", state.best),
            }
            index = {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "step": state.step,
                "best_epoch": state.best_epoch,
                "files": files,
                "numbers": state.numbers,
            }
            write_file(self.folder / INDEX, json.dumps(index, indent=1, allow_nan=False).encode())
        except OSError as error:
            raise _unwritten(self.folder, error) from error
        self._remove_all_but({INDEX, *(entry["name"] for entry in files.values())})

    def _write(self, stem: str, tensors: dict[str, Tensor]) -> dict[str, str]:
        data = safetensors.torch.save({key: value.contiguous() for key, value in tensors.items()})
        sha256 = hashlib.sha256(data).hexdigest()
        # A name by content: no file that an index names is ever written again.
        path = self.folder / f"{stem}-{sha256[:16]}.safetensors"
        if not path.exists():
            write_file(path, data)
        return {"name": path.name, "sha256": sha256}

    def _read(self, entry: dict[str, str]) -> dict[str, Tensor]:
        path = self.folder / Path(entry["name"]).name
        if not path.is_file():
            raise _damaged(path, "the file is missing")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise _damaged(path, "its content does not match its checksum")
        return safetensors.torch.load(data)

    def _remove_all_but(self, names: set[str]) -> None:
        """Remove what an earlier state needed, or a crash left half written."""
        for path in self.folder.iterdir():
            if path.name not in names:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, one of each training.

    Attributes
    ----------
    folder
        Made when there is something to keep.
    interrupted
        Asked after each step; True interrupts training.
    """

    folder: Path
    interrupted: Callable[[], bool]

    def of(self, model: str, fold: int) -> Checkpoint:
        """Return that of a model and a fold, counted from 1."""
        return Checkpoint(self.folder / f"{model}-{fold}", self.interrupted)

    def remove(self) -> None:
        """Remove them all: what a run ended with says all that they did."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)


def _damaged(path: Path, met: str) -> CheckpointError:
    return CheckpointError(
        "A checkpoint must be complete and unchanged.",
        f"{path}: {met}.",
        f"Remove {path.parent} to begin this part of the training anew, then resume.",
    )


def _unwritten(folder: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        "Training keeps its state on disk.",
        f"{folder} cannot be written: {error.strerror or error}.",
        "Make room, or allow writing there, and resume: the state kept before is whole.",
    )
