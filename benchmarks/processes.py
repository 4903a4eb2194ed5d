"""Networks trained by one and by two processes: seconds for an epoch, on drawn rows like those of Letter.

python benchmarks/processes.py

15,000 rows of 16 numbers and 26 classes. Processes talk by gloo, on one machine and its CPU.
"""

import argparse
import os
import statistics
import subprocess
import sys

import numpy as np

from crossent.kinds.blocks import Features
from crossent.models.model import Examples, Task
from crossent.models.network import fit, follow_fits
from crossent.models.objective import Objective
from crossent.models.settings import Network
from crossent.monitoring.records import EpochRecord
from crossent.train.processes import Processes, joined_processes

ROWS, NUMBERS, CLASSES, EPOCHS = 15_000, 16, 26, 6
BATCH_SIZES = (256, 1024, 4096)


def draw() -> Examples:
    """Draw three clusters of each class."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES * 3, NUMBERS))
    target = rng.integers(CLASSES, size=ROWS)
    numbers = centres[target * 3 + rng.integers(3, size=ROWS)] + 0.6 * rng.normal(size=(ROWS, NUMBERS))
    return Examples(Features(numbers.astype(np.float32), np.empty((ROWS, 0), np.int32), ()), target, CLASSES)


def measure(batch_size: int, processes: Processes) -> None:
    """Train, and print a line of the table."""
    records: list[EpochRecord] = []

    def on_epoch(record: EpochRecord) -> bool:
        records.append(record)
        return False

    model, rng = Network(max_epochs=EPOCHS, batch_size=batch_size), np.random.default_rng(0)
    fit(model, Task(train=draw(), valid=None, objective=Objective(), rng=rng, on_epoch=on_epoch, processes=processes))
    seconds = [ROWS / (record.rows_per_second or np.nan) for record in records]
    print(
        f"| {batch_size} | {processes.count} | {statistics.median(seconds):.2f} | {min(seconds):.2f} |"
        f" {records[-1].train_loss:.7f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, help="By the processes that torchrun started; default: start them.")
    batch_size = parser.parse_args().batch_size
    if batch_size is None:
        print("| rows of a batch | processes | seconds an epoch, median | least | last loss |\n|---|---|---|---|---|")
        for size in BATCH_SIZES:
            for count in (1, 2):
                run = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
                environment = os.environ | {"OMP_NUM_THREADS": "1"}
                subprocess.run([*run, __file__, "--batch-size", str(size)], env=environment, check=True)
        return
    with joined_processes() as processes:
        if processes.leads:
            measure(batch_size, processes)
            processes.dismiss()
        else:
            follow_fits(processes)


if __name__ == "__main__":
    main()
