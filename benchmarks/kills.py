"""Trainings are killed at any moment, or their disk fills up, and are resumed: all must end like undisturbed trainings.

python benchmarks/kills.py                                          200 kills, 100 signals, disks of 20 sizes
python benchmarks/kills.py --kills 10 --signals 4 --disks 2
python benchmarks/kills.py --folder /mnt/disk/kills                 on another disk than the project

A run of a network, of trees or of softmax regression is killed with SIGKILL again and again until it reaches its end;
then the next run begins. Half of the kills come at random moments of the time that a whole training takes. The others
come before a file is opened, renamed or removed, at a random event of all such events in a whole training. Both include
the start before there is a folder, the last save, the report and what follows it. SIGTERM comes at random moments.
After each signal, the files of the run must be readable, and no output may contain a traceback. At the end, the weights
must have the sha256 of an undisturbed run, and no temporary file may be left. Disks are small tmpfs, which need root.
"""

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from crossent.cli import app
from crossent.datasets import hpc_path
from crossent.disk import replaced_name
from crossent.errors import CrossentError
from crossent.monitoring.history_file import HistoryReader
from crossent.run_folder import read_description
from crossent.train.checkpoint import Checkpoint, never_interrupted

SETTINGS = {
    "network": ["--model", "network", "--folds", "2", "--network.max-epochs", "8", "--imbalance", "oversample"],
    "boosting": ["--model", "boosting", "--folds", "2", "--boosting.max-rounds", "30"],
    "linear": ["--model", "linear", "--folds", "2"],
}
# The smallest disk; the largest is nearly as large as a run.
LEAST_KIB = 40
# Events that Python reports before it changes a file.
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "shutil.rmtree"}


@dataclass(frozen=True)
class Straight:
    """An undisturbed run.

    Attributes
    ----------
    weights
        The sha256 of its arrays.
    seconds
        Duration of the run.
    events
        Number of times that it touches a file in the folder of runs.
    kib
        Space that it needs on a disk, including checkpoints.
    """

    weights: str
    seconds: float
    events: int
    kib: int


@dataclass
class Tally:
    """The outcome of a part of the campaign."""

    runs: int = 0
    harmed: int = 0
    unreadable: int = 0
    different: int = 0
    tracebacks: int = 0
    left: int = 0
    unclear: int = 0

    def row(self, name: str, harm: str) -> str:
        """Return the figures as a line of a table."""
        return (
            f"| {name} | {self.harmed} {harm} in {self.runs} runs | {self.unreadable} unreadable | {self.different}"
            f" different models | {self.tracebacks} tracebacks | {self.unclear} other ends | {self.left} leftovers |"
        )

    @property
    def faults(self) -> int:
        """Return how much went wrong."""
        return self.unreadable + self.different + self.tracebacks + self.left + self.unclear


def command(folder: Path, model: str) -> list[str]:
    """Return the command that begins or resumes a run."""
    if folder.exists():
        return ["train", "--resume", str(folder)]
    where = ["--target", "class", "--runs", str(folder.parent), "--name", folder.name]
    return ["train", str(hpc_path()), *where, *SETTINGS[model]]


def child(arguments: list[str], output: Path, runs: Path, kill_at: int, events: Path | None) -> None:
    """Run a command in this process, and kill it before the event with this number; with 0, never."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    count = 0

    def audit(event: str, values: tuple[object, ...]) -> None:
        nonlocal count
        if event in EVENTS and isinstance(values[0], str | os.PathLike) and str(values[0]).startswith(str(runs)):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    sys.argv = ["crossent", *arguments]
    try:
        app.main()
    finally:
        if events is not None:
            events.write_text(str(count))


class Campaign:
    """Starts trainings in separate processes, forked from a process that has only loaded the libraries."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.draws = root, random.Random(seed)
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["crossent.run", "crossent.cli.commands"])
        self.straight = {model: self._train_straight(model) for model in SETTINGS}

    def start(
        self, folder: Path, model: str, kill_at: int = 0, events: Path | None = None
    ) -> tuple[ForkServerProcess, Path]:
        """Start or resume a run; return the process, and where its output goes."""
        output = self.root / f"output-{time.monotonic_ns()}"
        arguments = (command(folder, model), output, folder.parent, kill_at, events)
        process = self._processes.Process(target=child, args=arguments)
        process.start()
        return process, output

    def _train_straight(self, model: str) -> Straight:
        """Train twice, the second time without what the first has to load."""
        runs = self.root / f"straight-{model}"
        for _ in range(2):
            shutil.rmtree(runs, ignore_errors=True)
            started, events = time.monotonic(), self.root / "events"
            process, output = self.start(runs / "run", model, events=events)
            kib = 0
            while process.is_alive():
                kib = max(kib, used_kib(runs))
                process.join(0.05)
            if process.exitcode != 0:
                raise RuntimeError(output.read_text())
            output.unlink()
        weights = sha256_of_weights(runs / "run")
        return Straight(weights, time.monotonic() - started, int(events.read_text()), kib)

    def kill(self, kills: int) -> Tally:
        """Kill runs until there were `count` kills."""
        tally = Tally()
        while tally.harmed < kills:
            model = sorted(SETTINGS)[tally.runs % len(SETTINGS)]
            straight, runs = self.straight[model], self.root / f"killed-{tally.runs}"
            tally.runs += 1
            folder = runs / "run"
            while not self._finished(folder):
                harm = tally.harmed < kills
                by_event = harm and self.draws.random() < 0.5
                kill_at = self.draws.randint(1, straight.events) if by_event else 0
                process, output = self.start(folder, model, kill_at)
                process.join(self.draws.uniform(0, straight.seconds) if harm and not by_event else None)
                process.kill()
                process.join()
                tally.harmed += process.exitcode == -signal.SIGKILL
                self._look(tally, folder, output)
            self._judge(tally, folder, model)
        return tally

    def terminate(self, signals: int) -> Tally:
        """Send SIGTERM at a random moment, and resume, until `count` were sent."""
        tally = Tally()
        while tally.harmed < signals:
            model = sorted(SETTINGS)[tally.runs % len(SETTINGS)]
            folder = self.root / f"stopped-{tally.runs}" / "run"
            tally.runs += 1
            while not self._finished(folder):
                process, output = self.start(folder, model)
                if tally.harmed < signals:
                    process.join(self.draws.uniform(0, self.straight[model].seconds))
                    tally.harmed += process.is_alive()
                    process.terminate()
                process.join()
                said = self._look(tally, folder, output)
                if not clear_end(process.exitcode, folder, said):
                    tally.unclear += 1
                    print(f"{model} ended with {process.exitcode}: {said}")
            self._judge(tally, folder, model)
        return tally

    def fill(self, disks: int) -> Tally:
        """Train on disks that are too small, make room, and resume."""
        tally = Tally()
        for i in range(disks):
            model = sorted(SETTINGS)[i % len(SETTINGS)]
            most = self.straight[model].kib
            size = LEAST_KIB + (most - LEAST_KIB) * i // disks
            with disk(self.root / f"disk-{i}", size) as runs:
                folder = runs / "run"
                process, output = self.start(folder, model)
                process.join()
                tally.runs += 1
                if process.exitcode != 0:
                    tally.harmed += 1
                    said = self._look(tally, folder, output)
                    clear = process.exitcode == 2 and str(runs) in said and "No space left" in said
                    if not clear or (folder.exists() and f"--resume {folder}" not in said):
                        tally.unclear += 1
                        print(f"{model} on {size} KiB ended with {process.exitcode}: {said}")
                    mount(runs, "remount,size=100m")
                    process, output = self.start(folder, model)
                    process.join()
                self._judge(tally, folder, model)
        return tally

    def _finished(self, folder: Path) -> bool:
        return (folder / "report.html").exists()

    def _look(self, tally: Tally, folder: Path, output: Path) -> str:
        """Return the output of a process, and read the files of its run."""
        said = output.read_text() if output.exists() else ""
        bad = "Traceback" in said or "Exception ignored" in said
        tally.tracebacks += bad
        try:
            if folder.exists():
                check_readable(folder)
        except CrossentError as error:
            tally.unreadable += 1
            print(error)
        if bad:
            print(said)
        output.unlink(missing_ok=True)
        return said

    def _judge(self, tally: Tally, folder: Path, model: str) -> None:
        """Compare a finished run with the straight one; what killed processes left goes at the next start."""
        if not self._finished(folder) or sha256_of_weights(folder) != self.straight[model].weights:
            tally.different += 1
        process, output = self.start(folder.parent / "next", "linear")
        process.join()
        output.unlink()
        left = [path for path in folder.parent.rglob("*") if replaced_name(path.name) or path.name == "checkpoints"]
        tally.left += len(left)
        for path in left:
            print(f"left: {path}")
        shutil.rmtree(folder.parent, ignore_errors=True)


def clear_end(code: int | None, folder: Path, said: str) -> bool:
    """Say whether a process that got SIGTERM ended as it should: done, or with the command that goes on."""
    if code == 0:
        return True
    if code == 128 + signal.SIGTERM:
        return f"--resume {folder}" in said
    # Before its first output (while it imports), before there is a folder, or after the report, the signal ends a
    # process as usual.
    begun = bool(said) and folder.exists() and not (folder / "report.html").exists()
    return code == -signal.SIGTERM and (not begun or "--resume" in said)


def sha256_of_weights(folder: Path) -> str:
    """Return the sha256 of all arrays of a saved model."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in (folder / "model").glob("*.safetensors"))).hexdigest()


def check_readable(folder: Path) -> None:
    """Read all files of a run; any incomplete one is an error, except for the last line of the history."""
    read_description(folder)
    if (folder / "history.jsonl").exists():
        reader = HistoryReader(folder / "history.jsonl")
        list(reader.read_on())
        if reader.unreadable.count:
            raise CrossentError("A history is whole.", str(reader.unreadable), "")
    if (folder / "checkpoints").exists():
        for training in (folder / "checkpoints").iterdir():
            Checkpoint(training, never_interrupted).load()


def used_kib(folder: Path) -> int:
    """Return what the files of a folder take of a disk of pages, as far as they stay for a moment."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += -(-(Path(parent) / name).stat().st_size // 4096) * 4
    return total


@contextmanager
def disk(folder: Path, kib: int) -> Iterator[Path]:
    """Yield a separate disk of a given size."""
    folder.mkdir()
    mount(folder, f"size={kib}k")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def mount(folder: Path, options: str) -> None:
    """Mount a separate disk at a folder, or change its size."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


def main() -> int:
    """Run all three parts, and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--disks", type=int, default=20 if os.geteuid() == 0 else 0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "build")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(dir=arguments.folder.resolve(), prefix="kills-"))
    try:
        campaign = Campaign(root, arguments.seed)
        print("| what | how often | | | | | |\n|---|---|---|---|---|---|---|", flush=True)
        faults = 0
        for name, harm, part, count in (
            ("SIGKILL", "kills", campaign.kill, arguments.kills),
            ("SIGTERM", "signals", campaign.terminate, arguments.signals),
            ("full disk", "full disks", campaign.fill, arguments.disks),
        ):
            tally = part(count)
            print(tally.row(name, harm), flush=True)
            faults += tally.faults
        return int(faults > 0)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
