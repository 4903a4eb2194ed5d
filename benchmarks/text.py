"""Accuracy, log-loss and time from file to saved model on text, beside fastText and scikit-learn.

python benchmarks/text.py [--data r8 r52 newsgroups languages] [--rounds 1] [--peers crossent fasttext scikit-learn]

Every peer reads the same rows from a file, trains in a process of its own and saves its model; the clock runs from when
its libraries are imported to when the model is on the disk. fastText needs a Python with numpy < 2: one is made in
benchmarks/.cache. Its epochs and learning rate, and the n-grams and the penalty of scikit-learn, are tried out one by
one, and all are printed; the log-loss of a fifth of the training rows, held out in a run before, chooses among them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

import datasets

PEERS = Path(__file__).parent / "text_peers.py"
DATA = {
    "r8": datasets.r8,
    "r52": datasets.r52,
    "newsgroups": datasets.newsgroups,
    "languages": datasets.languages,
}
SETTINGS: dict[str, list[dict[str, object]]] = {
    "crossent": [{}],
    "fasttext": [{"epoch": epoch, "lr": lr} for lr in (0.1, 0.5, 1.0) for epoch in (5, 10, 25)],
    "scikit-learn": [{"analyzer": analyzer, "C": C} for analyzer in ("word", "char_wb") for C in (10, 100, 1000)],
}
# With this many classes scikit-learn's solver takes hours and tens of gigabytes for all of these: it gets the commonest
# n-grams, one penalty and an end.
MANY_CLASSES = 100
FOR_MANY_CLASSES: dict[str, object] = {"analyzer": "char_wb", "C": 10, "most": 20_000, "steps": 60}


@dataclass(frozen=True)
class Result:
    """The result of a peer, with seconds without imports."""

    accuracy: float
    log_loss: float
    seconds: float


def run(peer: str, settings: dict[str, object], train: Path, test: Path, folder: Path) -> Result:
    python = str(datasets.fasttext_python()) if peer == "fasttext" else sys.executable
    command = [python, str(PEERS), peer, json.dumps(settings), str(train), str(test), str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Result(**json.loads(answer.splitlines()[-1]))


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write rows as a CSV file, and beside it as the lines that fastText reads; in a drawn order, which it needs."""
    frame = frame.sample(frac=1, random_state=0)
    frame.to_csv(path, index=False)
    labels = {label: f"__label__{i}" for i, label in enumerate(sorted(frame["label"].unique()))}
    lines = (
        f"{labels[label]} {' '.join(text.split())}" for label, text in zip(frame["label"], frame["text"], strict=True)
    )
    path.with_suffix(".lines").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def best_settings(peer: str, train: pd.DataFrame, folder: Path) -> dict[str, object]:
    """Return the settings of lowest log-loss on a fifth of the training rows."""
    many = train["label"].nunique() > MANY_CLASSES and peer == "scikit-learn"
    settings = [FOR_MANY_CLASSES] if many else SETTINGS[peer]
    if len(settings) == 1:
        return settings[0]
    fitted, held_out = train_test_split(train, test_size=0.2, stratify=_strata(train), random_state=0)
    held_out = held_out[held_out["label"].isin(fitted["label"])]
    fitted = fitted[fitted["label"].isin(held_out["label"])]
    held_out = held_out[held_out["label"].isin(fitted["label"])]
    paths = write(fitted, folder / "fitted.csv"), write(held_out, folder / "held_out.csv")
    losses = []
    for one in settings:
        found = run(peer, one, *paths, folder)
        losses.append(found.log_loss)
        print(f"  {peer} {one}: held-out log-loss {found.log_loss:.4f}, accuracy {found.accuracy:.4f}", flush=True)
    return settings[int(np.argmin(losses))]


def _strata(frame: pd.DataFrame) -> "pd.Series[str]":
    counts = frame.groupby("label")["label"].transform("size")
    return frame["label"].where(counts >= 5, "rare")


def compare(name: str, peers: list[str], rounds: int) -> None:
    train, test = DATA[name]("train"), DATA[name]("test")
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        settings = {peer: best_settings(peer, train, folder) for peer in peers}
        paths = write(train, folder / "train.csv"), write(test, folder / "test.csv")
        results: dict[str, list[Result]] = {peer: [] for peer in peers}
        for i in range(rounds):
            for peer in peers[i % len(peers) :] + peers[: i % len(peers)]:
                results[peer].append(run(peer, settings[peer], *paths, folder))
    for peer in peers:
        seconds = statistics.median(result.seconds for result in results[peer])
        first = results[peer][0]
        chosen = " ".join(f"{key} {value}" for key, value in settings[peer].items())
        print(
            f"| {name} | {peer} | {first.accuracy:.4f} | {first.log_loss:.4f} | {seconds:.1f} | {chosen} |", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--peers", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    print("| data | model | accuracy | log-loss | seconds | settings |\n|---|---|---|---|---|---|")
    for name in arguments.data:
        compare(name, arguments.peers, arguments.rounds)


if __name__ == "__main__":
    main()
