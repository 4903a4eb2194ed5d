"""Trainings are killed at random moments, or their disk fills up, and go on: each must end as if never harmed.

python benchmarks/kills.py                  200 kills, and disks of eight sizes
python benchmarks/kills.py --kills 10 --disks 2

A run is killed with SIGKILL again and again, at moments drawn evenly from the time that a whole training takes, until
it comes to its end; then the next run begins. After each kill the run folder must be readable; at the end the weights
must have the sha256 of those of a run that nothing happened to. Disks are small tmpfs, which takes root.
"""

import argparse
import hashlib
import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crossent.data.read import read
from crossent.datasets import hpc_path
from crossent.recipe import Recipe
from crossent.run import begin_run, finish_run
from crossent.run_folder import read_description
from crossent.train.checkpoint import Checkpoint, never_interrupted
from crossent.train.history_file import read_history
from crossent.train.monitor import ignore_epoch

# The disks are so many times this large: from too small for a checkpoint to nearly as large as a run.
DISK_KIB = 200
CROSSENT = [sys.executable, "-m", "crossent", "train"]
RECIPE = Recipe(model="network", folds=2, max_epochs=8, imbalance="oversample")
SETTINGS = ["--target", "class", "--model", "network", "--folds", "2", "--max-epochs", "8", "--imbalance", "oversample"]


def command(folder: Path) -> list[str]:
    """Return the command that begins a run, or goes on with it."""
    if folder.exists():
        return [*CROSSENT, "--resume", str(folder)]
    return [*CROSSENT, str(hpc_path()), *SETTINGS, "--runs", str(folder.parent), "--name", folder.name]


def train(folder: Path) -> None:
    """Do what the command does, in this process."""
    dataset = read(str(hpc_path()), "class")
    if not folder.exists():
        begin_run(dataset, RECIPE, held_out=0.25, request={}, runs=folder.parent, name=folder.name)
    finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted)


def sha256_of_weights(folder: Path) -> str:
    """Return the sha256 of all arrays of a saved model."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in (folder / "model").glob("*.safetensors"))).hexdigest()


def check_readable(folder: Path) -> None:
    """Read all that a run has kept; anything torn is an error."""
    read_description(folder)
    if (folder / "history.jsonl").exists():
        read_history(folder / "history.jsonl")
    if (folder / "checkpoints").exists():
        for training in (folder / "checkpoints").iterdir():
            Checkpoint(training, never_interrupted).load()


def kill_and_resume(root: Path, kills: int, draws: random.Random) -> bool:
    """Kill runs until there were so many kills; say what became of them."""
    # Each training is a process of its own, forked from one that has the libraries loaded and nothing else.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["crossent.run", "crossent.data.read"])
    straight = root / "straight"
    for _ in range(2):
        shutil.rmtree(straight, ignore_errors=True)
        started = time.monotonic()
        process = processes.Process(target=train, args=(straight,))
        process.start()
        process.join()
        seconds = time.monotonic() - started
    expected = sha256_of_weights(straight)
    killed = runs = unreadable = different = 0
    while killed < kills:
        folder, runs = root / f"killed-{runs + 1}", runs + 1
        while not (folder / "report.html").exists():
            process = processes.Process(target=train, args=(folder,))
            process.start()
            process.join(draws.uniform(0, seconds) if killed < kills else None)
            process.kill()
            process.join()
            # Before there is a folder nothing can be lost: those kills do not count.
            killed += process.exitcode == -signal.SIGKILL and folder.exists()
            if folder.exists():
                try:
                    check_readable(folder)
                except ValueError as error:
                    unreadable += 1
                    print(error)
        different += sha256_of_weights(folder) != expected
    print(f"| SIGKILL | {killed} kills in {runs} runs | {unreadable} unreadable | {different} different models |")
    return unreadable == different == 0


def fill_disk(root: Path, disks: int) -> bool:
    """Train on disks that are too small, make room, resume; say what became of them."""
    straight = root / "straight"
    lost = different = full = 0
    for i in range(1, disks + 1):
        disk = root / f"disk-{i}"
        disk.mkdir()
        mount(disk, f"size={i * DISK_KIB}k")
        try:
            folder = disk / "run"
            done = subprocess.run(
                command(folder), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            if done.returncode != 0:
                full += 1
                clear = done.returncode == 2 and done.stderr.startswith("Error") and "Traceback" not in done.stderr
                lost += not clear or not whole(folder)
                mount(disk, "remount,size=100m")
                subprocess.run(command(folder), check=True, stdout=subprocess.DEVNULL)
            different += sha256_of_weights(folder) != sha256_of_weights(straight)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    print(f"| full disk | {full} of {disks} disks too small | {lost} lost checkpoints | {different} different models |")
    return lost == different == 0


def whole(folder: Path) -> bool:
    """Say whether all that a run has kept can be read."""
    if not folder.exists():
        return True
    try:
        check_readable(folder)
    except ValueError as error:
        print(error)
        return False
    return True


def mount(folder: Path, options: str) -> None:
    """Put a disk of its own at a folder, or change it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


def main() -> int:
    """Run both, and return 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--disks", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp())
    try:
        print("| what | how often | run folders | outcome |\n|---|---|---|---|")
        kept = kill_and_resume(root, arguments.kills, random.Random(arguments.seed))
        return 0 if fill_disk(root, arguments.disks) and kept else 1
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
