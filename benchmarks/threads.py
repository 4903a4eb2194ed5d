"""Threads of a training on Letter, on an idle machine and beside a program that keeps a processor busy.

    python benchmarks/threads.py

It compares one thread, one for each processor, and the number that the loop chooses during training. The machine must
have no other work.
"""

import argparse
import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch

from crossent.models.model import Examples
from crossent.models.network import Begun
from crossent.models.objective import Objective
from crossent.models.settings import Network
from crossent.monitoring.records import ignore_epoch
from crossent.train.loop import Stopping, fit_network
from crossent.train.processes import one_process
from crossent.train.threads import Threads, one_thread
from loop import letter_examples
from paired import Run, median_ratio, seconds_by_round

EPOCHS = 10
PROCESSORS = os.cpu_count() or 1


def train(examples: Examples, threads: Threads | None) -> None:
    seeds = tuple(int(seed) for seed in np.random.default_rng(0).integers(2**32, size=3))
    begun = Begun(Network(max_epochs=EPOCHS), examples, Objective(), (seeds[0], seeds[1], seeds[2]), None)
    _, training = begun.training(one_process())
    fit_network(
        training, None, stopping=Stopping(EPOCHS, EPOCHS), on_epoch=ignore_epoch, name="network", threads=threads
    )


def on_one(examples: Examples) -> None:
    with one_thread():
        train(examples, None)


def on_all(examples: Examples) -> None:
    torch.set_num_threads(PROCESSORS)
    train(examples, None)


def on_chosen(examples: Examples) -> None:
    with one_thread():
        train(examples, Threads(PROCESSORS))


def spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def busy_neighbour() -> Iterator[None]:
    """Keep a processor busy."""
    neighbour = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    neighbour.start()
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.join()


SURROUNDINGS: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    "at rest": contextlib.nullcontext,
    "one processor busy": busy_neighbour,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    examples, _, _ = letter_examples()
    runs: dict[str, Run] = {
        "one": lambda: on_one(examples),
        f"all {PROCESSORS}": lambda: on_all(examples),
        "chosen": lambda: on_chosen(examples),
    }
    print("| machine | threads | seconds | times that of one |\n|---|---|---|---|")
    for name, surrounding in SURROUNDINGS.items():
        with surrounding():
            seconds = seconds_by_round(runs, arguments.rounds)
        for threads, values in seconds.items():
            print(f"| {name} | {threads} | {np.median(values):.1f} | {median_ratio(seconds, threads, 'one'):.2f} |")


if __name__ == "__main__":
    main()
