"""Cross entropy of JAX and TensorFlow at the shapes of losses.py, for the reader: run it with a Python that has one.

python benchmarks/losses_elsewhere.py jax|tensorflow [--rounds 7]

They need another Python without torch, because they use other versions of shared libraries than the project:
python -m venv /tmp/jax && /tmp/jax/bin/pip install jax optax    (or tensorflow-cpu)
"""

import argparse
import importlib
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

SHAPES = [(65536, 10), (16384, 100), (8192, 1000), (2048, 32000), (512, 128000)]
Prepare = Callable[[tuple[int, int], str], Callable[[], object]]


def jax_run(shape: tuple[int, int], dtype: str) -> Callable[[], object]:
    jax: Any = importlib.import_module("jax")
    optax: Any = importlib.import_module("optax")
    numpy: Any = jax.numpy
    key = jax.random.key(0)
    logits = jax.random.normal(key, shape).astype(dtype)
    target = jax.random.randint(key, shape[:1], 0, shape[1])

    def loss(z: Any) -> Any:
        return numpy.mean(optax.softmax_cross_entropy_with_integer_labels(z, target))

    both = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(both(logits))


def tensorflow_run(shape: tuple[int, int], dtype: str) -> Callable[[], object]:
    tf: Any = importlib.import_module("tensorflow")
    logits = tf.cast(tf.random.normal(shape), dtype)
    target = tf.random.uniform(shape[:1], 0, shape[1], dtype=tf.int64)

    @tf.function  # type: ignore[untyped-decorator]
    def both(z: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, z))
        return loss, tape.gradient(loss, z)

    def run() -> object:
        return both(logits)[0].numpy()

    return run


def milliseconds(run: Callable[[], object], rounds: int) -> float:
    run()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=["jax", "tensorflow"])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    prepare: Prepare = {"jax": jax_run, "tensorflow": tensorflow_run}[arguments.framework]
    print(f"| (n, K) | dtype | {arguments.framework}, forward and backward |\n|---|---|---|")
    for dtype in ("float32", "bfloat16"):
        for shape in SHAPES:
            print(f"| {shape} | {dtype} | {milliseconds(prepare(shape, dtype), arguments.rounds):.2f} ms |", flush=True)


if __name__ == "__main__":
    main()
