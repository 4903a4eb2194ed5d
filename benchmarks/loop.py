"""The cost of monitoring: steps in a second of our training loop and of a bare loop with the same network and batches.

    python benchmarks/loop.py

The bare loop is the one of a tutorial: torch's cross entropy, backward, AdamW, without measurements or held-out rows.
Ours is first the loop itself (clipping, schedule, average, a record of each epoch with held-out rows), and then with
everything that ``crossent train`` writes: history, TensorBoard, checkpoints.
"""

import argparse
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from crossent.data.encoder import fit_encoder
from crossent.data.labels import label_positions
from crossent.data.read import read
from crossent.models.effort import DEPTH, choose_batch_size, choose_effort
from crossent.models.model import Examples, Task
from crossent.models.network import fit
from crossent.models.objective import Objective
from crossent.models.settings import Network
from crossent.models.table_network import Sizes, TableNetwork
from crossent.monitoring.history_file import HistoryWriter
from crossent.monitoring.records import EpochRecord
from crossent.monitoring.tensorboard import TensorBoardWriter
from crossent.train.checkpoint import Checkpoints, never_interrupted
from datasets import letter
from paired import Run, median_ratio, seconds_by_round

# About as many as a training on Letter takes.
EPOCHS = 40


def letter_examples() -> tuple[Examples, Examples, tuple[str, ...]]:
    """Return four fifths of the rows to train on, a fifth held out, and the names of the classes."""
    frame, target = letter()
    dataset = read(frame, target)
    _, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, len(dataset.classes))
    examples = Examples(features, label_positions(frame[target], dataset.classes), len(dataset.classes))
    held_out = np.random.default_rng(0).random(len(frame)) < 0.2
    return examples.take(~held_out), examples.take(held_out), tuple(map(str, dataset.classes))


def bare_loop(train: Examples, epochs: int) -> None:
    features, effort = train.features, choose_effort(len(train.target))
    generator = torch.Generator().manual_seed(0)
    numbers, codes = torch.from_numpy(features.numbers), torch.from_numpy(features.codes.astype(np.int64))
    target = torch.from_numpy(train.target)
    sizes = Sizes(numbers.shape[1], features.cardinalities, train.classes, effort.heads, effort.width, DEPTH)
    network = TableNetwork(sizes, 0.0, generator)
    network.numbers.place_knots(features.numbers)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, fused=True)
    size = choose_batch_size(len(target))
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(target), generator=generator), size):
            optimizer.zero_grad()
            logits = network(numbers[rows], codes[rows])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), target[rows].repeat(effort.heads))
            torch.autograd.backward(loss)
            optimizer.step()


def our_loop(train: Examples, valid: Examples) -> int:
    """Return the number of epochs: training ends when nothing is gained any more."""
    epochs = 0

    def count(_: EpochRecord) -> bool:
        nonlocal epochs
        epochs += 1
        return False

    fit(
        Network(max_epochs=EPOCHS),
        Task(train=train, valid=valid, objective=Objective(), rng=np.random.default_rng(0), on_epoch=count),
    )
    return epochs


def watched_loop(train: Examples, valid: Examples, classes: tuple[str, ...]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        HistoryWriter(Path(folder) / "history.jsonl") as history,
        TensorBoardWriter(Path(folder) / "tensorboard", classes) as board,
    ):

        def write(record: EpochRecord) -> bool:
            history.write(record)
            board.write(record)
            return False

        fit(
            Network(max_epochs=EPOCHS),
            Task(
                train=train,
                valid=valid,
                objective=Objective(),
                rng=np.random.default_rng(0),
                on_epoch=write,
                checkpoint=Checkpoints(Path(folder) / "checkpoints", never_interrupted).of("network", 1),
            ),
        )


def show(seconds: Mapping[str, list[float]], steps: int) -> None:
    print("| loop | steps a second | times the bare loop's time |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {steps / np.median(values):.0f} | {median_ratio(seconds, name, 'bare'):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    train, valid, classes = letter_examples()
    # The same each time; the bare loop then takes as many steps.
    epochs = our_loop(train, valid)
    loops: dict[str, Run] = {
        "bare": lambda: bare_loop(train, epochs),
        "crossent": lambda: our_loop(train, valid),
        "crossent, all kept": lambda: watched_loop(train, valid, classes),
    }
    rows = len(train.target)
    show(seconds_by_round(loops, arguments.rounds), epochs * math.ceil(rows / choose_batch_size(rows)))


if __name__ == "__main__":
    main()
