"""Processes load a model, perhaps predict, and fork: each child must answer with the bits of its parent, or refuse.

python benchmarks/fuzz_forks.py                20 processes that fork 10 children each, all with two threads of OpenMP
python benchmarks/fuzz_forks.py --count 4

The models are of every kind, the children are made by `os.fork` in the main thread, in another thread, and beside a
thread that predicts, and by multiprocessing. A child that has not answered after 10 seconds hangs.
"""

import atexit
import hashlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import crossent as ce
import fuzz_cases

MODELS = ("linear", "boosting", "network", "text", "auto")
MOMENTS = ("after load", "after predict")
WAYS = ("os.fork", "os.fork in a thread", "os.fork beside a thread that predicts", "multiprocessing")
CHILDREN, SECONDS, LATE, ROWS = 10, 10.0, 2.0, (1, 20, 3000)
# From best to worst; the word of a process is the word of its worst child.
WORDS = ("answered within 2 s", "refused", "answered later", "other bits", "died", "hang")
FOLDER = Path(os.environ.get("CROSSENT_FORKS", "."))


def draw(rows: int, text: bool) -> pd.DataFrame:
    """Return drawn rows of numbers, a category, and a text if asked for, with the class that they make likely."""
    rng = np.random.default_rng(rows)
    numbers = rng.normal(size=(rows, 3))
    frame = pd.DataFrame(numbers, columns=["a", "b", "c"]).assign(kind=rng.choice(["x", "y", "z"], rows))
    if text:
        words = np.array(
            ["red", "green", "blue", "wine", "beer", "bread", "salt", "sugar", "cold", "warm", "old", "new"]
        )
        frame["text"] = [" ".join(rng.choice(words, 6)) for _ in range(rows)]
    return frame.assign(label=np.where(numbers[:, 0] > 0, "p", np.where(numbers[:, 1] > 0, "q", "r")))


def prepare() -> None:
    """Train the models, and note what they answer."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ |= {"CROSSENT_FORKS": str(folder), "OMP_NUM_THREADS": "2"}
    for name in MODELS:
        train = draw(300, name == "text")
        model = ce.Classifier(model="linear" if name == "text" else name, folds=2, network__max_epochs=2)
        model.fit(train.drop(columns="label"), train["label"]).save(folder / name)
        for rows in ROWS:
            _path_of_answer(folder, name, rows).write_text(answer(model.predictor_, draw(rows, name == "text")))


def case(seed: int) -> str:
    """Return the word of a process that loads a model, and predicts with it or not, before it forks."""
    name, moment = MODELS[seed % len(MODELS)], MOMENTS[seed // len(MODELS) % len(MOMENTS)]
    command = [sys.executable, __file__, "--parent", name, moment, str(seed)]
    limit = CHILDREN * SECONDS + 60
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    word = done.stdout.strip()
    return f"{name}, {moment}: {word}" if word in WORDS else f"{name}, {moment}: exit {done.returncode}"


def be_parent(name: str, moment: str, seed: int) -> None:
    """Fork children one after another, and print the word of the worst."""
    predictor = ce.load(FOLDER / name)
    rng, words = np.random.default_rng(seed), []
    if moment == "after predict":
        predictor.probs(draw(3000, name == "text"))
    for i in range(CHILDREN):
        rows = int(rng.choice(ROWS))
        expected = _path_of_answer(FOLDER, name, rows).read_text()
        words.append(_word_of_child(predictor, draw(rows, name == "text"), expected, WAYS[i % len(WAYS)]))
    print(max(words, key=WORDS.index))


def _path_of_answer(folder: Path, name: str, rows: int) -> Path:
    """Return the file with the hash of the answer of a process that never forked."""
    return folder / f"{name}-{rows}.sha256"


def answer(predictor: ce.Predictor, frame: pd.DataFrame) -> str:
    """Return the hash of the probabilities of some rows."""
    return hashlib.sha256(predictor.probs(frame).tobytes()).hexdigest()


def _word_of_child(predictor: ce.Predictor, frame: pd.DataFrame, expected: str, way: str) -> str:
    """Fork a child that predicts; return its outcome."""
    reader, writer = os.pipe()

    def work() -> None:
        try:
            found = answer(predictor, frame)
        except ce.CrossentError:
            found = "refused"
        os.write(writer, found.encode())
        os._exit(0)

    began, ended = time.monotonic(), threading.Event()
    beside = threading.Thread(target=_predict_until, args=(predictor, frame, ended))
    if way == WAYS[2]:
        beside.start()
    child = _fork(work, way)
    found = _read(reader, child)
    seconds = time.monotonic() - began
    ended.set()
    os.close(reader)
    os.close(writer)
    if found in ("hang", "died", "refused"):
        return found
    return "other bits" if found != expected else WORDS[0] if seconds <= LATE else "answered later"


def _predict_until(predictor: ce.Predictor, frame: pd.DataFrame, ended: threading.Event) -> None:
    while not ended.is_set():
        predictor.probs(frame)


def _fork(work: Callable[[], None], way: str) -> int:
    """Return the process of a child that does the work and ends."""
    if way == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        assert process.pid is not None
        return process.pid
    found: list[int] = []

    def fork() -> None:
        found.append(os.fork())
        if not found[-1]:
            work()

    if way == WAYS[1]:
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
    else:
        fork()
    return found[0]


def _read(reader: int, child: int) -> str:
    """Return what a child writes, or how it ends if it writes nothing."""
    os.set_blocking(reader, False)
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        gone, _ = os.waitpid(child, os.WNOHANG)
        try:
            return os.read(reader, 100).decode()
        except BlockingIOError:
            if gone:
                return "died"
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hang"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--parent"]:
        be_parent(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        good = {f"{name}, {moment}: {word}" for name in MODELS for moment in MOMENTS for word in WORDS[:3]}
        seconds = 2 * (CHILDREN * SECONDS + 60)
        sys.exit(fuzz_cases.main(case, allowed=good, count=20, description=__doc__, seconds=seconds, prepare=prepare))
