from pathlib import Path

from crossent.train.monitor import EpochRecord, HistoryWriter, ignore_epoch, read_history


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
