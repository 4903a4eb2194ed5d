"""Commands that several processes run together."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
Command = list[str]


def torchrun(count: int, *command: str) -> Command:
    """Return the command that runs a command in a number of processes."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m", *command]
