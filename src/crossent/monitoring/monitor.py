"""`Monitor`: watches a training loop that somebody else wrote."""

import dataclasses
import time
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from torch import Tensor

from crossent.errors import SettingError, ShapeError
from crossent.logits import LabelledLogits
from crossent.monitoring.diagnose import diagnose
from crossent.monitoring.finding import Finding
from crossent.monitoring.history_file import HistoryWriter
from crossent.monitoring.logit_rules import check_logits
from crossent.monitoring.measure import IGNORED, RunningGradients, RunningLoss, measure_held_out, peak_memory
from crossent.monitoring.records import EpochRecord, OnEpoch, ignore_epoch, judged_loss
from crossent.monitoring.tensorboard import TensorBoardWriter
from crossent.monitoring.words import PLAIN_SECONDS, FoldLosses


@final
class Monitor:
    """Watches a plain PyTorch loop: records, TensorBoard, a line on the screen, and in the end a diagnosis.

    Parameters
    ----------
    folder
        Where ``history.jsonl`` and ``tensorboard/`` go; ``<folder>-2`` and on where there is a history already.
    epochs
        The most that there will be.
    optimizer
        Whose learning rate and gradients are recorded; without one, neither is.
    patience
        `epoch_end` says to stop once this number of epochs brought no better held-out loss at the best temperature.
    on_epoch
        Called with each record; returns True to stop.

    Raises
    ------
    SettingError
        If epochs or patience is below 1.

    Examples
    --------
    >>> import tempfile
    >>> inputs, target = torch.randn(200, 5), torch.arange(200) % 3
    >>> network = torch.nn.Linear(5, 3)
    >>> optimizer = torch.optim.AdamW(network.parameters())
    >>> monitor = Monitor(Path(tempfile.mkdtemp()) / "mine", epochs=2, optimizer=optimizer)
    >>> for epoch in range(2):
    ...     optimizer.zero_grad()
    ...     logits = network(inputs[:150])
    ...     torch.nn.functional.cross_entropy(logits, target[:150]).backward()
    ...     monitor.train(logits, target[:150])
    ...     optimizer.step()
    ...     monitor.valid(network(inputs[150:]), target[150:])
    ...     stop = monitor.epoch_end()  # doctest: +ELLIPSIS
    epoch 1 of 2...
    epoch 2 of 2...
    ...
    >>> len(monitor.history), stop
    (2, True)
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        epochs: int,
        optimizer: torch.optim.Optimizer | None = None,
        patience: int = 20,
        on_epoch: OnEpoch = ignore_epoch,
    ) -> None:
        if epochs < 1 or patience < 1:
            met = f"epochs is {epochs}, patience {patience}."
            raise SettingError("epochs and patience are 1 or more.", met, "Choose such values.")
        self.folder = _new_folder(Path(folder))
        self.history: tuple[EpochRecord, ...] = ()
        self._epochs, self._patience, self._on_epoch = epochs, patience, on_epoch
        self._optimizer = optimizer
        self._writer = HistoryWriter(self.folder / "history.jsonl")
        self._board = TensorBoardWriter(self.folder / "tensorboard")
        self._console = Console(highlight=False, soft_wrap=True)
        self._checked: set[str] = set()
        self._losses = FoldLosses()
        self._started = self._shown = time.monotonic()
        self._closed = False
        self._begin_epoch()

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def best_epoch(self) -> int:
        """The epoch of lowest held-out loss at the best temperature, counted from 1; 0 before the first."""
        return min(self.history, key=judged_loss).epoch if self.history else 0

    def train(self, logits: Tensor, target: Tensor) -> None:
        """Take in a batch of training, after ``backward`` and before the next ``zero_grad``.

        Parameters
        ----------
        logits
            ``(n, K)`` or ``(n, K, ...)``.
        target
            Class indices, of which -100 is passed over, or floating distributions in the logits' shape.
        """
        self._check("training", logits, target, at_start=not self.history)
        self._train.add(logits, target)
        if self._optimizer is not None:
            self._gradients.add(tensor for group in self._optimizer.param_groups for tensor in group["params"])

    def valid(self, logits: Tensor, target: Tensor) -> None:
        """Take in rows held out, in one batch or several.

        Parameters
        ----------
        logits
            ``(n, K)`` or ``(n, K, ...)``.
        target
            Class indices, of which -100 is passed over.

        Raises
        ------
        ShapeError
            If the target is floating.
        """
        if target.is_floating_point():
            fix = "Give target.long(), or target.argmax(1) of a distribution."
            raise ShapeError("Held-out targets are class indices.", f"They are {target.dtype}.", fix)
        if not self._valid:
            self._trained = time.monotonic()
        self._check("held-out", logits, target, at_start=False)
        indices = target.detach().cpu().reshape(-1).numpy().astype(np.int64)
        columns = logits.detach().float().cpu().movedim(1, -1).reshape(len(indices), -1).numpy()
        self._valid.append((columns[indices != IGNORED], indices[indices != IGNORED]))

    def epoch_end(self) -> bool:
        """Record the epoch; return whether to stop.

        Raises
        ------
        ShapeError
            If there were no rows to train on, or none held out, since the epoch before.
        """
        record = self._record()
        # The logits of every epoch together would fill the memory.
        self.history = (*self.history, dataclasses.replace(record, held_out=None))
        self._losses.add(record)
        self._writer.write(record)
        self._board.write(record)
        asked = self._on_epoch(record)
        last = record.epoch >= self._epochs
        waited = record.epoch - self.best_epoch >= self._patience
        stop = asked or last or waited or not np.isfinite(record.train_loss)
        if stop or record.epoch == 1 or time.monotonic() - self._shown > PLAIN_SECONDS:
            self._shown = time.monotonic()
            self._console.print(self._losses.line(self._shown - self._started), markup=False)
        self._begin_epoch()
        if stop:
            self.close()
        return stop

    def diagnosis(self) -> tuple[Finding, ...]:
        """Return what is wrong so far."""
        return diagnose(self.history)

    def close(self) -> None:
        """Print the diagnosis and close the files; `epoch_end` has done it where it said to stop."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        self._board.close()
        if self.history:
            for finding in self.diagnosis() or ("Nothing looks wrong.",):
                self._console.print(str(finding), markup=False)

    def _begin_epoch(self) -> None:
        self._train, self._gradients = RunningLoss(), RunningGradients()
        self._valid: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]] = []
        self._began = self._trained = time.monotonic()

    def _check(self, rows: str, logits: Tensor, target: Tensor, *, at_start: bool) -> None:
        """Look at the first batch of a kind, and say what is wrong with it."""
        if rows in self._checked:
            return
        self._checked.add(rows)
        for finding in check_logits(logits, target, at_start=at_start):
            self._console.print(f"First {rows} batch: {finding}", markup=False)

    def _record(self) -> EpochRecord:
        train_loss, train_accuracy, rows = self._train.mean()
        if not rows or not sum(len(target) for _, target in self._valid):
            met = f"{rows} rows were trained on; held-out batches: {len(self._valid)}."
            raise ShapeError("An epoch has rows of both kinds.", met, "Call train and valid before epoch_end.")
        logits, target = (np.concatenate(parts) for parts in zip(*self._valid, strict=True))
        labelled = LabelledLogits(logits, target)
        held_out = measure_held_out(labelled)
        gradient_norm, first_gradient_norm, gradient_ratio = self._gradients.mean()
        return EpochRecord(
            model="model",
            fold=1,
            folds=1,
            epoch=len(self.history) + 1,
            epochs=self._epochs,
            train_loss=train_loss,
            valid_loss=held_out.loss,
            train_accuracy=train_accuracy,
            valid_accuracy=held_out.accuracy,
            refinement=held_out.refinement,
            temperature=held_out.temperature,
            calibration_error=held_out.calibration_error,
            gradient_norm=gradient_norm,
            learning_rate=None if self._optimizer is None else float(self._optimizer.param_groups[0]["lr"]),
            rows_per_second=rows / max(self._trained - self._began, 1e-9),
            memory=peak_memory(),
            first_gradient_norm=first_gradient_norm,
            gradient_ratio=gradient_ratio,
            baseline_loss=held_out.baseline_loss,
            valid_rows=len(target),
            confidently_wrong=held_out.confidently_wrong,
            held_out=labelled,
        )


def _new_folder(wanted: Path) -> Path:
    """Make the folder; where it has a history already, ``<folder>-2`` and on."""
    folder, number = wanted, 1
    while (folder / "history.jsonl").exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
