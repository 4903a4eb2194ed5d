import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.errors import DataError, DiskError
from crossent.logits import LabelledLogits
from crossent.monitoring.history_file import HistoryReader, HistoryWriter, parse_record, read_history
from crossent.monitoring.records import EpochRecord
from tests.conftest import size_limit


def record(epoch: int, fold: int = 1, train_loss: float = 0.5, valid_loss: float = 0.6) -> EpochRecord:
    return EpochRecord("network", fold, 3, epoch, 10, train_loss, valid_loss)


def write(path: Path, *records: EpochRecord) -> None:
    with HistoryWriter(path) as history:
        for one in records:
            history.write(one)


def test_history_comes_back_and_is_there_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with HistoryWriter(path) as history:
        history.write(record(1))
        assert read_history(path) == (record(1),)
        history.write(record(2, valid_loss=float("nan")))
    read = read_history(path)
    assert read[0] == record(1)
    assert read[1].valid_loss != read[1].valid_loss


def test_epochs_that_an_interrupted_training_repeats_give_way(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write(path, record(1), record(2), record(1, fold=2), record(2, fold=2), record(3, fold=2))
    again = [record(epoch, fold, train_loss=0.1) for epoch, fold in ((2, 2), (3, 2), (1, 3), (2, 3))]
    write(path, *again)
    assert read_history(path) == (record(1), record(2), record(1, fold=2), *again)


def test_a_line_that_a_crash_cut_is_left_out_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write(path, record(1), record(2))
    with path.open("a") as file:
        file.write('{"model": "netw')
    assert read_history(path) == (record(1), record(2))
    write(path, record(3), record(4))
    assert read_history(path) == (record(1), record(2), record(3), record(4))


def test_held_out_logits_stay_out_of_history_equality_and_text(tmp_path: Path) -> None:
    held_out = LabelledLogits(np.zeros((2, 3), np.float32), np.array([0, 1]))
    told = EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1, held_out=held_out)
    with HistoryWriter(tmp_path / "history.jsonl") as history:
        history.write(told)
    assert "held_out" not in (tmp_path / "history.jsonl").read_text()
    read = read_history(tmp_path / "history.jsonl")[0]
    assert read.held_out is None
    assert read == told
    assert hash(read) == hash(told)
    assert "held_out" not in repr(told)


def test_lines_that_are_no_records_go_when_the_run_goes_on_and_are_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write(path, record(1), record(2))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\0\0\0\n" + second + b'["list"]\n' + b"\0" * 50)
    with pytest.raises(DataError, match="line 2"):
        read_history(path)
    with HistoryWriter(path) as history:
        assert (history.dropped.count, history.dropped.first) == (3, 2)
        assert "it is not JSON" in str(history.dropped)
        history.write(record(3))
    assert read_history(path) == (record(1), record(2), record(3))
    assert HistoryWriter(path).dropped.count == 0


def test_a_reader_goes_on_from_where_it_stood(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write(path, record(1), record(2))
    reader = HistoryReader(path)
    assert list(reader.read_on()) == [record(1), record(2)]
    assert list(reader.read_on()) == []
    with path.open("ab") as file:
        file.write(b'{"model": "netw')
    assert list(reader.read_on()) == []
    write(path, record(3))
    # Mending the torn line replaced the file: a reader begins anew.
    assert list(reader.read_on()) == [record(1), record(2), record(3)]
    write(path, record(4))
    assert list(reader.read_on()) == [record(4)]
    assert reader.unreadable.count == 0


def test_a_line_of_any_length_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write(path, record(1))
    with path.open("ab") as file:
        file.write(b"9" * 300_000 + b"\n")
    write_end = path.stat().st_size
    reader = HistoryReader(path)
    assert list(reader.read_on()) == [record(1)]
    assert str(reader.unreadable) == "1 line holds no record of an epoch; the first is line 2 (it is too long)"
    with path.open("ab") as file:
        file.write(path.read_bytes()[: write_end - 300_001])
    assert list(reader.read_on()) == [record(1)]


GOOD = record(1).to_dict()


def line(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        (b"[1]", "no object"),
        (b"[" * 50_000, "not JSON"),
        (b'{"model": "linear"}', "lacks fold"),
        (line(valid_loss=None), "lacks valid_loss"),
        (line(model=1), "not a name"),
        (line(model="\x1b[31m"), "not a name"),
        (line(fold="1"), "fold is not a whole number"),
        (line(epoch=True), "epoch is not a whole number"),
        (line(fold=4), "out of range"),
        (line(train_loss=[]), "train_loss is not a number"),
        (line(valid_loss=10**400), "valid_loss is too large"),
    ],
)
def test_what_is_no_record_is_said(damaged: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_record(damaged)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_value_error(damaged: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse_record(damaged)


def test_a_record_of_a_later_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write(path, record(1))
    path.write_text(path.read_text().replace("{", '{"new measure": 3, '))
    assert read_history(path) == (record(1),)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
def test_a_full_disk_names_the_history_and_leaves_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write(path, record(1))
    size = path.stat().st_size
    with size_limit(size + 10), pytest.raises(DiskError, match=r"history\.jsonl: File too large"):
        write(path, record(2))
    assert path.stat().st_size == size + 10
    write(path, record(2))
    assert read_history(path) == (record(1), record(2))
