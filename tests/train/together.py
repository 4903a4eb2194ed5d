"""Trainings for test_processes.py, which torchrun runs in several processes, and the tests in their own.

``python -m torch.distributed.run --standalone --nproc-per-node 2 -m tests.train.together FOLDER`` writes what each
process saw to ``FOLDER/<rank>.json``.
"""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossent.data.sampling import oversample
from crossent.losses.cross_entropy import cross_entropy
from crossent.models.model import Task
from crossent.models.network import Begun, fit, follow_fits
from crossent.models.objective import Objective
from crossent.models.settings import Network
from crossent.monitoring.records import EpochRecord
from crossent.train.batches import Batches
from crossent.train.dropout import DropoutDraws, drop
from crossent.train.loop import Stopping, fit_network, follow_training
from crossent.train.optim import AdamW, warm_up_and_cosine
from crossent.train.parameters import FlatParameters
from crossent.train.processes import Processes, joined_processes
from crossent.train.threads import one_thread
from crossent.train.training import Training
from tests.models.draw_examples import draw

EPOCHS = 6
# At a low rate, differences in the last bits of sums stay small for this number of epochs.
SLOW = Network(max_epochs=EPOCHS, learning_rate=0.003)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a process saw of a training.

    Attributes
    ----------
    losses
        Of the epochs; of the process that leads alone.
    rows
        Numbers of the rows in each step.
    digest
        Of all that the steps changed.
    """

    losses: list[float]
    rows: list[list[int]]
    digest: str


class WithRowNumbers(nn.Module):
    """Two layers with dropout between them; writes down which rows it sees."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.first, self.last = nn.Linear(4, 16), nn.Linear(16, 3)
        for parameter in self.parameters():
            parameter.detach().uniform_(-0.5, 0.5, generator=generator)
        self.rows: list[list[int]] = []

    def forward(self, numbers: Tensor, rows: Tensor, draws: Tensor) -> Tensor:
        self.rows.append(rows.tolist())
        # Smooth, so that the last bits of its sums stay last bits for as long as it is trained.
        logits = self.last(drop(torch.tanh(self.first(numbers))[None], draws, 0.2)[0])
        assert isinstance(logits, Tensor)
        return logits


def draw_balanced() -> tuple[Tensor, Tensor]:
    """Draw rows of classes of 80 %, 15 % and 5 %, and then as many of each, as `imbalance` does before any training."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 4)).astype(np.float32)
    target = np.digitize(features @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=120), [1.7, 3.0])
    rows = oversample(target, rng=rng)
    return torch.from_numpy(features[rows]), torch.from_numpy(target[rows])


def train_by_steps(processes: Processes, *, size: int, accumulation: int, epochs: int = EPOCHS) -> Seen:
    """Train on balanced rows."""
    features, target = draw_balanced()
    drawing = torch.Generator().manual_seed(2)
    inputs = features, torch.arange(len(target))
    draws = DropoutDraws(1, 16, drawing)
    batches = Batches(inputs, target, size, torch.Generator().manual_seed(3), (draws,))
    network = WithRowNumbers()
    parameters = FlatParameters(network)
    training = Training(
        parameters,
        batches,
        loss=cross_entropy,
        optimizer=AdamW(parameters, weight_decay=0.1),
        schedule=warm_up_and_cosine(0.01, epochs * len(batches)),
        generators=(drawing,),
        accumulation=accumulation,
        processes=processes,
    )
    losses = lead_or_follow(training, processes, epochs)
    return Seen(losses, network.rows, digest(training))


def train_network(processes: Processes, model: Network, *, rows: int = 500, bf16: bool = False) -> Seen:
    """Train the network for tables, with weights of classes."""
    objective = Objective(class_weight=np.array([1.0, 2.0, 5.0]))
    begun = processes.share(Begun(model, draw(rows), objective, (1, 2, 3), None) if processes.leads else None)
    precision = torch.bfloat16 if bf16 else torch.float32
    with one_thread():
        _, training = begun.training(dataclasses.replace(processes, precision=precision))
        losses = lead_or_follow(training, processes, model.max_epochs or 0)
    return Seen(losses, [], digest(training))


def fit_by(processes: Processes, batch_size: int | None) -> Seen:
    """Fit the network for tables as `fit` does; the process that leads gets it."""
    if not processes.leads:
        follow_fits(processes)
        return Seen([], [], "")
    model = Network(max_epochs=20, batch_size=batch_size)
    drawn, rng = draw(2001), np.random.default_rng(0)
    fitted = fit(model, Task(train=drawn, valid=None, objective=Objective(), rng=rng, processes=processes))
    processes.dismiss()
    return Seen([], [], hashlib.sha256(fitted.logits(drawn.features).tobytes()).hexdigest())


def lead_or_follow(training: Training, processes: Processes, epochs: int) -> list[float]:
    """Train for some epochs; return their losses if this process leads."""
    losses: list[float] = []

    def on_epoch(record: EpochRecord) -> bool:
        losses.append(record.train_loss)
        return False

    if processes.leads:
        fit_network(training, None, stopping=Stopping(epochs, epochs), on_epoch=on_epoch, name="network")
    else:
        follow_training(training)
    return losses


def digest(training: Training) -> str:
    """Return the hash of averages and moments, which every step changed; the leader has put others in the network."""
    changed = (training.average.values, *training.optimizer.state().values())
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in changed)).hexdigest()


def train_all(processes: Processes) -> dict[str, Seen]:
    """Run every training, one after the other."""
    return {
        "balanced": train_by_steps(processes, size=33, accumulation=1),
        "long": train_by_steps(processes, size=33, accumulation=1, epochs=60),
        "accumulated": train_by_steps(processes, size=33, accumulation=3),
        # Of three processes one has no row in any batch.
        "two rows": train_by_steps(processes, size=2, accumulation=2, epochs=2),
        "network": train_network(processes, SLOW),
        "mixup": train_network(processes, dataclasses.replace(SLOW, mixup=0.3)),
        "bf16": train_network(processes, SLOW, bf16=True),
        # Batches of 1,001 rows and 1,000, so that halves differ by one.
        "fitted": fit_by(processes, None),
        "fitted by large batches": fit_by(processes, 1100),
        "large batches": train_network(processes, Network(max_epochs=20, batch_size=1100, mixup=0.3), rows=2001),
    }


def read_seen(path: Path) -> dict[str, Seen]:
    """Read what a process wrote."""
    found: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return {name: Seen(**fields) for name, fields in found.items()}


if __name__ == "__main__":
    with joined_processes() as joined:
        seen = {name: dataclasses.asdict(one) for name, one in train_all(joined).items()}
    (Path(sys.argv[1]) / f"{joined.rank}.json").write_text(json.dumps(seen))
