import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossent.threads import open_threads, processors


def allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 1_000),
        ({"cpu.max": "max 100000\n"}, 1_000),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "what is this"}, 1_000),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1_000),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ],
)
def test_processors_are_those_of_affinity_and_container(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processors(tmp_path) == min(expected, allowed())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_counts() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert processors() == 1
        with open_threads() as (_, threads):
            assert threads == 1
    finally:
        os.sched_setaffinity(0, before)


# Does work in this process, which begins the threads of OpenMP, then again in a forked child, and compares the bytes.
FORK = """
import multiprocessing, os, pickle, signal, sys, threading
import numpy as np
import pandas as pd
import torch
import crossent as ce
from crossent.logits import log_softmax

rng = np.random.default_rng(0)
logits, target = torch.from_numpy(rng.normal(size=(20_000, 30)).astype(np.float32)), torch.arange(20_000) % 30
inputs, weight, square = torch.randn(2000, 100), torch.randn(500, 100), rng.normal(size=(600, 600))
table = pd.DataFrame(rng.normal(size=(9000, 3)), columns=["a", "b", "c"])
label = np.where(table["a"] > 0, "p", np.where(table["b"] > 0, "q", "r"))
texts = [" ".join(rng.choice(["red", "green", "blue", "wine", "beer"], 5)) for _ in range(300)]


def gradients(loss, *leaves):
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    value = loss(*leaves)
    value.backward()
    return [value.item(), *(leaf.grad.numpy() for leaf in leaves)]


def fitted(model, rows=table, labels=label):
    return ce.Classifier(model=model, folds=2, network__max_epochs=2).fit(rows, labels).predict_proba(rows[:500])


def sets():
    scores, classes = logits.numpy()[:6000], target.numpy()[:6000]
    return ce.conformal_sets(scores, classes, scores, by="cluster")


WORK = {
    "cross_entropy": lambda: gradients(lambda x: ce.cross_entropy(x, target, label_smoothing=0.1), logits),
    "linear_cross_entropy": lambda: gradients(
        lambda x, w: ce.linear_cross_entropy(x, w, torch.arange(2000) % 500), inputs, weight
    ),
    "log_softmax": lambda: ce.log_softmax(logits).numpy(),
    "log_softmax of arrays": lambda: log_softmax(logits.numpy()),
    "calibrate": lambda: ce.calibrate(logits.numpy()[:3000], target.numpy()[:3000]).logits(logits.numpy()),
    "sets": sets,
    "matrices": lambda: square @ square,
    "linear": lambda: fitted("linear"),
    "text": lambda: fitted("linear", texts, label[:300]),
    "boosting": lambda: fitted("boosting"),
    "network": lambda: fitted("network"),
    "auto": lambda: fitted("auto", table[:600], label[:600]),
}


def in_fork(work):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os.write(writer, b"same" if pickle.dumps(work()) == expected else b"other bits")
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    answer = os.read(reader, 20).decode()
    os.close(reader)
    return answer or "hang"


def again(name):
    return pickle.dumps(WORK[name]())


for name in sys.argv[1:]:
    work = WORK[name]
    expected = pickle.dumps(work())
    found = [in_fork(work)]
    thread = threading.Thread(target=lambda: found.append(in_fork(work)))
    thread.start()
    thread.join()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found += ["same" if pool.apply_async(again, [name]).get(60) == expected else "other bits"]
    print(name, found)
"""


def forked(*names: str) -> list[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", FORK, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize(
    "names",
    [
        ("cross_entropy", "linear_cross_entropy", "log_softmax", "log_softmax of arrays", "matrices"),
        pytest.param(("linear", "text", "calibrate", "sets"), marks=pytest.mark.slow),
        pytest.param(("boosting", "network", "auto"), marks=pytest.mark.slow),
    ],
)
def test_forked_children_answer_in_the_bits_of_their_parent(names: tuple[str, ...]) -> None:
    assert forked(*names) == [f"{name} ['same', 'same', 'same']" for name in names]
