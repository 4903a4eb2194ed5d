from pathlib import Path

from crossent.train.monitor import EpochRecord, HistoryWriter, ignore_epoch, read_history


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
