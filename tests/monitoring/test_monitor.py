from pathlib import Path

import pytest
import torch

from crossent.errors import SettingError, ShapeError
from crossent.monitoring.history_file import read_history
from crossent.monitoring.monitor import Monitor
from crossent.monitoring.records import EpochRecord


def train(monitor: Monitor, network: torch.nn.Module, optimizer: torch.optim.Optimizer, epochs: int) -> int:
    """A plain loop over rows of three classes; returns the epoch in which it had to stop, or 0."""
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(600) % 3
    inputs = torch.randn(600, 5, generator=generator) + 2 * torch.eye(5)[target]
    for epoch in range(epochs):
        for rows in torch.arange(450).split(50):
            optimizer.zero_grad()
            logits = network(inputs[rows])
            torch.autograd.backward(torch.nn.functional.cross_entropy(logits, target[rows]))
            monitor.train(logits, target[rows])
            optimizer.step()
        for rows in torch.arange(450, 600).split(70):
            monitor.valid(network(inputs[rows]), target[rows])
        if monitor.epoch_end():
            return epoch + 1
    return 0


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))


def test_a_plain_loop_is_recorded_and_diagnosed(
    network: torch.nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    seen: list[EpochRecord] = []
    monitor = Monitor(tmp_path / "mine", epochs=8, optimizer=optimizer, on_epoch=lambda one: seen.append(one) or False)
    assert train(monitor, network, optimizer, 8) == 8
    assert read_history(tmp_path / "mine" / "history.jsonl") == monitor.history
    last = monitor.history[-1]
    assert last.valid_rows == 150
    assert last.learning_rate == 0.01
    assert last.train_loss < monitor.history[0].train_loss
    # Whoever watches gets the logits; to keep those of all epochs would fill the memory.
    assert [record.held_out is not None for record in seen] == [True] * 8
    assert seen[-1].held_out is not None
    assert seen[-1].held_out.logits.shape == (150, 3)
    assert not any(record.held_out for record in monitor.history)
    for name in (
        "memory",
        "valid_accuracy",
        "refinement",
        "temperature",
        "gradient_norm",
        "gradient_ratio",
        "rows_per_second",
    ):
        assert getattr(last, name) > 0
    assert list((tmp_path / "mine" / "tensorboard" / "model").glob("events*"))
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("epoch 1 of 8")
    assert out[-2].startswith("epoch 8 of 8")
    assert out[-1] == "Nothing looks wrong."
    # A second one never writes into the history of the first.
    assert Monitor(tmp_path / "mine", epochs=1).folder == tmp_path / "mine-2"


def test_it_says_to_stop_when_asked_when_nothing_improves_and_when_the_loss_is_lost(
    network: torch.nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def at_three(record: EpochRecord) -> bool:
        return record.epoch == 3

    still = torch.optim.SGD(network.parameters(), lr=0.0)
    assert train(Monitor(tmp_path / "a", epochs=9, on_epoch=at_three), network, still, 9) == 3
    assert train(Monitor(tmp_path / "b", epochs=9, patience=2, optimizer=still), network, still, 9) == 3
    thrown = torch.optim.SGD(network.parameters(), lr=1e30)
    assert train(Monitor(tmp_path / "c", epochs=9, optimizer=thrown), network, thrown, 9) == 1
    assert "Diverging" in capsys.readouterr().out


def test_mistakes_in_the_first_batch_are_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logits, target = torch.randn(60, 3), torch.arange(60) % 3
    with Monitor(tmp_path / "mine", epochs=2) as monitor:
        monitor.train(logits.softmax(1), target)
        assert "First training batch: Probabilities in place of logits." in capsys.readouterr().out
        with pytest.raises(ShapeError, match="rows of both kinds"):
            monitor.epoch_end()
        with pytest.raises(ShapeError, match="class indices"):
            monitor.valid(logits, target.float())
    with pytest.raises(SettingError, match="1 or more"):
        Monitor(tmp_path / "other", epochs=0)
