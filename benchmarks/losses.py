"""Cross entropy beside eager torch and torch.compile: time, and error against float64.

python benchmarks/losses.py [--rounds 7]
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

import crossent as ce
from paired import Run, median_ratio, seconds_by_round

SHAPES = [(65536, 10), (16384, 100), (8192, 1000), (2048, 32000), (512, 128000)]
DTYPES = [torch.float32, torch.bfloat16]
Loss = Callable[[Tensor], Tensor]
Competitors = dict[str, Run]


def forward_backward(loss: Loss, logits: Tensor) -> None:
    torch.autograd.backward(loss(logits))
    logits.grad = None  # each frees its own


def forward(loss: Loss, logits: Tensor) -> None:
    with torch.no_grad():
        loss(logits)


def hard_labels(logits: Tensor) -> Competitors:
    target = torch.randint(0, logits.shape[1], (len(logits),))
    torch._dynamo.reset()
    compiled = torch.compile(functional.cross_entropy, fullgraph=True, dynamic=False)
    return {
        "crossent": partial(forward_backward, lambda z: ce.cross_entropy(z, target), logits),
        "eager": partial(forward_backward, lambda z: functional.cross_entropy(z, target), logits),
        "compiled": partial(forward_backward, lambda z: compiled(z, target), logits),
    }


def smoothing_and_weights(logits: Tensor) -> Competitors:
    target = torch.randint(0, logits.shape[1], (len(logits),))
    weight = torch.rand(logits.shape[1]) + 0.5
    narrow = weight.to(logits.dtype)
    return {
        "crossent": partial(
            forward_backward, lambda z: ce.cross_entropy(z, target, weight, label_smoothing=0.1), logits
        ),
        "eager": partial(
            forward_backward, lambda z: functional.cross_entropy(z, target, narrow, label_smoothing=0.1), logits
        ),
    }


def soft_targets(logits: Tensor) -> Competitors:
    target = torch.randn(logits.shape).softmax(1).to(logits.dtype)
    return {
        "crossent": partial(forward_backward, lambda z: ce.cross_entropy(z, target), logits),
        "eager": partial(forward_backward, lambda z: functional.cross_entropy(z, target), logits),
    }


def forward_alone(logits: Tensor) -> Competitors:
    target = torch.randint(0, logits.shape[1], (len(logits),))
    return {
        "crossent": partial(forward, lambda z: ce.cross_entropy(z, target), logits),
        "eager": partial(forward, lambda z: functional.cross_entropy(z, target), logits),
    }


JOBS: dict[str, Callable[[Tensor], Competitors]] = {
    "forward and backward, hard labels": hard_labels,
    "label smoothing 0.1 with class weights": smoothing_and_weights,
    "soft targets": soft_targets,
    "forward alone": forward_alone,
}


def compare(title: str, job: Callable[[Tensor], Competitors], rounds: int) -> None:
    ratios: dict[str, list[float]] = {}
    print(f"\n### {title}\n\n| (n, K) | dtype | crossent | others, and how many times as long they take |")
    print("|---|---|---|---|")
    for dtype in DTYPES:
        for shape in SHAPES:
            logits = torch.randn(shape).to(dtype).requires_grad_()
            seconds = seconds_by_round(job(logits), rounds)
            cells = []
            for name in list(seconds)[1:]:
                ratio = median_ratio(seconds, name, "crossent")
                ratios.setdefault(name, []).append(ratio)
                cells.append(f"{name} {1e3 * statistics.median(seconds[name]):.2f} ms, {ratio:.2f}x")
            ours = 1e3 * statistics.median(seconds["crossent"])
            print(f"| {shape} | {str(dtype)[6:]} | {ours:.2f} ms | {'; '.join(cells)} |", flush=True)
    for name, values in ratios.items():
        print(f"\n{name}: least {min(values):.2f}x, geometric mean {statistics.geometric_mean(values):.2f}x")


def in_place(rounds: int) -> None:
    print("\n### Loss and gradient over the logits, beside plain copies of them\n")
    print("| (n, K) | dtype | crossent | clone | times its time | copy to memory in use | times its time |")
    print("|---|---|---|---|---|---|---|")
    ratios: dict[str, list[float]] = {"clone": [], "copy": []}
    for dtype in DTYPES:
        for shape in SHAPES:
            kept = torch.randn(shape).to(dtype)
            logits, room, target = kept.clone(), kept.clone(), torch.randint(0, shape[1], (shape[0],))
            competitors: Competitors = {
                "crossent": partial(ce.cross_entropy_and_grad, logits, target, out=logits),
                "clone": kept.clone,
                "copy": partial(room.copy_, kept),
            }
            seconds = seconds_by_round(competitors, rounds)
            cells = [f"{1e3 * statistics.median(seconds['crossent']):.2f} ms"]
            for name, values in ratios.items():
                values.append(median_ratio(seconds, "crossent", name))
                cells += [f"{1e3 * statistics.median(seconds[name]):.2f} ms", f"{values[-1]:.2f}"]
            print(f"| {shape} | {str(dtype)[6:]} | {' | '.join(cells)} |", flush=True)
    for name, values in ratios.items():
        print(f"\n{name}: geometric mean {statistics.geometric_mean(values):.2f}")


def small_call(rounds: int) -> None:
    logits, target = torch.randn(64, 10).requires_grad_(), torch.randint(0, 10, (64,))

    def many(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        for _ in range(2000):
            forward_backward(lambda z: loss(z, target), logits)

    seconds = seconds_by_round(
        {"crossent": lambda: many(ce.cross_entropy), "eager": lambda: many(functional.cross_entropy)}, rounds
    )
    ours = statistics.median(seconds["crossent"]) / 2000
    ratio = median_ratio(seconds, "eager", "crossent")
    print(f"\n(64, 10) float32, forward and backward: {1e6 * ours:.0f} us a call; eager takes {ratio:.2f}x as long")


def errors() -> None:
    print("\n### Largest relative error against float64, float32 logits\n")
    print(
        "| (n, K) | loss: crossent | torch | gradient, of the row's largest: crossent | torch |\n|---|---|---|---|---|"
    )
    for shape in SHAPES:
        logits, target = 4 * torch.randn(shape), torch.randint(0, shape[1], (shape[0],))
        target[: shape[0] // 2] = logits[: shape[0] // 2].argmax(1)
        exact_loss, exact = losses_and_gradient(ce.cross_entropy, logits.double(), target)
        cells = []
        for loss in (ce.cross_entropy, functional.cross_entropy):
            found, gradient = losses_and_gradient(loss, logits, target)
            of_loss = ((found - exact_loss).abs() / exact_loss).max().item()
            of_gradient = ((gradient - exact).abs() / exact.abs().amax(1, keepdim=True)).max().item()
            cells.append((of_loss, of_gradient))
        (a, c), (b, d) = cells
        print(f"| {shape} | {a:.1e} | {b:.1e} | {c:.1e} | {d:.1e} |", flush=True)


def losses_and_gradient(loss: Callable[..., Tensor], logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    found = loss(leaf, target, reduction="none")
    (gradient,) = torch.autograd.grad(found.sum(), leaf)
    return found.detach().double(), gradient.double()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    torch.set_num_threads(2)
    print(ce.kernels.info())
    for title, job in JOBS.items():
        compare(title, job, rounds)
    in_place(rounds)
    small_call(rounds)
    errors()


if __name__ == "__main__":
    main()
