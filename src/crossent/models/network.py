"""A network for tables: its training, and the fitted arrays.

**Shape.** ``n`` rows, ``K`` classes, p numbers, L codes of all categories, ``k`` heads: perceptrons side by side.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from crossent.kinds.blocks import Features, Widths
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
from crossent.models.heads_loss import heads_loss, heads_target
from crossent.models.model import Examples, Task
from crossent.models.number_embedding import FARTHEST, check_pieces
from crossent.models.objective import Objective
from crossent.models.settings import Network
from crossent.models.table_network import Sizes, TableNetwork
from crossent.train.batches import Batches
from crossent.train.checkpoint import State, StateMismatchError
from crossent.train.dropout import DropoutDraws
from crossent.train.learning_rate import LearningRateCurve, find_learning_rate
from crossent.train.loop import Stopping, fit_network, follow_training
from crossent.train.mixup import Mixup
from crossent.train.optim import AdamW, warm_up_and_cosine
from crossent.train.parameters import FlatParameters
from crossent.train.processes import Processes, one_process
from crossent.train.threads import Threads, one_thread
from crossent.train.training import LEAST_DIVIDED, Training
from crossent.value_checks import LARGEST_LOGIT, check_bounded, check_cardinalities, check_number

# Number of rows whose logits are computed at once, so that the values of all heads stay in the caches.
CHUNK = 512
# The learning rate if none is given and none is searched.
USUAL_RATE = 0.01

Arrays = tuple[npt.NDArray[np.float32], ...]
# Seeds of the parameters and of dropout, of the order of the rows, and of mixup.
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

    def ngram_weight(self) -> None:
        """Return None: a network for tables reads no n-grams."""

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


def fit(settings: Network, task: Task) -> FittedNetwork:
    """Fit to training rows; held-out rows choose the epoch.

    Of several processes the one that leads calls this, and the others are in `follow_fits`; where batches are too
    small to divide, it trains alone.
    """
    train, valid, objective = task.train, task.valid, task.objective
    processes, rows = task.processes or one_process(), len(train.features)
    if _batch_size(settings, rows) < LEAST_DIVIDED:
        processes = processes.leader_alone()
    epochs = _epochs(settings, rows)
    state = None if task.checkpoint is None else task.checkpoint.load()
    begun = Begun(settings, train, objective, _draw_seeds(task.rng), state)
    threads = Threads(_threads(settings, rows, processes))
    with one_thread():
        try:
            network, training = begun.training(processes)
        except StateMismatchError as error:
            assert task.checkpoint is not None
            raise task.checkpoint.of_another_training(error) from error
        held_out = None if valid is None else _held_out_of(network, valid, objective, processes.device)
        # The other processes do not know of a failure before this line.
        processes.share(begun)
        fit_network(
            training,
            held_out,
            stopping=Stopping(epochs, choose_patience(epochs), settings.stop_by),
            on_epoch=task.on_epoch,
            name=task.name,
            checkpoint=task.checkpoint,
            threads=threads,
        )
    return _freeze(network, train.features.cardinalities, objective.focal_gamma)


def search_learning_rate(settings: Network, make_task: Callable[[], Task]) -> tuple[Network, LearningRateCurve | None]:
    """Return the settings with the rate that suits the training rows, if they ask for a search, and what it saw.

    The search is a short training, from which only the rate is kept.
    """
    if not settings.find_lr:
        return settings, None
    task, device = make_task(), one_process().device
    with one_thread():
        network, batches, _ = start(settings, task.train, _draw_seeds(task.rng), device)
        curve = find_learning_rate(
            network,
            batches,
            loss=heads_loss(task.objective, task.train, device),
            optimizer=functools.partial(AdamW, weight_decay=settings.weight_decay),
            steps=_epochs(settings, len(task.train.features)) * len(batches),
            usual=USUAL_RATE,
        )
    return dataclasses.replace(settings, learning_rate=curve.suggested, find_lr=False), curve


def note_on_processes(settings: Network, count: int) -> str | None:
    """Say why only one of several processes would train; None if all take part."""
    if count == 1 or (settings.batch_size or 0) >= LEAST_DIVIDED:
        return None
    return (
        f"batches below {LEAST_DIVIDED} rows are not divided, so one of {count} processes trains;"
        f" --network.batch-size {LEAST_DIVIDED} lets all take part."
    )


def start(
    settings: Network, train: Examples, seeds: Seeds, device: torch.device
) -> tuple[TableNetwork, Batches, tuple[torch.Generator, ...]]:
    """Return an untrained network, its batches of training rows, and the generators of both."""
    features = train.features
    effort = choose_effort(len(features))
    heads, width = effort.heads, effort.width
    sizes = Sizes(features.numbers.shape[1], features.cardinalities, train.classes, heads, width, DEPTH)
    draws, order, mixing = (torch.Generator().manual_seed(seed) for seed in seeds)
    network = TableNetwork(sizes, settings.dropout, draws)
    network.numbers.place_knots(features.numbers)
    network.categories.forget_unseen(features.codes)
    size = _batch_size(settings, len(features))
    mixup = (Mixup(settings.mixup, train.classes, mixing),) if settings.mixup else ()
    dropout = (DropoutDraws(DEPTH * heads, width, draws),) if settings.dropout else ()
    target = heads_target(train, device)
    # Draws are not mixed, and so come last.
    batches = Batches(_inputs(features, device), target, size, order, (*mixup, *dropout))
    return network.to(device), batches, (draws, mixing)


def _epochs(settings: Network, rows: int) -> int:
    """Return the largest number of epochs."""
    return settings.max_epochs or choose_epochs(rows)


def _batch_size(settings: Network, rows: int) -> int:
    return settings.batch_size or choose_batch_size(rows)


def _threads(settings: Network, rows: int, processes: Processes) -> int:
    """Return how many threads may be quicker than one; where there are several processes, each has one."""
    if processes.count > 1 or processes.device.type != "cpu":
        return 1
    worth = choose_threads(choose_effort(rows), _batch_size(settings, rows))
    return min(worth, torch.get_num_threads())


@dataclass(frozen=True, eq=False)
class Begun:
    """Everything that is needed to build a training, the same in every process.

    Attributes
    ----------
    settings, train, objective
        As in `fit`.
    seeds
        Seeds of the draws.
    state
        The state of a training that is resumed; None at its start.
    """

    settings: Network
    train: Examples
    objective: Objective
    seeds: Seeds
    state: State | None

    def training(self, processes: Processes) -> tuple[TableNetwork, Training]:
        """Return the network and its training, at its start or where it was interrupted."""
        settings = self.settings
        network, batches, generators = start(settings, self.train, self.seeds, processes.device)
        parameters = FlatParameters(network, network.layers)
        epochs = _epochs(settings, len(self.train.features))
        training = Training(
            parameters,
            batches,
            loss=heads_loss(self.objective, self.train, processes.device),
            optimizer=AdamW(parameters, weight_decay=settings.weight_decay),
            schedule=warm_up_and_cosine(settings.learning_rate or USUAL_RATE, epochs * len(batches)),
            generators=generators,
            accumulation=1,
            processes=processes,
        )
        if self.state is not None:
            training.restore(self.state)
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
                posterior = posterior_logits(heads.flatten(0, 1).numpy(), focal_gamma)
                heads = torch.from_numpy(posterior).view(heads.shape)
            log_probs = torch.log_softmax(heads.double(), dim=2)
            chunks.append(torch.logsumexp(log_probs, dim=0) - math.log(len(heads)))
    return torch.cat(chunks).float().numpy()


def _draw_seeds(rng: np.random.Generator) -> Seeds:
    return int(rng.integers(2**63)), int(rng.integers(2**63)), int(rng.integers(2**63))


def _held_out_of(
    network: TableNetwork, valid: Examples, objective: Objective, device: torch.device
) -> "functools.partial[LabelledLogits]":
    return functools.partial(_held_out, network, _inputs(valid.features, device), valid, objective)


def _held_out(
    network: TableNetwork, inputs: tuple[Tensor, ...], valid: Examples, objective: Objective
) -> LabelledLogits:
    """Return the logits of held-out rows, brought to the class shares of the data."""
    logits = network_logits(network, inputs, objective.focal_gamma)
    if objective.prior_correction is not None:
        logits = (logits + objective.prior_correction).astype(np.float32)
    return LabelledLogits(logits, valid.target, weight=valid.weight)


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
