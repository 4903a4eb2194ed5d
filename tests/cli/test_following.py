"""Commands by several processes, as torchrun starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.train.torchrun import ROOT, torchrun

ALONE = [sys.executable, "-m", "crossent"]
TOGETHER = torchrun(2, "crossent")
NETWORK = ["--target", "class", "--model", "network", "--folds", "1"]
# Batches that are large enough to be divided, and enough epochs for an interruption.
SETTINGS = [*NETWORK, "--network.batch-size", "1200", "--network.max-epochs", "200", "--network.learning-rate", "0.001"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, hpc: pd.DataFrame) -> Path:
    """A folder with a table and a run by one process."""
    path = tmp_path_factory.mktemp("work")
    hpc.to_csv(path / "jobs.csv", index=False)
    run([*ALONE, "train", "jobs.csv", *SETTINGS, "--name", "alone"], path)
    return path


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def losses(folder: Path, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    lines = (folder / "runs" / name / "history.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return np.array([[record["train_loss"], record["valid_loss"]] for record in records])


def interrupt(command: list[str], cwd: Path, name: str, number: signal.Signals) -> tuple[int, str]:
    """Send a signal once there are two epochs; return the exit code and what was said."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    history = cwd / "runs" / name / "history.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not history.exists() or history.read_text().count("\n") < 2):
        time.sleep(0.02)
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def test_a_run_by_two_is_that_of_one_and_told_once(folder: Path) -> None:
    done = run([*TOGETHER, "train", "jobs.csv", *SETTINGS, "--name", "two"], folder)
    assert done.stdout.count("4,331 rows") == done.stdout.count("Report ") == 1
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["alone", "two"]
    assert "Traceback" not in done.stderr
    assert "not divided" not in done.stdout
    np.testing.assert_array_equal(losses(folder, "two"), losses(folder, "alone"))


def test_batches_too_small_to_divide_are_named_and_one_process_trains(folder: Path) -> None:
    settings = [*NETWORK, "--network.max-epochs", "12"]
    done = run([*TOGETHER, "train", "jobs.csv", *settings, "--name", "small"], folder)
    assert done.stdout.count("batches below 1024 rows are not divided") == 1
    run([*ALONE, "train", "jobs.csv", *settings, "--name", "small-alone"], folder)
    np.testing.assert_array_equal(losses(folder, "small"), losses(folder, "small-alone"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_torchrun_saves_and_one_process_goes_on(folder: Path, number: signal.Signals) -> None:
    name = f"two-{number.name}"
    code, said = interrupt([*TOGETHER, "train", "jobs.csv", *SETTINGS, "--name", name], folder, name, number)
    assert code != 0
    assert f"crossent train --resume runs/{name}" in said
    assert not (folder / "runs" / name / "report.html").exists()
    run([*ALONE, "train", "--resume", f"runs/{name}"], folder)
    np.testing.assert_array_equal(losses(folder, name), losses(folder, "alone"))


def test_two_processes_go_on_with_what_one_began(folder: Path) -> None:
    command = [*ALONE, "train", "jobs.csv", *SETTINGS, "--name", "begun"]
    code, _ = interrupt(command, folder, "begun", signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    run([*TOGETHER, "train", "--resume", "runs/begun"], folder)
    np.testing.assert_array_equal(losses(folder, "begun"), losses(folder, "alone"))


def test_a_process_that_dies_ends_the_others_and_what_was_done_is_kept(tmp_path: Path, hpc: pd.DataFrame) -> None:
    hpc.to_csv(tmp_path / "jobs.csv", index=False)
    command = [*torchrun(2, "tests.cli.mortal"), "train", "jobs.csv", *SETTINGS]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode != 0
    assert "One of 2 is gone." in done.stderr
    assert "crossent train --resume runs/jobs" in done.stdout
    run([*ALONE, "train", "--resume", "runs/jobs"], tmp_path)
    assert (tmp_path / "runs" / "jobs" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "jobs.csv", "--target", "nothing"], "has no column 'nothing'"),
        (["train", "nowhere.csv", "--target", "class"], "nowhere.csv"),
        (["train", "jobs.csv", "--network.dropout", "7"], "It is 7.0."),
        (["train", "jobs.csv", "--nonsense", "7"], "--nonsense"),
        (["evaluate", "nowhere", "jobs.csv"], "nowhere"),
    ],
)
def test_bad_input_is_told_once_and_ends_all(folder: Path, arguments: list[str], words: str) -> None:
    began = time.monotonic()
    done = subprocess.run([*TOGETHER, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert (done.stdout + done.stderr).count(words) == 1
    # Torchrun waits for 30 s before it kills a process that ignores signals.
    assert time.monotonic() - began < 30


def test_other_commands_and_models_end_in_all_processes(folder: Path) -> None:
    assert run([*TOGETHER, "train", "--help"], folder).stdout.count("Usage: ") == 1
    done = run([*TOGETHER, "train", "jobs.csv", "--target", "class", "--model", "linear", "--folds", "2"], folder)
    assert done.stdout.count("Report ") == 1
    assert run([*TOGETHER, "evaluate", "runs/alone", "jobs.csv"], folder).stdout.count("On 4,331 rows") == 1
