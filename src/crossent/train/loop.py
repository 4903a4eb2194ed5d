"""The training loop of every network.

**Shape.** Batches of ``n`` rows go in; the network gives logits, and `held_out_logits` those of the held-out rows,
``(m, K)``.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

from crossent.logits import LabelledLogits
from crossent.monitoring.measure import measure_held_out, peak_memory
from crossent.monitoring.records import EpochRecord, OnEpoch
from crossent.train.checkpoint import Checkpoint
from crossent.train.threads import Threads
from crossent.train.training import Training

# What can choose the best epoch, all on held-out rows.
StopBy = Literal["refinement", "log-loss", "accuracy"]


@dataclass(frozen=True)
class Stopping:
    """When a training ends.

    Attributes
    ----------
    epochs
        Largest number of epochs.
    patience
        Number of epochs without a gain after which training ends.
    by
        What chooses the best epoch.
    """

    epochs: int
    patience: int
    by: StopBy = "refinement"


def fit_network(
    training: Training,
    held_out_logits: Callable[[], LabelledLogits] | None,
    *,
    stopping: Stopping,
    on_epoch: OnEpoch,
    name: str,
    checkpoint: Checkpoint | None = None,
    threads: Threads | None = None,
) -> None:
    """Train a network in place, and leave the averaged parameters of the best epoch in it.

    By default the best epoch is the one with the lowest refinement: the log-loss of held-out rows at the best
    temperature for them. Confidence is corrected later, and the epoch with the lowest plain log-loss is often too early
    (Berta et al. 2025, "Rethinking Early Stopping: Refine, Then Calibrate").

    Parameters
    ----------
    training
        At its start, or where it was interrupted. If several processes train, this one leads, and the others are in
        `follow_training` with the same training.
    held_out_logits
        Returns the logits of the held-out rows by the network in its present state; None if there are no held-out rows:
        then the last epoch is the best.
    stopping
        When training ends, unless `on_epoch` ends it before.
    on_epoch
        Called with every epoch; returns True to end training.
    name
        Name of the model in the records.
    checkpoint
        Saves what is needed to continue; None saves nothing.
    threads
        Chooses their number for each step; None leaves it as it is.

    Raises
    ------
    TrainingInterruptedError
        If the checkpoint was asked to interrupt training; the last step is saved.
    CheckpointError
        If the checkpoint cannot be written.
    ProcessError
        If another process is gone.
    """
    try:
        while training.epoch <= stopping.epochs and training.epochs_without_gain < stopping.patience:
            began, first = time.perf_counter(), training.batch
            train_epoch(training, checkpoint, threads)
            rows_per_second = (1 - first / training.batches) * training.rows / (time.perf_counter() - began)
            held_out = _held_out_logits(training, held_out_logits)
            record = _record(name, training, stopping.epochs, rows_per_second, held_out)
            training.end_epoch(_score_to_minimise(record, stopping.by))
            stop = on_epoch(record)
            if checkpoint is not None:
                checkpoint.after_step(training.state)
            if stop:
                break
    finally:
        training.end()
    training.put_best_in_place()


def train_epoch(training: Training, checkpoint: Checkpoint | None, threads: Threads | None) -> None:
    """Train on the remaining batches of the epoch: for each a loss, its gradient, and a step against it."""
    training.network.train()
    for batch in training.batches_left():
        with threads.of_step() if threads else nullcontext():
            training.step(batch)
        # After the last batch the epoch is judged first.
        if checkpoint is not None and training.batch < training.batches:
            checkpoint.after_step(training.state)


def follow_training(training: Training) -> None:
    """Take part in the steps of a training that another process leads in `fit_network`, until it ends there.

    Raises
    ------
    ProcessError
        If another process is gone.
    """
    training.network.train()
    while all(training.step(batch) for batch in training.batches_left()):
        training.end_epoch(None)


def _held_out_logits(training: Training, held_out_logits: Callable[[], LabelledLogits] | None) -> LabelledLogits | None:
    """Return the logits of held-out rows by the averaged parameters."""
    if held_out_logits is None:
        return None
    training.network.eval()
    with training.average.in_place():
        return held_out_logits()


def _score_to_minimise(record: EpochRecord, stop_by: StopBy) -> float | None:
    """Return what the best epoch has least of; None where nothing is held out."""
    if record.valid_accuracy is None:
        return None
    # Logits that are not finite have no refinement, and an accuracy by chance.
    if record.refinement is None:
        return math.inf
    return {"refinement": record.refinement, "log-loss": record.valid_loss, "accuracy": -record.valid_accuracy}[stop_by]


def _record(
    name: str, training: Training, epochs: int, rows_per_second: float, held_out: LabelledLogits | None
) -> EpochRecord:
    trained = training.measured()
    record = EpochRecord(
        model=name,
        fold=1,
        folds=1,
        epoch=training.epoch,
        epochs=epochs,
        train_loss=trained.loss,
        valid_loss=math.nan,
        train_accuracy=trained.accuracy,
        gradient_norm=trained.gradient_norm,
        first_gradient_norm=trained.first_gradient_norm,
        gradient_ratio=trained.gradient_ratio,
        learning_rate=training.learning_rate,
        rows_per_second=rows_per_second,
        memory=peak_memory(),
    )
    if held_out is None:
        return record
    measured = measure_held_out(held_out)
    return dataclasses.replace(
        record,
        valid_loss=measured.loss,
        valid_accuracy=measured.accuracy,
        refinement=measured.refinement,
        temperature=measured.temperature,
        calibration_error=measured.calibration_error,
        baseline_loss=measured.baseline_loss,
        valid_rows=len(held_out.target),
        confidently_wrong=measured.confidently_wrong,
        held_out=held_out,
    )
