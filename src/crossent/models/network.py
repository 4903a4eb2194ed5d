"""A network for tables: settings, and the fitted arrays."""

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from crossent.data.table import Features, Widths
from crossent.lazy import lazy_property
from crossent.logits import LARGEST_GAMMA, LabelledLogits, posterior_logits
from crossent.models.effort import (
    DEPTH,
    choose_batch_size,
    choose_effort,
    choose_epochs,
    choose_patience,
    choose_threads,
)
from crossent.models.heads_loss import heads_loss
from crossent.models.model import Examples
from crossent.models.number_embedding import FARTHEST, check_pieces
from crossent.models.objective import Objective
from crossent.models.table_network import Sizes, TableNetwork
from crossent.monitoring.records import OnEpoch
from crossent.train.batches import Batches
from crossent.train.checkpoint import Checkpoint, State, StateMismatchError
from crossent.train.dropout import DropoutDraws
from crossent.train.learning_rate import LearningRateCurve, find_learning_rate
from crossent.train.loop import StopBy, Stopping, fit_network, follow_training
from crossent.train.mixup import Mixup
from crossent.train.optim import AdamW, warm_up_and_cosine
from crossent.train.parameters import FlatParameters
from crossent.train.processes import Processes, one_process
from crossent.train.threads import Threads, one_thread
from crossent.train.training import LEAST_DIVIDED, Training
from crossent.value_checks import LARGEST_LOGIT, check_bounded, check_cardinalities, check_number

# Rows whose logits are computed at once: what all heads make of them stays in the caches.
CHUNK = 512

Arrays = tuple[npt.NDArray[np.float32], ...]
# Of the parameters and of dropout, of the order of the rows, and of mixup.
Seeds = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """The parameters of a network for tables, all float32.

    Attributes
    ----------
    left, slope
        ``(p, b)`` where the pieces of the curves of p numbers begin, and one over their lengths, or 0 for no piece.
    number_weight, number_line, number_bias
        ``(p, b, s)``, ``(p, 1, s)`` and ``(p, 1, s)``: what pieces and line add to the embedding of each number.
    category_table
        ``(L, t)`` embeddings of all codes of all categories.
    cardinalities
        Number of codes of each category; they sum to L.
    weights, biases
        ``(k, out, in)`` and ``(k, 1, out)`` of each layer of k heads.
    focal_gamma
        Exponent of the focal loss that they minimise; 0 for cross entropy.
    """

    left: npt.NDArray[np.float32]
    slope: npt.NDArray[np.float32]
    number_weight: npt.NDArray[np.float32]
    number_line: npt.NDArray[np.float32]
    number_bias: npt.NDArray[np.float32]
    category_table: npt.NDArray[np.float32]
    cardinalities: tuple[int, ...]
    weights: Arrays
    biases: Arrays
    focal_gamma: float

    def __post_init__(self) -> None:
        layers = len(self.weights)
        dimensions = [one.ndim for one in (self.number_weight, self.category_table, *self.weights)]
        if layers < 2 or len(self.biases) != layers or dimensions != [3, 2, *[3] * layers]:
            raise ValueError(f"weights of shapes {[weight.shape for weight in self.weights]} make no network")
        expected = self._sizes.shapes
        for name, value in self._state().items():
            if value.shape != expected[name]:
                raise ValueError(f"{name} of shape {value.shape} does not fit: this network has {expected[name]}")
        check_cardinalities(self.cardinalities, len(self.category_table))
        check_number("the exponent of the focal loss", self.focal_gamma, 0, LARGEST_GAMMA)
        check_pieces(self.left, self.slope)
        self._check_largest_logit()

    def _check_largest_logit(self) -> None:
        """Check that no number on the way to a logit can be infinite, whatever the row."""
        parts = (np.abs(self.number_weight).sum(axis=1), FARTHEST * np.abs(self.number_line[:, 0]), self.number_bias)
        for name, values in (("numbers", parts), ("categories", (self.category_table,))):
            for part in values:
                check_bounded(f"the embedding of {name}", part, LARGEST_LOGIT)
        largest = sum(float(np.abs(part).max(initial=0)) for part in (*parts, self.category_table))
        for weight, bias in zip(self.weights, self.biases, strict=True):
            largest = float((np.abs(weight).sum(axis=2, dtype=np.float64) * largest + np.abs(bias[:, 0])).max())
            check_number("the largest logit that there could be", largest, 0, LARGEST_LOGIT)

    @property
    def classes(self) -> int:
        """K."""
        return self._sizes.classes

    def reads(self, widths: Widths) -> bool:
        """Say whether it is for rows of these widths."""
        return widths == Widths(len(self.left), self.cardinalities, 0)

    @property
    def _sizes(self) -> Sizes:
        p, pieces, size = self.number_weight.shape
        heads, width, _ = self.weights[0].shape
        return Sizes(
            numbers=p,
            cardinalities=self.cardinalities,
            classes=self.weights[-1].shape[1],
            heads=heads,
            width=width,
            depth=len(self.weights) - 1,
            pieces=pieces,
            number_size=size,
            category_size=self.category_table.shape[1],
        )

    def _state(self) -> dict[str, npt.NDArray[np.float32]]:
        state = {
            "numbers.left": self.left,
            "numbers.slope": self.slope,
            "numbers.weight": self.number_weight,
            "numbers.line": self.number_line,
            "numbers.bias": self.number_bias,
            "categories.table": self.category_table,
        }
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            state |= {f"layers.{i}.weight": weight, f"layers.{i}.bias": bias}
        return state

    @lazy_property
    def _network(self) -> TableNetwork:
        network = _make(self._sizes, 0.0, 0)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in self._state().items()})
        return network.eval()

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return ``(n, K)`` float32 logits: the logarithms of the heads' mean probabilities."""
        return network_logits(self._network, _inputs(features, torch.device("cpu")), self.focal_gamma)


@dataclass(frozen=True)
class Network:
    """A network for tables: numbers and categories embedded, then a few perceptrons side by side.

    Attributes
    ----------
    learning_rate
        Of AdamW, at its peak.
    dropout
        Share of the hidden units that each step leaves out.
    weight_decay
        Of matrices.
    batch_size
        Rows of a step; None takes what `choose_batch_size` does.
    max_epochs
        None takes what `choose_epochs` does.
    stop_by
        What tells the best epoch.
    mixup
        Parameter of the Beta distribution that mixes rows; 0 mixes none.

    Sources: Gorishniy et al. 2025, "TabM"; Holzmüller et al. 2024, "Better by Default".
    """

    learning_rate: float = 0.01
    dropout: float = 0.0
    weight_decay: float = 0.2
    batch_size: int | None = None
    max_epochs: int | None = None
    stop_by: StopBy = "refinement"
    mixup: float = 0.0
    name: ClassVar[str] = "network"

    def fit(
        self,
        train: Examples,
        valid: Examples | None,
        *,
        objective: Objective,
        rng: np.random.Generator,
        on_epoch: OnEpoch,
        checkpoint: Checkpoint | None = None,
        processes: Processes | None = None,
    ) -> FittedNetwork:
        """Fit to training rows; rows held out choose the epoch.

        Of several processes the one that leads calls this, and the others are in `follow_fits`; where batches are too
        small to divide, it trains alone.
        """
        processes, rows = processes or one_process(), len(train.features)
        if self._batch_size(rows) < LEAST_DIVIDED:
            processes = processes.leader_alone()
        epochs = self.epochs(rows)
        kept = None if checkpoint is None else checkpoint.load()
        begun = Begun(self, train, objective, _draw_seeds(rng), kept)
        threads = Threads(self._threads(rows, processes))
        with one_thread():
            try:
                network, training = begun.training(processes)
            except StateMismatchError as error:
                assert checkpoint is not None
                raise checkpoint.of_another_training(error) from error
            judge = None if valid is None else _judge(network, valid, objective, processes.device)
            # What fails before this is known to none but the leader.
            processes.share(begun)
            fit_network(
                training,
                judge,
                stopping=Stopping(epochs, choose_patience(epochs), self.stop_by),
                on_epoch=on_epoch,
                name=self.name,
                checkpoint=checkpoint,
                threads=threads,
            )
        return _freeze(network, train.features.cardinalities, objective.focal_gamma)

    def find_learning_rate(
        self, train: Examples, *, objective: Objective, rng: np.random.Generator
    ) -> LearningRateCurve:
        """Suggest a learning rate for these training rows, by a short training of which nothing else remains."""
        epochs = self.epochs(len(train.features))
        device = one_process().device
        with one_thread():
            network, batches, _ = self.start(train, _draw_seeds(rng), device)
            return find_learning_rate(
                network,
                batches,
                loss=heads_loss(objective, train, device),
                optimizer=functools.partial(AdamW, weight_decay=self.weight_decay),
                steps=epochs * len(batches),
                usual=self.learning_rate,
            )

    def epochs(self, rows: int) -> int:
        """Return the most times that training goes over so many rows."""
        return self.max_epochs or choose_epochs(rows)

    def _batch_size(self, rows: int) -> int:
        return self.batch_size or choose_batch_size(rows)

    def _threads(self, rows: int, processes: Processes) -> int:
        """Return how many threads may be quicker than one; where there are several processes, each has one."""
        if processes.count > 1 or processes.device.type != "cpu":
            return 1
        worth = choose_threads(choose_effort(rows), self._batch_size(rows))
        return min(worth, torch.get_num_threads())

    def start(
        self, train: Examples, seeds: Seeds, device: torch.device
    ) -> tuple[TableNetwork, Batches, tuple[torch.Generator, ...]]:
        """Return a network that has learned nothing, the batches that it would learn from, and what both draw from."""
        features = train.features
        effort = choose_effort(len(features))
        heads, width = effort.heads, effort.width
        sizes = Sizes(features.numbers.shape[1], features.cardinalities, train.classes, heads, width, DEPTH)
        draws, order, mixing = (torch.Generator().manual_seed(seed) for seed in seeds)
        network = TableNetwork(sizes, self.dropout, draws)
        network.numbers.place_knots(features.numbers)
        network.categories.forget_unseen(features.codes)
        size = self._batch_size(len(features))
        mixup = (Mixup(self.mixup, train.classes, mixing),) if self.mixup else ()
        dropout = (DropoutDraws(DEPTH * heads, width, draws),) if self.dropout else ()
        target = torch.from_numpy(train.learned_target).to(device)
        # Draws are not mixed, and so come last.
        batches = Batches(_inputs(features, device), target, size, order, (*mixup, *dropout))
        return network.to(device), batches, (draws, mixing)


@dataclass(frozen=True, eq=False)
class Begun:
    """All that it takes to build a training, the same in every process.

    Attributes
    ----------
    model, train, objective
        As in `Network.fit`.
    seeds
        Of what is drawn.
    kept
        The state of the training if it goes on; None at its start.
    """

    model: Network
    train: Examples
    objective: Objective
    seeds: Seeds
    kept: State | None

    def training(self, processes: Processes) -> tuple[TableNetwork, Training]:
        """Return the network and its training, where it begins or goes on."""
        model = self.model
        network, batches, generators = model.start(self.train, self.seeds, processes.device)
        parameters = FlatParameters(network, network.layers)
        epochs = model.epochs(len(self.train.features))
        training = Training(
            parameters,
            batches,
            loss=heads_loss(self.objective, self.train, processes.device),
            optimizer=AdamW(parameters, weight_decay=model.weight_decay),
            schedule=warm_up_and_cosine(model.learning_rate, epochs * len(batches)),
            generators=generators,
            accumulation=1,
            processes=processes,
        )
        if self.kept is not None:
            training.restore(self.kept)
        return network, training


def follow_fits(processes: Processes) -> None:
    """Take part in every fit of the process that leads, until it dismisses those that follow.

    Raises
    ------
    ProcessError
        If another process is gone.
    """
    while (begun := processes.share(None)) is not None:
        with one_thread():
            _, training = begun.training(processes)
            follow_training(training)


def network_logits(network: nn.Module, inputs: tuple[Tensor, ...], focal_gamma: float) -> npt.NDArray[np.float32]:
    """Return ``(n, K)`` float32 logits of a network with heads: the logarithms of their mean probabilities."""
    chunks = []
    with torch.inference_mode():
        for rows in range(0, max(len(inputs[0]), 1), CHUNK):
            heads = network(*(values[rows : rows + CHUNK] for values in inputs)).cpu()
            if focal_gamma:
                believed = posterior_logits(heads.flatten(0, 1).numpy(), focal_gamma)
                heads = torch.from_numpy(believed).view(heads.shape)
            log_probs = torch.log_softmax(heads.double(), dim=2)
            chunks.append(torch.logsumexp(log_probs, dim=0) - math.log(len(heads)))
    return torch.cat(chunks).float().numpy()


def _draw_seeds(rng: np.random.Generator) -> Seeds:
    return int(rng.integers(2**63)), int(rng.integers(2**63)), int(rng.integers(2**63))


def _judge(
    network: TableNetwork, valid: Examples, objective: Objective, device: torch.device
) -> "functools.partial[LabelledLogits]":
    return functools.partial(_held_out, network, _inputs(valid.features, device), valid.target, objective)


def _held_out(
    network: TableNetwork, inputs: tuple[Tensor, ...], target: npt.NDArray[np.int64], objective: Objective
) -> LabelledLogits:
    """Return the logits of rows held out, brought to the class shares of the data."""
    logits = network_logits(network, inputs, objective.focal_gamma)
    if objective.restoring is not None:
        logits = (logits + objective.restoring).astype(np.float32)
    return LabelledLogits(logits, target)


def _inputs(features: Features, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(features.numbers).to(device), torch.from_numpy(features.codes.astype(np.int64)).to(device)


def _make(sizes: Sizes, dropout: float, seed: int) -> TableNetwork:
    return TableNetwork(sizes, dropout, torch.Generator().manual_seed(seed))


def _freeze(network: TableNetwork, cardinalities: tuple[int, ...], focal_gamma: float) -> FittedNetwork:
    state = {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}
    layers = range(len(network.layers))
    return FittedNetwork(
        left=state["numbers.left"],
        slope=state["numbers.slope"],
        number_weight=state["numbers.weight"],
        number_line=state["numbers.line"],
        number_bias=state["numbers.bias"],
        category_table=state["categories.table"],
        cardinalities=cardinalities,
        weights=tuple(state[f"layers.{i}.weight"] for i in layers),
        biases=tuple(state[f"layers.{i}.bias"] for i in layers),
        focal_gamma=focal_gamma,
    )
