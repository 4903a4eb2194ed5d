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


def test_history_comes_back_and_is_there_before_the_end(tmp_path: Path) -> None:
    records = [EpochRecord("linear", 1, 2, i, 10, 1.0 / i, float("nan") if i == 2 else 0.5) for i in range(1, 4)]
    path = tmp_path / "history.jsonl"
    with HistoryWriter(path) as history:
        history.write(records[0])
        assert read_history(path) == (records[0],)
        history.write(records[2])
    with HistoryWriter(path) as history:
        history.write(records[1])
    read = read_history(path)
    assert read[:2] == (records[0], records[2])
    assert read[2].valid_loss != read[2].valid_loss
    assert ignore_epoch(records[0]) is False


def test_held_out_logits_stay_out_of_history_equality_and_text(tmp_path: Path) -> None:
    held_out = HeldOutLogits(np.zeros((2, 3), np.float32), np.array([0, 1]))
    record = EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1, held_out=held_out)
    with HistoryWriter(tmp_path / "history.jsonl") as history:
        history.write(record)
    assert "held_out" not in (tmp_path / "history.jsonl").read_text()
    read = read_history(tmp_path / "history.jsonl")[0]
    assert read.held_out is None
    assert read == record
    assert hash(read) == hash(record)
    assert "held_out" not in repr(record)


def test_epochs_are_judged_by_refinement_and_else_by_held_out_loss() -> None:
    assert judged_loss(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1)) == 1.1
    assert judged_loss(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1, refinement=0.9)) == 0.9
    assert judged_loss(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1, refinement=float("nan"))) == float("inf")
