import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from crossent.errors import CheckpointError, DiskError
from crossent.logits import LabelledLogits
from crossent.losses.cross_entropy import cross_entropy
from crossent.monitoring.records import EpochRecord
from crossent.train import checkpoint as module
from crossent.train.batches import Batches
from crossent.train.checkpoint import (
    Checkpoint,
    Checkpoints,
    State,
    StateMismatchError,
    TrainingInterruptedError,
    never_interrupted,
)
from crossent.train.dropout import DropoutDraws, drop
from crossent.train.loop import Stopping, fit_network
from crossent.train.optim import AdamW, warm_up_and_cosine
from crossent.train.parameters import FlatParameters
from crossent.train.processes import one_process
from crossent.train.training import Training
from tests.conftest import size_limit


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """What a training leads to."""

    weight: np.ndarray[tuple[int], np.dtype[np.float32]]


def state(step: int, best_epoch: int = 1, value: float = 1.0) -> State:
    tensors = {"network.weight": torch.full((3,), value), "order": torch.arange(4, dtype=torch.uint8)}
    return State(step, tensors, best_epoch, {"0": torch.full((3,), -value)}, {"epoch": 2, "rate": 0.1 + 0.2})


class Stop:
    """Interrupts after a number of steps."""

    def __init__(self, after: int) -> None:
        self._left = after

    def __call__(self) -> bool:
        self._left -= 1
        return self._left <= 0


class WithDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 16), nn.Linear(16, 3)

    def forward(self, rows: torch.Tensor, draws: torch.Tensor | None = None) -> torch.Tensor:
        hidden = torch.relu(self.first(rows))
        logits = self.last(hidden if draws is None else drop(hidden[None], draws, 0.3)[0])
        assert isinstance(logits, torch.Tensor)
        return logits


def train(checkpoint: Checkpoint | None) -> tuple[nn.Module, list[EpochRecord]]:
    """Train a network with dropout, judged each epoch; the same whatever happened before."""
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(150, 4)).astype(np.float32))
    target = torch.from_numpy(rng.integers(3, size=150))
    generator = torch.Generator().manual_seed(1)
    network = WithDropout()
    for parameter in network.parameters():
        parameter.detach().uniform_(-0.3, 0.3, generator=generator)
    parameters = FlatParameters(network)
    records: list[EpochRecord] = []

    def judge() -> LabelledLogits:
        return LabelledLogits(network(features[100:]).detach().numpy(), target[100:].numpy())

    def on_epoch(record: EpochRecord) -> bool:
        records.append(record)
        return False

    order, draws = torch.Generator().manual_seed(2), DropoutDraws(1, 16, generator)
    training = Training(
        parameters,
        Batches((features[:100],), target[:100], 16, order, (draws,)),
        loss=cross_entropy,
        optimizer=AdamW(parameters, weight_decay=0.1),
        schedule=warm_up_and_cosine(0.05, 6 * 7),
        generators=(generator,),
        accumulation=1,
        processes=one_process(),
    )
    if checkpoint is not None and (kept := checkpoint.load()) is not None:
        training.restore(kept)
    fit_network(training, judge, stopping=Stopping(6, 4), on_epoch=on_epoch, name="network", checkpoint=checkpoint)
    return network, records


def sha256(network: nn.Module) -> str:
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in network.state_dict().values())).hexdigest()


def without_speed_and_memory(records: list[EpochRecord]) -> list[EpochRecord]:
    return [dataclasses.replace(record, rows_per_second=None, memory=None) for record in records]


def test_interrupted_at_every_step_it_ends_as_if_it_were_not(tmp_path: Path) -> None:
    straight, expected = train(None)
    steps = 7 * len(expected)
    assert steps > 20
    for step in range(1, steps):
        folder = tmp_path / str(step)
        with pytest.raises(TrainingInterruptedError):
            train(Checkpoint(folder, Stop(step)))
        kept = Checkpoint(folder, never_interrupted).load()
        assert kept is not None
        assert kept.step == step
        network, records = train(Checkpoint(folder, never_interrupted))
        assert sha256(network) == sha256(straight)
        assert without_speed_and_memory(records) == without_speed_and_memory(expected[len(expected) - len(records) :])


def test_interrupted_again_and_again_it_ends_the_same(tmp_path: Path) -> None:
    straight, _ = train(None)
    interruptions = 0
    while True:
        try:
            network, _ = train(Checkpoint(tmp_path / "network", Stop(3)))
        except TrainingInterruptedError:
            interruptions += 1
        else:
            break
    assert interruptions > 5
    assert sha256(network) == sha256(straight)


def test_keeping_it_changes_nothing(tmp_path: Path) -> None:
    assert sha256(train(Checkpoint(tmp_path / "network", never_interrupted))[0]) == sha256(train(None)[0])


def test_holds_one_state_and_one_best_epoch_at_a_time(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        with pytest.raises(TrainingInterruptedError):
            Checkpoint(tmp_path, lambda: True).after_step(lambda step=step: state(step, best_epoch=step // 2))
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == ["best", "checkpoint.json", "step"]
    kept = Checkpoint(tmp_path, never_interrupted).load()
    assert kept is not None
    assert (kept.step, kept.best_epoch, kept.numbers) == (3, 1, {"epoch": 2, "rate": 0.1 + 0.2})
    assert torch.equal(kept.best["0"], torch.full((3,), -1.0))
    assert kept.tensors["order"].dtype == torch.uint8


def test_keeps_it_as_often_as_its_time_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, taken = [0.0], 2.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    saved = []

    def slow() -> State:
        saved.append(now[0])
        now[0] += taken
        return state(len(saved))

    checkpoint = Checkpoint(tmp_path, never_interrupted)
    for _ in range(1000):
        checkpoint.after_step(slow)
        now[0] += 1.0
    assert len(saved) == 10
    assert min(np.diff(saved)) >= module.PAUSE * taken


@pytest.mark.parametrize("cut", ["step", "best", "checkpoint.json"])
def test_damage_is_found_and_named(tmp_path: Path, cut: str) -> None:
    with pytest.raises(TrainingInterruptedError):
        Checkpoint(tmp_path, lambda: True).after_step(lambda: state(1))
    path = next(path for path in tmp_path.iterdir() if path.name.startswith(cut))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(tmp_path, never_interrupted).load()
    assert path.name in caught.value.met
    path.unlink()
    if cut != "checkpoint.json":
        with pytest.raises(CheckpointError, match="missing"):
            Checkpoint(tmp_path, never_interrupted).load()


@pytest.mark.parametrize("other", [{"format": "9"}, {"format_version": 9}])
def test_another_format_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    with pytest.raises(TrainingInterruptedError):
        Checkpoint(tmp_path, lambda: True).after_step(lambda: state(1))
    index = json.loads((tmp_path / module.INDEX).read_text())
    (tmp_path / module.INDEX).write_text(json.dumps(index | other))
    with pytest.raises(CheckpointError, match="9"):
        Checkpoint(tmp_path, never_interrupted).load()


def test_files_that_a_crash_left_are_harmless_and_go(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, never_interrupted)
    (tmp_path / ".step-1.safetensors.x7").write_bytes(b"half")
    (tmp_path / "step-1-0123456789abcdef.safetensors").write_bytes(b"whole, but never named")
    assert checkpoint.load() is None
    checkpoint.after_step(lambda: state(1))
    assert len(list(tmp_path.iterdir())) == 3


def test_what_is_finished_takes_the_place_of_the_state(tmp_path: Path) -> None:
    checkpoint = Checkpoints(tmp_path, never_interrupted).of("network", 2)
    assert checkpoint.finished(Fitted) is None
    checkpoint.after_step(lambda: state(1))
    checkpoint.finish(Fitted(np.ones(2, np.float32)))
    assert [path.name for path in (tmp_path / "network-2").iterdir()] == [module.FITTED]
    again = Checkpoints(tmp_path, never_interrupted).of("network", 2).finished(Fitted)
    assert again is not None
    assert again.weight.tolist() == [1.0, 1.0]
    Checkpoints(tmp_path, never_interrupted).remove()
    assert not tmp_path.exists()


def test_what_must_not_be_behind_a_checkpoint_is_brought_to_disk_before_it(tmp_path: Path) -> None:
    kept: list[list[str]] = []
    folder = tmp_path / "network-1"
    checkpoint = Checkpoints(
        tmp_path, never_interrupted, lambda: kept.append(sorted(path.name for path in folder.glob("*")))
    ).of("network", 1)
    checkpoint.after_step(lambda: state(1))
    checkpoint.finish(Fitted(np.ones(2, np.float32)))
    assert kept[0] == []
    assert module.INDEX in kept[1]
    assert module.FITTED not in kept[1]


def sealed(folder: Path, tensors: dict[str, torch.Tensor] | bytes, **changes: object) -> Checkpoint:
    """Return a checkpoint whose last tensors are others, with a checksum that is right."""
    with pytest.raises(TrainingInterruptedError):
        train(Checkpoint(folder, Stop(10)))
    index = json.loads((folder / module.INDEX).read_text()) | changes
    path = folder / index["files"]["last"]["name"]
    if isinstance(tensors, dict):
        tensors = safetensors.torch.save(safetensors.torch.load(path.read_bytes()) | tensors)
    path.write_bytes(tensors)
    index["files"]["last"] |= {"sha256": hashlib.sha256(tensors).hexdigest(), "bytes": len(tensors)}
    (folder / module.INDEX).write_text(json.dumps(index))
    return Checkpoint(folder, never_interrupted)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"more": torch.zeros(1)}, "missing or unknown: more"),
        ({"average": torch.zeros(3)}, "average is"),
        ({"average": torch.zeros(131, dtype=torch.float64)}, "float64"),
        ({"generator.0": torch.zeros(5056, dtype=torch.uint8)}, "generator"),
        ({"order": torch.zeros(7, dtype=torch.uint8)}, "order is"),
    ],
)
def test_the_tensors_of_another_training_are_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], words: str
) -> None:
    with pytest.raises(StateMismatchError, match=words):
        train(sealed(tmp_path, tensors))


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 3},
        {"best_epoch": 9},
        {"numbers": {"epoch": 2, "batch": 70, "best_score": None}},
        {"numbers": {"epoch": 0.5, "batch": 3, "best_score": None}},
        {"numbers": {"epoch": 2}},
    ],
)
def test_a_position_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(StateMismatchError):
        train(sealed(tmp_path, {}, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "3"},
        {"step": 10**400},
        {"more": 1},
        {"files": {}},
        {"files": {"last": 3, "best": 3}},
        {"files": {"last": {"name": "../../x", "sha256": "", "bytes": 3}, "best": {}}},
        {"numbers": {"epoch": "two"}},
        {"format": None},
    ],
)
def test_an_index_of_other_values_is_one_clear_error(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(TrainingInterruptedError):
        Checkpoint(tmp_path, lambda: True).after_step(lambda: state(1))
    path = tmp_path / module.INDEX
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(tmp_path, never_interrupted).load()
    assert str(path) in caught.value.met
    assert f"Remove {tmp_path} and resume" in caught.value.fix


@pytest.mark.parametrize("tensors", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", (b"\x05" + bytes(7) + b"{")])
def test_what_is_no_safetensors_is_one_clear_error(tmp_path: Path, tensors: bytes) -> None:
    with pytest.raises(CheckpointError, match="step-10"):
        sealed(tmp_path, tensors).load()


@pytest.mark.skipif(sys.platform == "win32", reason="links take rights on Windows")
def test_links_are_not_followed_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    folder = tmp_path / "network-1"
    with pytest.raises(TrainingInterruptedError):
        Checkpoint(folder, lambda: True).after_step(lambda: state(1))
    file = next(folder.glob("step-*"))
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="step-1"):
        Checkpoint(folder, never_interrupted).load()
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    for read in (Checkpoint(folder, never_interrupted).load, lambda: Checkpoint(folder, lambda: True).finished(Fitted)):
        with pytest.raises(CheckpointError, match="it is a link"):
            read()
    assert len(list((tmp_path / "moved").iterdir())) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="links take rights on Windows")
def test_a_link_to_the_folder_of_all_checkpoints_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "network-1"
    with pytest.raises(TrainingInterruptedError):
        Checkpoint(folder, lambda: True).after_step(lambda: state(1))
    folder.parent.rename(tmp_path / "moved")
    folder.parent.symlink_to(tmp_path / "moved")
    checkpoint = Checkpoint(folder, never_interrupted)
    for read in (checkpoint.load, lambda: checkpoint.finished(Fitted)):
        with pytest.raises(CheckpointError, match=r"checkpoints is a link\. Put the folder itself in its place"):
            read()
    assert len(list((tmp_path / "moved" / "network-1").iterdir())) == 3


def test_a_damaged_fitted_model_says_that_its_fold_alone_is_lost(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "linear-1", never_interrupted)
    checkpoint.finish(Fitted(np.ones(2, np.float32)))
    index = tmp_path / "linear-1" / module.FITTED / "model.json"
    index.write_text(index.read_text().replace("weight", "height"))
    with pytest.raises(CheckpointError, match="only this fold is trained again"):
        checkpoint.finished(Fitted)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
def test_a_full_disk_names_the_file_and_the_state_before_is_whole(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, lambda: True)
    with pytest.raises(TrainingInterruptedError):
        checkpoint.after_step(lambda: state(1))
    with size_limit(50), pytest.raises(DiskError, match=r"step-2-.*\.safetensors: File too large"):
        checkpoint.after_step(lambda: state(2, value=2.0))
    kept = checkpoint.load()
    assert kept is not None
    assert kept.step == 1
