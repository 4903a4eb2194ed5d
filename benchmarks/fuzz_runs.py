"""Mutated run folders go through `crossent diagnose`, `watch` and `train --resume`: each answers or says why not.

python benchmarks/fuzz_runs.py                1,000 cases
python benchmarks/fuzz_runs.py --count 100

A case takes one of four interrupted runs and damages it in one place: its description, its history, a file of a
checkpoint or of a fitted fold, with or without corrected checksums, or the kind of a file. If only the history was
damaged, or checksums were not corrected, a run that continues must end with the weights of an undisturbed run.
"""

import contextlib
import functools
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch

import fuzz_cases
from crossent.cli import app
from crossent.data.read import read
from crossent.datasets import hpc_path
from crossent.fitting.recipe import Recipe
from crossent.models.settings import Boosting, Network
from crossent.monitoring.records import ignore_epoch
from crossent.run import begin_run, finish_run
from crossent.train.checkpoint import TrainingInterruptedError, never_interrupted

ROWS = 300
RECIPES = {
    "network": Recipe(model="network", folds=2, network=Network(max_epochs=4)),
    "boosting": Recipe(model="boosting", folds=2, boosting=Boosting(max_rounds=5)),
    "linear": Recipe(model="linear", folds=2),
    "text": Recipe(folds=2),
}
# Checks of `interrupted` until a run is interrupted: the first fold is then fitted, the network in its second.
CHECKS = {"network": 20, "boosting": 2, "linear": 2, "text": 2}
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 3, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "a", "\ud800"),
    *("\x1b[31m", "\0", "../../etc/passwd", "x" * 300, [], [1], ["a", None], {}, {"a": 1}, {"type": "FoldFit"}),
)
# The environment variable with the folder in which the first process makes the interrupted runs, for its children.
ROOT = "CROSSENT_FUZZ_RUNS"


@dataclass(frozen=True)
class Base:
    """An interrupted run.

    Attributes
    ----------
    folder
        Of the run.
    weights
        The sha256 of the arrays that it ends with.
    """

    folder: Path
    weights: str


def make_bases(root: Path) -> None:
    """Train and interrupt a run of each kind."""
    table = pd.read_csv(hpc_path()).head(ROWS)
    table.to_csv(root / "jobs.csv", index=False)
    words = [
        f"job {row[0]} with {row[1]} of {row[2]} in the queue" for row in table.astype(str).itertuples(index=False)
    ]
    pd.DataFrame({"text": words, "class": table["class"]}).to_csv(root / "notes.csv", index=False)
    for name, recipe in RECIPES.items():
        _make_base(root, name, recipe)


def _make_base(root: Path, name: str, recipe: Recipe) -> None:
    data = root / ("notes.csv" if name == "text" else "jobs.csv")
    dataset = read(str(data), "class")
    request: dict[str, object] = {"data": str(data), "target": "class", "groups": None, "time": None, "kind": None}
    request |= {"held_out": 0.25, "encoding": "utf-8"}
    folder = begin_run(dataset, recipe, held_out=0.25, request=request, runs=root, name=name)
    left = iter([False] * (CHECKS[name] - 1))
    with contextlib.suppress(TrainingInterruptedError):
        finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=lambda: next(left, True))
    straight = Path(shutil.copytree(folder, root / f"{name}-straight"))
    finish_run(straight, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted)


@functools.cache
def bases() -> dict[str, Base]:
    """Return the runs that `make_bases` made."""
    root = Path(os.environ[ROOT])
    return {name: Base(root / name, sha256_of_weights(root / f"{name}-straight")) for name in RECIPES}


def sha256_of_weights(folder: Path) -> str:
    """Return the sha256 of all arrays of a saved model."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in (folder / "model").glob("*.safetensors"))).hexdigest()


def case(seed: int) -> str:
    """Damage a run, call all three commands on it, and return the outcome."""
    rng = random.Random(seed)
    base = bases()[rng.choice(sorted(RECIPES))]
    root = Path(tempfile.mkdtemp(prefix="fuzz-run-"))
    try:
        folder = Path(shutil.copytree(base.folder, root / "run"))
        mutate = rng.choice(MUTATIONS)
        mutate(folder, rng)
        run("diagnose", str(folder))
        run("watch", str(folder), "--patience", "0")
        if run("train", "--resume", str(folder)) != 0:
            return "refused"
        if mutate in HARMLESS and sha256_of_weights(folder) != base.weights:
            return "other weights"
        return "resumed"
    finally:
        shutil.rmtree(root)


def run(*arguments: str) -> int:
    """Run a command in this process; exceptions that are not clear errors are raised."""
    sys.argv = ["crossent", *arguments]
    try:
        app.main()
    except SystemExit as end:
        if end.code not in (0, 2):
            raise RuntimeError(f"{arguments} ended with {end.code}") from end
        return int(end.code or 0)
    return 0


def description(folder: Path, rng: random.Random) -> None:
    """Change run.json."""
    change_json(folder / "run.json", rng)


def history(folder: Path, rng: random.Random) -> None:
    """Change history.jsonl: bytes, whole lines, or values in them."""
    path = folder / "history.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    i = rng.randrange(len(lines))
    action = rng.randrange(6)
    if action == 0:
        damaged = rng.choice([b"\0\0\0", b"", b"{", b"[" * 50_000, b"9" * 200_000, b"\xff"])
        lines.insert(i, damaged + b"\n")
    elif action == 1:
        lines[i:] = [lines[i][: rng.randrange(len(lines[i]))]]
    elif action == 2:
        rng.shuffle(lines)
    elif action == 3:
        lines = [mutated_bytes(b"".join(lines), rng)]
    elif action == 4:
        lines *= 200
    else:
        record = json.loads(lines[i])
        mutate_value(record, rng)
        lines[i] = json.dumps(record).encode() + b"\n"
    path.write_bytes(b"".join(lines))


def unsealed(folder: Path, rng: random.Random) -> None:
    """Change bytes of a file of a checkpoint or of a fitted fold, as a bad disk does."""
    path = rng.choice([path for path in sorted((folder / "checkpoints").rglob("*")) if path.is_file()])
    path.write_bytes(mutated_bytes(path.read_bytes(), rng))


def sealed_checkpoint(folder: Path, rng: random.Random) -> None:
    """Change a checkpoint, and correct its checksums."""
    found = sorted((folder / "checkpoints").glob("*/checkpoint.json"))
    if not found:
        return sealed_fold(folder, rng)
    path = found[0]
    if rng.random() < 0.4:
        return change_json(path, rng)
    index = json.loads(path.read_text())
    entry = index["files"][rng.choice(["last", "best"])]
    file = path.parent / entry["name"]
    file.write_bytes(mutated_tensors(file.read_bytes(), rng))
    entry |= sealed(file)
    path.write_text(json.dumps(index))
    return None


def sealed_fold(folder: Path, rng: random.Random) -> None:
    """Change a fitted fold, and correct its checksums."""
    path = rng.choice(sorted((folder / "checkpoints").glob("*/fitted/model.json")))
    index = json.loads(path.read_text())
    if rng.random() < 0.5:
        mutate_value(index["value"] if rng.random() < 0.8 else index, rng)
    else:
        name = rng.choice(sorted(index["files"]))
        file = path.parent / name
        change = mutated_tensors if name.endswith(".safetensors") else mutated_bytes
        file.write_bytes(change(file.read_bytes(), rng))
        index["files"][name] = sealed(file)
    record = json.dumps(index.get("value"), sort_keys=True).encode()
    index["value_sha256"] = hashlib.sha256(record).hexdigest()
    path.write_text(json.dumps(index))


def kind_of_file(folder: Path, rng: random.Random) -> None:
    """Put something else in the place of a file: nothing, a folder, a link, a pipe, or no bytes."""
    path = rng.choice([path for path in sorted(folder.rglob("*")) if path.is_file()])
    if rng.random() < 0.2:
        path = path.parent if path.parent != folder else path
    moved = folder.parent / "moved"
    path.rename(moved)
    replace: list[Callable[[], object]] = [
        lambda: None,
        path.mkdir,
        lambda: path.symlink_to(moved),
        lambda: path.symlink_to(path),
        lambda: os.mkfifo(path),
        lambda: path.write_bytes(b""),
        lambda: path.symlink_to("/dev/zero"),
    ]
    rng.choice(replace)()


def leftovers(folder: Path, rng: random.Random) -> None:
    """Add what killed processes leave."""
    for name in rng.sample(["run.json", "history.jsonl", "report.html", "metrics.json", "other"], 3):
        (folder / f".{name}.{rng.randrange(16**8):08x}").write_bytes(b"half")
    (folder / "model").mkdir()
    (folder / "model" / f".model.json.{rng.randrange(16**8):08x}").write_bytes(b"half")
    for training in (folder / "checkpoints").iterdir():
        (training / f".checkpoint.json.{rng.randrange(16**8):08x}").write_bytes(b"half")


MUTATIONS = (description, history, unsealed, sealed_checkpoint, sealed_fold, kind_of_file, leftovers)
HARMLESS = (history, unsealed, leftovers)


def change_json(path: Path, rng: random.Random) -> None:
    """Change a value of a file of JSON, or its bytes."""
    if rng.random() < 0.25:
        path.write_bytes(mutated_bytes(path.read_bytes(), rng))
        return
    value = json.loads(path.read_text())
    mutate_value(value, rng)
    path.write_text(json.dumps(value))


def mutate_value(value: Any, rng: random.Random) -> None:
    """Put something odd in one place of a nested value, take a part out, or add one."""
    while True:
        keys = sorted(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(keys) if len(keys) else None
        inner = None if key is None else value[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            value = inner
            continue
        break
    action = rng.random()
    if key is None or action < 0.15:
        if isinstance(value, dict):
            value[rng.choice(["more", "type", "x" * 300])] = rng.choice(ODD)
        else:
            value.append(rng.choice(ODD))
    elif action < 0.35:
        del value[key]
    elif action < 0.5 and isinstance(inner, int | float):
        value[key] = inner * rng.choice([-1, 0, 0.5, 2, 1000])
    else:
        value[key] = rng.choice(ODD)


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with some changed, cut out, doubled, or made zero."""
    at, length = rng.randrange(max(len(data), 1)), rng.choice([1, 1, 4, 64])
    middle = rng.choice([rng.randbytes(length), b"", data[at : at + length] * 2, bytes(length)])
    return rng.choice([data[:at] + middle + data[at + length :], data[:at]])


def mutated_tensors(data: bytes, rng: random.Random) -> bytes:
    """Return safetensors with another tensor, shape, type, value or header."""
    if rng.random() < 0.3:
        # The length of the header stays the same, because otherwise nothing would be read.
        length = int.from_bytes(data[:8], "little")
        header = mutated_bytes(data[8 : 8 + length], rng)[:length].ljust(length)
        return data[:8] + header + data[8 + length :]
    tensors = safetensors.torch.load(data)
    name = rng.choice(sorted(tensors))
    tensor = tensors.pop(name)
    action = rng.randrange(7)
    if action == 0:
        tensors["more"] = tensor
    elif action == 1:
        tensors[name] = tensor.flatten()[: rng.randrange(tensor.numel() + 1)].clone()
    elif action == 2:
        tensors[name] = tensor.to(rng.choice([torch.float64, torch.int64, torch.float16, torch.bfloat16, torch.bool]))
    elif action == 3:
        tensors[name] = torch.full_like(tensor, rng.choice([0, 1, 77]))
    elif action == 4 and tensor.is_floating_point():
        tensors[name] = torch.full_like(tensor, rng.choice([float("nan"), float("inf"), -1e38]))
    elif action == 5:
        tensors[name] = tensor.unsqueeze(0).repeat(2, *[1] * tensor.dim())
    return safetensors.torch.save(tensors)


def sealed(file: Path) -> dict[str, str | int]:
    """Return what an index says of a file."""
    data = file.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def main() -> int:
    """Run the campaign; the first process makes the runs for all."""
    run_all = functools.partial(
        fuzz_cases.main,
        case,
        allowed={"refused", "resumed"},
        count=1000,
        description=__doc__,
        seconds=40.0,
        prepare=bases,
    )
    if ROOT in os.environ:
        return run_all()
    with tempfile.TemporaryDirectory(prefix="fuzz-runs-") as root:
        make_bases(Path(root))
        os.environ[ROOT] = root
        return run_all()


if __name__ == "__main__":
    sys.exit(main())
