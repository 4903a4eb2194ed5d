from pathlib import Path

import numpy as np

from crossent.train.monitor import (
    EpochRecord,
    HeldOutLogits,
    HistoryWriter,
    ignore_epoch,
    judged_loss,
    read_history,
)


def record(epoch: int, fold: int = 1, train_loss: float = 0.5, valid_loss: float = 0.6) -> EpochRecord:
    return EpochRecord("network", fold, 2, epoch, 10, train_loss, valid_loss)


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
    assert ignore_epoch(read[0]) is False


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
    held_out = HeldOutLogits(np.zeros((2, 3), np.float32), np.array([0, 1]))
    told = EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1, held_out=held_out)
    with HistoryWriter(tmp_path / "history.jsonl") as history:
        history.write(told)
    assert "held_out" not in (tmp_path / "history.jsonl").read_text()
    read = read_history(tmp_path / "history.jsonl")[0]
    assert read.held_out is None
    assert read == told
    assert hash(read) == hash(told)
    assert "held_out" not in repr(told)


def test_epochs_are_judged_by_refinement_and_else_by_held_out_loss() -> None:
    assert judged_loss(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1)) == 1.1
    assert judged_loss(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1, refinement=0.9)) == 0.9
    assert judged_loss(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1, refinement=float("nan"))) == float("inf")
