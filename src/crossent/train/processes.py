"""The processes that train a network together, and the device of each: one process leads, the others follow.

Only the leader reads, decides, writes and prints. A follower waits for a training to begin, computes its part of every
batch, and is told together with the sum of the gradients whether the training has ended. So two processes can never
take different decisions.
"""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, final

import torch
from torch import Tensor

from crossent.errors import CrossentError, ProcessError

# A follower waits as long as the leader does other things. If a process dies, torchrun ends the others.
LONGEST_WAIT = timedelta(days=365)


@final
@dataclass(frozen=True, eq=False)
class Processes:
    """The processes that train together, as one of them sees them.

    Attributes
    ----------
    device
        The device of this process.
    precision
        Precision of the products in a network; its parameters are always float32.
    rank
        Number of this process; 0 is the leader.
    count
        Number of processes.
    """

    device: torch.device
    precision: torch.dtype = torch.float32
    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this one leads."""
        return self.rank == 0

    def leader_alone(self) -> "Processes":
        """Return the leader as a single process, while the others wait; only the leader calls this."""
        return dataclasses.replace(self, count=1)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which a network computes in the precision of the device."""
        if self.precision == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.precision)

    def share(self, value: Any) -> Any:
        """Return the value of the leader in all processes; followers wait for it.

        It is pickled, and goes only from process to process, never to a file.

        Raises
        ------
        ProcessError
            If another process is gone.
        """
        if self.count == 1:
            return value
        shared = [value]
        try:
            torch.distributed.broadcast_object_list(shared, src=0)
        except RuntimeError as error:
            raise _gone(self.count) from error
        return shared[0]

    def sum(self, values: Tensor) -> None:
        """Replace the values by their sums over the processes, with the same bits in all of them.

        Raises
        ------
        ProcessError
            If another process is gone.
        """
        if self.count == 1:
            return
        try:
            # Fabric's sum has a further barrier before it, although the sum itself already waits for all processes.
            torch.distributed.all_reduce(values)
        except RuntimeError as error:
            raise _gone(self.count) from error

    def dismiss(self) -> None:
        """Tell the followers that there is nothing more to do."""
        with contextlib.suppress(ProcessError):
            self.share(None)


def one_process() -> Processes:
    """Return this process alone, on the GPU if there is one.

    Examples
    --------
    >>> one_process().count
    1
    """
    return _on(torch.device("cuda" if torch.cuda.is_available() else "cpu"), rank=0, count=1)


@contextlib.contextmanager
def joined_processes() -> Iterator[Processes]:
    """Return this process among those that torchrun started, once all are there; a single one without torchrun.

    Raises
    ------
    CrossentError
        If lightning-fabric is missing.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["WORLD_SIZE"] == "1":
        yield one_process()
        return
    processes = _join()
    try:
        yield processes
    finally:
        # Its threads must not outlive the interpreter, which would abort.
        torch.distributed.destroy_process_group()


def _join() -> Processes:
    try:
        from lightning_fabric import Fabric  # noqa: PLC0415 - an extra, and slow to import
        from lightning_fabric.strategies.ddp import DDPStrategy  # noqa: PLC0415
    except ImportError as error:
        raise CrossentError(
            "Training by several processes needs lightning-fabric.",
            f"{error}.",
            "Install it: pip install 'crossent[distributed]'",
        ) from error
    # It writes what it does to standard error, which belongs to the user.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    count, beside = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    accelerator = "cuda" if torch.cuda.device_count() >= beside else "cpu"
    strategy = DDPStrategy(timeout=LONGEST_WAIT)
    fabric = Fabric(accelerator=accelerator, devices=beside, num_nodes=count // beside, strategy=strategy)
    fabric.launch()
    return _on(fabric.device, rank=fabric.global_rank, count=fabric.world_size)


def _on(device: torch.device, rank: int, count: int) -> Processes:
    mixed = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return Processes(device, torch.bfloat16 if mixed else torch.float32, rank, count)


def _gone(count: int) -> ProcessError:
    return ProcessError(
        "All processes of a training must run until it ends.",
        f"One of {count} is gone.",
        "Look at its messages before, and at what torchrun says about its end.",
    )
