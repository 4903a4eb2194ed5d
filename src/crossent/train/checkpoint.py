"""Checkpoints, from which an interrupted training continues with the same bits; a crash at any time does no harm.

The folder of a training holds the tensors of the last step, the parameters of the best epoch, and ``checkpoint.json``,
which names both with their sha256. Each file is written under a temporary name, flushed to the disk and renamed, the
index last. Until then the previous checkpoint is complete, and its files are removed only afterwards.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, final

import safetensors
import safetensors.torch
from torch import Tensor

from crossent.disk import naming, write_file
from crossent.errors import CheckpointError, ModelFileError
from crossent.model_files import read_file
from crossent.storage import load_folder, save_folder
from crossent.typed_json import build, read_object, shorten

INDEX = "checkpoint.json"
FORMAT, FORMAT_VERSION = "crossent-checkpoint", 4
FITTED = "fitted"
_MOST_INDEX_BYTES = 1_000_000
# The next checkpoint waits this many times the duration of the last one, so checkpoints take at most 2 % of the time.
PAUSE = 50

T = TypeVar("T")


def never_interrupted() -> bool:
    """Interrupt nothing."""
    return False


def nothing_before() -> None:
    """Do nothing before a checkpoint is written."""


class TrainingInterruptedError(Exception):
    """Training was interrupted on request, after it saved its last step."""


class StateMismatchError(Exception):
    """A state belongs to another training; the argument says what differs."""


@dataclass(frozen=True, eq=False)
class State:
    """Everything that a training changes.

    Attributes
    ----------
    step
        Number of steps so far.
    tensors
        By name.
    best_epoch, best
        The best epoch so far, and its parameters.
    numbers
        Further numbers, as JSON can hold them.
    """

    step: int
    tensors: dict[str, Tensor]
    best_epoch: int
    best: dict[str, Tensor]
    numbers: dict[str, Any]

    def check_like(self, other: "State") -> None:
        """Check that this has the tensors of another state, of the same shapes and types.

        Raises
        ------
        StateMismatchError
            If it does not have them.
        """
        for met, expected in ((self.tensors, other.tensors), (self.best, other.best)):
            if different := sorted(met.keys() ^ expected.keys()):
                raise StateMismatchError(f"tensors are missing or unknown: {', '.join(different)}")
            for name, tensor in expected.items():
                if (met[name].shape, met[name].dtype) != (tensor.shape, tensor.dtype):
                    was = f"{tuple(met[name].shape)} {met[name].dtype}, not {tuple(tensor.shape)} {tensor.dtype}"
                    raise StateMismatchError(f"{name} is {was}")


@dataclass(frozen=True)
class _Index:
    """The content of the index of a checkpoint, without its format."""

    step: int
    best_epoch: int
    files: dict[str, dict[str, str | int]]
    numbers: dict[str, int | float | None]


@dataclass(frozen=True)
class _File:
    """A file of tensors."""

    name: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or "\0" in self.name:
            raise ValueError(f"it names a file outside its folder, {shorten(repr(self.name))}")


@dataclass(frozen=True)
class _Files:
    """Those of a checkpoint."""

    last: _File
    best: _File


@final
class Checkpoint:
    """The checkpoint of one training.

    Parameters
    ----------
    folder
        The folder of this training only; it is made when there is something to save.
    interrupted
        Asked after each step; True interrupts training.
    before
        Called before anything is saved, to flush what must never be behind a checkpoint to the disk.

    Examples
    --------
    >>> import tempfile, torch
    >>> folder = Path(tempfile.mkdtemp()) / "network"
    >>> state = State(3, {"weight": torch.ones(2)}, 1, {"0": torch.zeros(2)}, {"epoch": 1})
    >>> Checkpoint(folder, lambda: False).after_step(lambda: state)
    >>> Checkpoint(folder, lambda: False).load().tensors["weight"]
    tensor([1., 1.])
    """

    def __init__(
        self, folder: Path, interrupted: Callable[[], bool], before: Callable[[], None] = nothing_before
    ) -> None:
        self.folder = folder
        self._interrupted, self._before = interrupted, before
        self._next = -float("inf")

    def after_step(self, state: Callable[[], State]) -> None:
        """Save the state if it is time for it; interrupt training if that is asked for.

        Raises
        ------
        TrainingInterruptedError
            After the state was saved.
        DiskError
            If the state cannot be written; the previous one is then complete.
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
            If it is asked for.
        """
        if self._interrupted():
            raise TrainingInterruptedError

    def load(self) -> State | None:
        """Return the last saved state, or None.

        Raises
        ------
        CheckpointError
            If it is damaged.
        """
        path = self.folder / INDEX
        self._check_no_link()
        if not path.is_file():
            return None
        try:
            record = read_object(path, _MOST_INDEX_BYTES)
            written = (record.pop("format", None), record.pop("format_version", None))
            if written != (FORMAT, FORMAT_VERSION):
                raise ValueError(f"it has format {shorten(repr(written))}")
            index = build(_Index, record)
            files = build(_Files, {role: build(_File, entry) for role, entry in index.files.items()})
        except ValueError as error:
            raise _damaged(path, str(error)) from error
        last, best = self._read(files.last), self._read(files.best)
        return State(index.step, last, index.best_epoch, best, index.numbers)

    def of_another_training(self, error: StateMismatchError) -> CheckpointError:
        """Return the error for a saved state that belongs to another training."""
        return _damaged(self.folder / INDEX, f"it is the state of another training: {error}")

    def finish(self, fitted: object) -> None:
        """Save the result of the training, a frozen dataclass of arrays, in place of its state.

        Raises
        ------
        DiskError
            If it cannot be written.
        """
        self._before()
        with naming(self.folder / FITTED):
            # Remove a folder that a crash left unfinished.
            remove(self.folder / FITTED)
            save_folder(self.folder / FITTED, fitted, {})
            self._remove_all_but({FITTED})

    def finished(self, cls: type[T]) -> T | None:
        """Return what `finish` saved, or None.

        Raises
        ------
        CheckpointError
            If it is damaged.
        """
        path = self.folder / FITTED
        self._check_no_link()
        if not (path / "model.json").is_file():
            return None
        try:
            return load_folder(path, cls)
        except ModelFileError as error:
            raise _damaged(path, error.met.removeprefix(f"{path}/").rstrip(".")) from error

    def fitted_differs(self, met: str) -> CheckpointError:
        """Return the error for a result of `finish` that does not fit the rows of this training."""
        return _damaged(self.folder / FITTED, met)

    def _check_no_link(self) -> None:
        """Check that this folder and the folder of all checkpoints are not links, because files are removed there."""
        if self.folder.parent.is_symlink():
            raise CheckpointError(
                "The folder of the checkpoints lies in the folder of its run.",
                f"{self.folder.parent} is a link.",
                "Put the folder itself in its place, or remove the link and resume: then training starts again.",
            )
        for path in (self.folder, self.folder / FITTED):
            if path.is_symlink():
                raise _damaged(path, "it is a link")

    def _save(self, state: State) -> None:
        self._before()
        with naming(self.folder):
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
            self._remove_all_but({INDEX, *(str(entry["name"]) for entry in files.values())})

    def _write(self, stem: str, tensors: dict[str, Tensor]) -> dict[str, str | int]:
        data = safetensors.torch.save({key: value.contiguous() for key, value in tensors.items()})
        sha256 = hashlib.sha256(data).hexdigest()
        # The name depends on the content, so a file that an index names is never written again.
        path = self.folder / f"{stem}-{sha256[:16]}.safetensors"
        if not path.exists():
            write_file(path, data)
        return {"name": path.name, "sha256": sha256, "bytes": len(data)}

    def _read(self, entry: _File) -> dict[str, Tensor]:
        path = self.folder / entry.name

        def check_size(size: int) -> None:
            if size != entry.bytes:
                raise _damaged(path, f"it has {size:,} bytes, not {entry.bytes:,}")

        try:
            data = read_file(path, check_size)
            if hashlib.sha256(data).hexdigest() != entry.sha256:
                raise _damaged(path, "its content does not match its checksum")
            return safetensors.torch.load(data)
        except ModelFileError as error:
            raise _damaged(path, error.met.removeprefix(f"{path}: ").rstrip(".")) from error
        # A type of numbers that torch does not have is a KeyError.
        except (KeyError, safetensors.SafetensorError) as error:
            raise _damaged(path, f"it holds no tensors ({error})") from error

    def _remove_all_but(self, names: set[str]) -> None:
        """Remove files of an earlier state, and files that a crash left incomplete."""
        for path in self.folder.iterdir():
            if path.name not in names:
                remove(path)


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, one for each training.

    Attributes
    ----------
    folder
        Made when there is something to save.
    interrupted
        Asked after each step; True interrupts training.
    before
        Called before anything is saved.
    """

    folder: Path
    interrupted: Callable[[], bool]
    before: Callable[[], None] = nothing_before

    def of(self, model: str, fold: int) -> Checkpoint:
        """Return the checkpoint of a model and a fold, counted from 1."""
        return Checkpoint(self.folder / f"{model}-{fold}", self.interrupted, self.before)

    def remove(self) -> None:
        """Remove all of them; a finished run no longer needs them."""
        with naming(self.folder):
            remove(self.folder)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with its content; it is not an error if it is missing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _damaged(path: Path, met: str) -> CheckpointError:
    return CheckpointError(
        "A checkpoint must be complete and unchanged.",
        f"{path}: {shorten(met)}.",
        f"Remove {path.parent} and resume: only this fold is trained again.",
    )
