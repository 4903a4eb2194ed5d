import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from crossent.errors import ModelFileError
from crossent.storage import LongText, load_folder, save_folder, write_file


@dataclass(frozen=True, eq=False)
class Leaf:
    weight: npt.NDArray[np.float32]
    text: LongText


@dataclass(frozen=True)
class Other:
    number: int


@dataclass(frozen=True, eq=False)
class TreeOfFormat1:
    name: str
    leaves: tuple[Leaf, ...]
    feet: float


@dataclass(frozen=True, eq=False)
class Elder:
    name: str
    weights: tuple[npt.NDArray[np.float32], ...]
    metres: float

    @classmethod
    def from_format_1(cls, former: TreeOfFormat1) -> "Elder":
        return cls(former.name, tuple(leaf.weight for leaf in former.leaves), former.feet * 0.3048)


@dataclass(frozen=True, eq=False)
class Wood:
    trees: tuple[Elder, ...]


@dataclass(frozen=True, eq=False)
class WoodOfFormat1:
    trees: tuple[TreeOfFormat1, ...]


@dataclass(frozen=True, eq=False)
class Tree:
    name: str
    kind: Literal["oak", "elm"]
    height: float
    leaves: tuple[Leaf | Other, ...]
    labels: tuple[str | int | float | bool, ...]
    note: str | None


def tree(height: float = 1.5) -> Tree:
    leaf = Leaf(np.arange(6, dtype=np.float32).reshape(2, 3), "a\nlong “text”")
    return Tree("é", "oak", height, (leaf, Other(3)), ("a", 1, 2.0, True), None)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save_folder(tmp_path / "m", tree(), {"python": "3"})
    loaded = load_folder(tmp_path / "m", Tree)
    assert (loaded.name, loaded.kind, loaded.height, loaded.note) == ("é", "oak", 1.5, None)
    assert loaded.labels == ("a", 1, 2.0, True)
    assert [type(label) for label in loaded.labels] == [str, int, float, bool]
    leaf, other = loaded.leaves
    assert isinstance(leaf, Leaf)
    np.testing.assert_array_equal(leaf.weight, tree().leaves[0].weight)  # type: ignore[union-attr]
    assert leaf.weight.dtype == np.float32
    assert leaf.text == "a\nlong “text”"
    assert other == Other(3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0, 5e-324, 0.1])
def test_every_float_comes_back_to_the_bit(tmp_path: Path, value: float) -> None:
    save_folder(tmp_path / "m", tree(value), {})
    loaded = load_folder(tmp_path / "m", Tree).height
    assert np.float64(loaded).tobytes() == np.float64(value).tobytes()


def test_saving_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    save_folder(tmp_path, tree(), {})
    before = {path.name for path in tmp_path.iterdir()}
    changed = Tree("x", "elm", 2.0, (Leaf(np.zeros((1, 1), dtype=np.float32), "other"),), (), "n")
    save_folder(tmp_path, changed, {})
    after = {path.name for path in tmp_path.iterdir()}
    assert load_folder(tmp_path, Tree).name == "x"
    assert len(after) == len(before) == 3
    assert after & before == {"model.json"}


def test_other_folders_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelFileError, match="holds other files"):
        save_folder(tmp_path, tree(), {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ModelFileError, match="is a file"):
        save_folder(tmp_path / "thesis.txt", tree(), {})


def test_a_flipped_byte_is_found_in_every_file(tmp_path: Path) -> None:
    save_folder(tmp_path, tree(), {})
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        position = data.index(b"1.5") if path.name == "model.json" else len(data) // 2
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(ModelFileError, match="complete and unchanged"):
            load_folder(tmp_path, Tree)
        path.write_bytes(data)
    assert load_folder(tmp_path, Tree).height == 1.5


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    save_folder(tmp_path, tree(), {})
    arrays = next(tmp_path.glob("*.safetensors"))
    arrays.unlink()
    with pytest.raises(ModelFileError, match=arrays.name):
        load_folder(tmp_path, Tree)
    with pytest.raises(ModelFileError, match=r"model\.json"):
        load_folder(tmp_path / "nowhere", Tree)


def rewrite(folder: Path, change: dict[str, Any]) -> None:
    """Change the index as an attacker would, checksum included."""
    index = json.loads((folder / "model.json").read_text())
    for dotted, value in change.items():
        *parents, last = dotted.split("/")
        place = index
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        place[int(last) if isinstance(place, list) else last] = value
    index["value_sha256"] = hashlib.sha256(json.dumps(index["value"], sort_keys=True).encode()).hexdigest()
    (folder / "model.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "change",
    [
        {"value/type": "Popen"},
        {"value/fields/leaves/1/type": "Popen"},
        {"value/fields/leaves/1/type": "Tree"},
        {"value/fields/kind": "ash"},
        {"value/fields/name": 3},
        {"value/fields/height": "tall"},
        {"value/fields/extra": 1},
        {"value/fields/leaves/0/fields/weight/shape": [3, 2]},
        {"value/fields/leaves/0/fields/weight/dtype": "int8"},
        {"value/fields/leaves/0/fields/weight/array": "nowhere"},
        {"value/fields/leaves/0/fields/text": {"text": "nowhere"}},
        {"value/fields/labels": None},
        {"format": "pickle"},
        {"format_version": 99},
        {"format_version": True},
        {"format_version": [1]},
        {"files": {"../../etc/passwd": {"sha256": "", "bytes": 0}}},
        {"files": None},
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    save_folder(tmp_path, tree(), {})
    rewrite(tmp_path, change)
    with pytest.raises(ModelFileError):
        load_folder(tmp_path, Tree)


def test_what_format_1_holds_is_brought_to_what_the_class_is_now(tmp_path: Path) -> None:
    leaves = tuple(Leaf(np.full((2, 1), i, np.float32), "") for i in range(2))
    save_folder(tmp_path, WoodOfFormat1((TreeOfFormat1("ash", leaves, 10.0), TreeOfFormat1("fir", (), 100.0))), {})
    first = {"value/type": "Wood", "value/fields/trees/0/type": "Elder", "value/fields/trees/1/type": "Elder"}
    rewrite(tmp_path, {**first, "format_version": 2})
    with pytest.raises(ModelFileError, match="feet"):
        load_folder(tmp_path, Wood)
    rewrite(tmp_path, {"format_version": 1})
    ash, fir = load_folder(tmp_path, Wood).trees
    assert (ash.name, ash.metres, fir.name, fir.metres, fir.weights) == ("ash", 3.048, "fir", 30.48, ())
    assert [weight.tolist() for weight in ash.weights] == [[[0.0], [0.0]], [[1.0], [1.0]]]
    rewrite(tmp_path, {"value/fields/trees/0/fields/feet": "tall"})
    with pytest.raises(ModelFileError, match=r"trees\.0\.feet"):
        load_folder(tmp_path, Wood)


def test_write_file_keeps_the_old_one_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"old")
    with pytest.raises(TypeError):
        write_file(path, "text, not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


_SAVER = """
import sys, pathlib, numpy as np, itertools
sys.path.insert(0, {tests!r})
from test_storage import Tree, Leaf
from crossent.storage import save_folder
for i in itertools.count():
    leaf = Leaf(np.full((100, 100), i, dtype=np.float32), str(i) * 10000)
    save_folder(pathlib.Path({folder!r}), Tree(str(i), "oak", float(i), (leaf,), (i,), None), {{}})
"""


@pytest.mark.slow
def test_killed_at_any_moment_a_whole_model_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    code = _SAVER.format(tests=str(Path(__file__).parent), folder=str(folder))
    rng = np.random.default_rng(0)
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 60
        while not (folder / "model.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.8 + rng.random())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        loaded = load_folder(folder, Tree)
        (leaf,) = loaded.leaves
        assert isinstance(leaf, Leaf)
        assert loaded.name == str(int(loaded.height)) == str(int(leaf.weight[0, 0]))
        assert leaf.text == loaded.name * 10000
