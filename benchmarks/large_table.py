"""A table of 1,000,000 rows, 20 columns and 10 classes, trained and predicted from files: time and peak memory.

python benchmarks/large_table.py
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROWS, COLUMNS, CLASSES = 1_000_000, 20, 10


def draw(path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(ROWS, COLUMNS - 2)).astype(np.float32)
    codes = rng.integers(0, 20, size=(ROWS, 2))
    logits = numbers @ rng.normal(size=(COLUMNS - 2, CLASSES)) / 2
    logits += rng.normal(size=(20, CLASSES))[codes[:, 0]] + rng.normal(size=(20, CLASSES))[codes[:, 1]]
    frame = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(COLUMNS - 2)])
    for i in range(2):
        frame[f"c{i}"] = np.array([f"value {code}" for code in range(20)])[codes[:, i]]
    frame["label"] = np.array(list("abcdefghij"))[(logits + rng.gumbel(size=logits.shape)).argmax(axis=1)]
    frame.to_csv(path, index=False, float_format="%.5g")


def measured(*arguments: str) -> tuple[float, float]:
    """Run a command; return its seconds and its peak memory in GB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "crossent", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"crossent {' '.join(arguments)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1e6


def main() -> None:
    print("| step | seconds | peak memory, GB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "large.csv"
        draw(data)
        steps = {
            "train": ("train", str(data), "--target", "label", "--model", "linear", "--runs", str(folder / "runs")),
            "predict": ("predict", str(folder / "runs" / "large"), str(data), "-o", str(folder / "out.parquet")),
        }
        for step, arguments in steps.items():
            seconds, memory = measured(*arguments)
            print(f"| {step} | {seconds:.0f} | {memory:.2f} |", flush=True)
    print(f"\nFile: {ROWS:,} rows x {COLUMNS} columns; this script itself {own_memory():.2f} GB.")


def own_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
