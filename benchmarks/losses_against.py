"""The losses of this installation against those of another, such as one of an earlier commit, in paired rounds.

python benchmarks/losses_against.py ../earlier/.venv/bin/python
"""

import argparse
import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable

import torch

import crossent as ce

SHAPES = ((64, 10), (65536, 10), (16384, 100), (2048, 1000), (512, 32000))
DTYPES = ("float32", "bfloat16")
CALLS = ("hard labels", "smoothing and weights", "soft targets", "forward alone", "both, apart", "both, in place")
SECONDS = 0.1


def call(name: str, shape: tuple[int, int], dtype: str) -> Callable[[], object]:
    """Return a call of a loss; what it needs is made before."""
    torch.manual_seed(0)
    logits: torch.Tensor = torch.randn(shape).to(getattr(torch, dtype))
    target, weight = torch.randint(shape[1], shape[:1]), torch.rand(shape[1]) + 0.5
    soft = torch.softmax(torch.randn(shape), 1).to(logits.dtype)
    learned = logits.clone().requires_grad_()

    def train(target: torch.Tensor, class_weight: torch.Tensor | None = None, label_smoothing: float = 0.0) -> None:
        learned.grad = None
        ce.cross_entropy(learned, target, class_weight, label_smoothing=label_smoothing).backward()  # type: ignore[no-untyped-call]

    calls: dict[str, Callable[[], object]] = {
        "hard labels": lambda: train(target),
        "smoothing and weights": lambda: train(target, weight, label_smoothing=0.1),
        "soft targets": lambda: train(soft),
        "forward alone": lambda: ce.cross_entropy(logits, target),
        "both, apart": lambda: ce.cross_entropy_and_grad(logits, target),
        "both, in place": lambda: ce.cross_entropy_and_grad(logits, target, out=logits),
    }
    return calls[name]


def serve() -> None:
    """Time the calls whose names come in, and print the seconds of one."""
    print("ready", flush=True)
    for line in sys.stdin:
        name, rows, classes, dtype = line.strip().split(";")
        work = call(name, (int(rows), int(classes)), dtype)
        work()
        once = timeit.timeit(work, number=1)
        number = max(int(SECONDS / once), 1)
        print(min(timeit.repeat(work, number=number, repeat=2)) / number, flush=True)


def start(python: str) -> "subprocess.Popen[str]":
    """Return a process of an installation that times calls."""
    child = subprocess.Popen(
        [python, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


def ask(child: "subprocess.Popen[str]", question: str) -> float:
    """Return the seconds of a call."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(question + "\n")
    return float(child.stdout.readline())


def main() -> int:
    """Print, for each call, the median time of this installation and the ratio to the other's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", nargs="?", help="of the other installation")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return 0
    if arguments.python is None:
        parser.error("give the python of the other installation")
    here, there = start(sys.executable), start(arguments.python)
    print("| call | (n, K) | dtype | ms | times the other's |\n|---|---|---|---|---|")
    ratios = []
    for name in CALLS:
        for rows, classes in SHAPES:
            for dtype in DTYPES:
                question = f"{name};{rows};{classes};{dtype}"
                pairs = [(ask(here, question), ask(there, question)) for _ in range(arguments.rounds)]
                ratio = statistics.median(ours / theirs for ours, theirs in pairs)
                ratios.append(ratio)
                seconds = statistics.median(ours for ours, _ in pairs)
                print(f"| {name} | ({rows}, {classes}) | {dtype} | {seconds * 1e3:.3f} | {ratio:.2f} |", flush=True)
    print(f"\nGeometric mean of the ratios: {statistics.geometric_mean(ratios):.3f}; largest {max(ratios):.2f}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
