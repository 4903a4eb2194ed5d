import dataclasses
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from crossent.cli import history
from crossent.errors import DataError
from crossent.monitoring.history_file import HistoryWriter
from crossent.monitoring.records import EpochRecord
from tests.cli.command import crossent


def write(folder: Path, epochs: int, rise: float = 0.0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with HistoryWriter(folder / "history.jsonl") as writer:
        for fold in (1, 2):
            for epoch in range(1, epochs + 1):
                writer.write(EpochRecord("boosting", fold, 2, epoch, 50, 1 / epoch, 1 / epoch + rise * epoch))


def test_diagnose_says_each_thing_once_for_all_folds(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "bad", 50, rise=0.05)
    done = crossent("diagnose", "runs/bad", cwd=tmp_path)
    assert done.returncode == 0
    assert "boosting: 100 epochs in 2 folds, best held-out log-loss" in done.stdout
    assert done.stdout.count("Overfitting.") == 1
    assert "2 of 2 folds" in done.stdout
    write(tmp_path / "runs" / "good", 20)
    assert "Nothing looks wrong." in crossent("diagnose", "runs/good", cwd=tmp_path).stdout


def test_no_history_and_a_damaged_one_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"history\.jsonl"):
        history.diagnose(tmp_path)
    (tmp_path / "history.jsonl").write_text("")
    history.diagnose(tmp_path)
    # The end of a line that is being written is not yet there.
    (tmp_path / "history.jsonl").write_text('{"model": "li')
    history.diagnose(tmp_path)
    for line in ("[1]\n", "{\n", '{"model": "linear"}\n'):
        (tmp_path / "history.jsonl").write_text(line)
        with pytest.raises(DataError, match="a record"):
            history.diagnose(tmp_path)


def test_watch_ends_with_the_run_or_when_nothing_comes(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "mine", 5)
    done = crossent("watch", "runs/mine", "--patience", "0", cwd=tmp_path)
    assert "boosting, fold 2 of 2: epoch 5 of 50" in done.stdout
    (tmp_path / "runs" / "mine" / "report.html").write_text("")
    assert crossent("watch", "runs/mine", cwd=tmp_path).returncode == 0


def test_lines_that_hold_no_record_are_said_and_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "torn", 20)
    path = tmp_path / "runs" / "torn" / "history.jsonl"
    path.write_bytes(path.read_bytes() + b"\0\0\n" + b"{}\n" + b'{"model"')
    for command in (("diagnose",), ("watch", "--patience", "0")):
        done = crossent(command[0], "runs/torn", *command[1:], cwd=tmp_path)
        assert done.returncode == 0
        assert "2 lines hold no record of an epoch; the first is line 41 (it is not JSON)" in done.stdout
        assert "boosting: 40 epochs in 2 folds" in done.stdout


@pytest.mark.parametrize("value", [1e308, -1e308, float("inf"), float("nan"), 0, -1, 2**52])
def test_any_numbers_are_diagnosed_without_a_traceback(tmp_path: Path, value: float) -> None:
    names = [field.name for field in dataclasses.fields(EpochRecord)][5:21]
    for name in names if isinstance(value, int) else set(names) - {"valid_rows"}:
        with HistoryWriter(tmp_path / name) as writer:
            for epoch in range(1, 9):
                record = EpochRecord("network", 1, 1, epoch, 9, 0.5, 0.5, 0.9, 0.9, 0.5, 1.0, learning_rate=0.1)
                writer.write(dataclasses.replace(record, **{name: value if epoch > 3 else 0.5}))
        done = crossent("diagnose", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        done = crossent("watch", name, "--patience", "0", cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_figures_that_contradict_each_other_are_no_traceback(tmp_path: Path) -> None:
    with HistoryWriter(tmp_path / "history.jsonl") as writer:
        for epoch in range(1, 9):
            record = EpochRecord("network", 1, 1, epoch, 9, 0.5, 0.5, valid_accuracy=1.0, confidently_wrong=0.5)
            writer.write(dataclasses.replace(record, temperature=1.0))
    assert crossent("diagnose", ".", cwd=tmp_path).returncode == 0


def test_diagnose_holds_no_records(tmp_path: Path) -> None:
    """All records of this history would take 20 MB."""
    write(tmp_path / "run", 5000)
    tracemalloc.start()
    history.diagnose(tmp_path / "run")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000


@pytest.mark.slow
def test_watch_follows_another_process_and_ctrl_c_ends_it_alone(tmp_path: Path) -> None:
    write(tmp_path / "run", 2)
    # Where the tests run in the background, Ctrl-C is ignored, and a child that is not told otherwise ignores it too.
    use_signal = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{use_signal}; from crossent.cli.app import main; main()"
    command = [sys.executable, "-c", code, "watch", str(tmp_path / "run")]
    watching = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert watching.stdout is not None
    assert "fold 2 of 2: epoch 2 of 50" in watching.stdout.readline()
    with HistoryWriter(tmp_path / "run" / "history.jsonl") as writer:
        for epoch in range(3, 10):
            writer.write(EpochRecord("boosting", 2, 2, epoch, 50, 1 / epoch, 1 / epoch))
    time.sleep(2)
    watching.send_signal(signal.SIGINT)
    rest = watching.communicate(timeout=30)[0]
    assert "epoch 9 of 50, " in rest
    assert " s left: " in rest
    assert watching.returncode == 0


@pytest.mark.parametrize("command", ["diagnose", "watch"])
def test_a_folder_in_the_place_of_the_history_is_one_clear_error(tmp_path: Path, command: str) -> None:
    (tmp_path / "run" / "history.jsonl").mkdir(parents=True)
    done = crossent(command, "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "run/history.jsonl is a folder." in done.stderr
