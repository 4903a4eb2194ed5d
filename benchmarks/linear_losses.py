"""Cross entropy of a linear layer beside torch's unfused and chunked forms: time, memory, and error against float64.

python benchmarks/linear_losses.py [--rounds 5]
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import crossent as ce
from paired import Run, median_ratio, seconds_by_round

SHAPES = [(65536, 64, 10), (8192, 512, 1000), (4096, 256, 32000), (1024, 256, 1_000_000)]
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def unfused(inputs: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(inputs, weight), target)


def chunked(inputs: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    options = torch.nn.LinearCrossEntropyOptions()
    if len(weight) >= 1_000_000:
        # With its own choice it takes one row at a time, and minutes.
        options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=128, chunking_method=None)
    return functional.linear_cross_entropy(inputs, weight, target, options=options)


LOSSES: dict[str, Loss] = {"crossent": ce.linear_cross_entropy, "unfused": unfused, "chunked": chunked}


def draw(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    n, d, num_classes = shape
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, d, generator=generator)
    weight = torch.randn(num_classes, d, generator=generator) / d**0.5
    target = torch.randint(0, num_classes, (n,), generator=generator)
    return inputs.requires_grad_(), weight.requires_grad_(), target


def forward_backward(loss: Loss, inputs: Tensor, weight: Tensor, target: Tensor) -> None:
    torch.autograd.backward(loss(inputs, weight, target))
    # Each frees its own gradients.
    inputs.grad = weight.grad = None


def times(rounds: int) -> None:
    print("\n### Forward and backward, float32\n")
    print("| (n, d, C) | crossent | unfused | chunked | faster of the two over crossent |\n|---|---|---|---|---|")
    ratios = []
    for shape in SHAPES:
        inputs, weight, target = draw(shape)
        competitors: dict[str, Run] = {
            name: partial(forward_backward, loss, inputs, weight, target) for name, loss in LOSSES.items()
        }
        # Short calls are noisier.
        seconds = seconds_by_round(competitors, 10 * rounds if shape[2] < 10_000 else rounds)
        ratios.append(min(median_ratio(seconds, name, "crossent") for name in ("unfused", "chunked")))
        cells = " | ".join(f"{1e3 * statistics.median(values):.1f} ms" for values in seconds.values())
        print(f"| {shape} | {cells} | {ratios[-1]:.2f}x |", flush=True)
    print(f"\nleast {min(ratios):.2f}x, geometric mean {statistics.geometric_mean(ratios):.2f}x")


def peak_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def measure_scratch(name: str, shape: tuple[int, int, int]) -> None:
    """Print the peak memory, minus the memory before the call and the gradients after it."""
    torch.set_num_threads(2)
    small = draw((256, shape[1], 100))
    forward_backward(LOSSES[name], *small)
    inputs, weight, target = draw(shape)
    # Resets the peak to what is in use now.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_bytes()
    torch.autograd.backward(LOSSES[name](inputs, weight, target))
    gradients = 4 * (inputs.numel() + weight.numel())
    print((peak_bytes() - before - gradients) / 2**20)


def memory() -> None:
    print("\n### Scratch memory, MB: the peak of a process of its own, less the gradients\n")
    print("| (n, d, C) | crossent | unfused | chunked |\n|---|---|---|---|")
    for shape in SHAPES:
        cells = []
        for name in LOSSES:
            command = [sys.executable, __file__, "--scratch", name, *map(str, shape)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            cells.append(f"{float(done.stdout):.0f}")
        print(f"| {shape} | {' | '.join(cells)} |", flush=True)


def errors() -> None:
    print("\n### Largest error against float64 over the largest value, float32\n")
    print("| (n, d, C) | of | crossent | unfused | chunked |\n|---|---|---|---|---|")
    for shape in SHAPES[:3]:
        inputs, weight, target = draw(shape)
        exact = gradients(unfused, inputs.double(), weight.double(), target)
        found = [gradients(loss, inputs, weight, target) for loss in LOSSES.values()]
        for i, name in enumerate(("loss", "gradient of the input", "gradient of the weight")):
            cells = [f"{((f[i] - exact[i]).abs().max() / exact[i].abs().max()).item():.1e}" for f in found]
            print(f"| {shape} | {name} | {' | '.join(cells)} |", flush=True)


def gradients(loss: Loss, inputs: Tensor, weight: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    leaves = inputs.detach().requires_grad_(), weight.detach().requires_grad_()
    value = loss(*leaves, target)
    return (value.detach(), *torch.autograd.grad(value, leaves))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scratch", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scratch:
        name, *sizes = arguments.scratch
        n, d, num_classes = map(int, sizes)
        measure_scratch(name, (n, d, num_classes))
        return
    torch.set_num_threads(2)
    print(ce.kernels.info())
    times(arguments.rounds)
    memory()
    errors()


if __name__ == "__main__":
    main()
