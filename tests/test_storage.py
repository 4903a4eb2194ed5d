import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy

from crossent.errors import ModelFileError, SettingError
from crossent.storage import load_folder, save_folder
from tests.stored_tree import Leaf, Other, Tree, tree


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
        {"value/fields/labels": "ab"},
        {"value/fields/labels": [["a"]]},
        {"value/fields/name": "\ud800"},
        {"value/fields/height": {"float": "1_0"}},
        {"value/fields/height": {"float": "nan", "x": 1}},
        {"value/fields/leaves/0": None},
        {"value/fields/leaves/0/fields": []},
        {"value/fields/leaves/0/fields/weight/further": 1},
        {"value/fields/leaves/0/fields/weight/array": []},
        {"value": []},
        {"texts": {".leaves.0.text": "arrays"}},
        {"texts": {".leaves.0.text": []}},
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


def test_links_and_special_files_are_refused_without_a_look_at_them(tmp_path: Path) -> None:
    save_folder(tmp_path / "m", tree(), {})
    for path in sorted((tmp_path / "m").iterdir()):
        outside = tmp_path / "outside"
        shutil.copy(path, outside)
        changes: list[tuple[str, Callable[[Path], object]]] = [
            ("symbolic link", lambda path: path.symlink_to(tmp_path / "outside")),
            ("symbolic link", lambda path: path.symlink_to(path)),
            ("hard link", lambda path: path.hardlink_to(tmp_path / "outside")),
            ("not a plain file|has no model.json", lambda path: path.mkdir()),
            # To wait for a writer would last for ever.
            ("not a plain file|has no model.json", os.mkfifo),
            ("symbolic link", lambda path: path.symlink_to("/dev/zero")),
        ]
        for what, change in changes:
            path.unlink()
            change(path)
            with pytest.raises(ModelFileError, match=what):
                load_folder(tmp_path / "m", Tree)
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            shutil.copy(outside, path)
        outside.unlink()
    assert load_folder(tmp_path / "m", Tree).height == 1.5


def test_a_folder_may_be_reached_by_a_link(tmp_path: Path) -> None:
    save_folder(tmp_path / "m-3", tree(), {})
    (tmp_path / "latest").symlink_to("m-3")
    assert load_folder(tmp_path / "latest", Tree).height == 1.5


def test_a_file_of_another_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    save_folder(tmp_path, tree(), {})
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        os.truncate(path, 1 << 40)  # a hole: it takes no room, and nobody could read it
        with pytest.raises(ModelFileError, match="64 MiB" if path.name == "model.json" else "when it was saved"):
            load_folder(tmp_path, Tree)
        path.write_bytes(data)


def test_limits_are_named_and_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = Tree("x", "oak", 1.0, (Leaf(np.zeros((1 << 10, 1 << 10), np.float32), ""),), ("y" * (3 << 20),), None)
    save_folder(tmp_path, large, {})
    monkeypatch.setenv("CROSSENT_MODEL_JSON_MIB", "2")
    with pytest.raises(ModelFileError, match=r"model\.json of a model has at most 2 MiB.*CROSSENT_MODEL_JSON_MIB"):
        load_folder(tmp_path, Tree)
    monkeypatch.setenv("CROSSENT_MODEL_JSON_MIB", "4")
    monkeypatch.setenv("CROSSENT_MODEL_MIB", "3")
    with pytest.raises(ModelFileError, match=r"A model has at most 3 MiB.*CROSSENT_MODEL_MIB"):
        load_folder(tmp_path, Tree)
    monkeypatch.setenv("CROSSENT_MODEL_MIB", "5")
    assert load_folder(tmp_path, Tree).name == "x"
    for wrong in ("", "0", "-1", "many", "1.5", "\u0661"):
        monkeypatch.setenv("CROSSENT_MODEL_MIB", wrong)
        with pytest.raises(SettingError, match="CROSSENT_MODEL_MIB is a whole number"):
            load_folder(tmp_path, Tree)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda text: '{"format": "crossent-model", ' + text[1:], "a key comes twice"),
        (lambda text: text.replace("1.5", "NaN"), "NaN is not finite"),
        (lambda text: text.replace("1.5", "-Infinity"), "-Infinity is not finite"),
        (lambda text: text.replace("1.5", "1e999"), "1e999 is not finite"),
        (lambda text: text.replace("1.5", "9" * 5_000), "integer string"),
        (lambda text: text[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        (lambda text: text.replace("1.5", "[" * 900 + "]" * 900), "checksum|nested"),
        (lambda text: text[:-1] + ', "x": 1}', "not known to this version"),
        (lambda text: "\ufeff" + text, "not JSON"),
        (lambda _: "[]", "not a crossent model"),
        (lambda _: "", "not JSON"),
    ],
)
def test_json_that_could_be_read_in_two_ways_or_never_ends_is_refused(
    tmp_path: Path, change: Callable[[str], str], what: str
) -> None:
    save_folder(tmp_path, tree(), {})
    index = tmp_path / "model.json"
    index.write_text(change(index.read_text()))
    with pytest.raises(ModelFileError, match=what):
        load_folder(tmp_path, Tree)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\0b", "x" * 300, "é", ".hidden", "model.json", "\ud800"],
)
def test_names_that_no_model_has_are_never_opened(tmp_path: Path, name: str) -> None:
    save_folder(tmp_path, tree(), {})
    rewrite(tmp_path, {"files": {name: {"sha256": "", "bytes": 0}}})
    with pytest.raises(ModelFileError, match="it names a file that no model has"):
        load_folder(tmp_path, Tree)


@pytest.mark.parametrize(
    "entry", [None, [], 3, "x", {}, {"bytes": 1}, {"bytes": -1, "sha256": ""}, {"bytes": 1.0, "sha256": ""}]
)
def test_entries_that_are_none_are_refused(tmp_path: Path, entry: object) -> None:
    save_folder(tmp_path, tree(), {})
    rewrite(tmp_path, {"files": {"arrays.safetensors": entry}})
    with pytest.raises(ModelFileError, match="its entry of"):
        load_folder(tmp_path, Tree)


def header_with(data: bytes, change: Callable[[dict[str, Any]], str]) -> bytes:
    """An array file with another header."""
    size = int.from_bytes(data[:8], "little")
    header = change(json.loads(data[8 : 8 + size])).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


KEY = ".leaves.0.weight"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda _: b"",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: header_with(data, lambda header: json.dumps({KEY: header[KEY] | {"dtype": "BF16"}})),
        lambda data: header_with(data, lambda header: json.dumps({KEY: header[KEY] | {"dtype": "X"}})),
        lambda data: header_with(data, lambda header: json.dumps({KEY: header[KEY] | {"shape": [3, 2]}})),
        lambda data: header_with(data, lambda header: json.dumps({KEY: header[KEY] | {"shape": [2**40, 2**40]}})),
        lambda data: header_with(data, lambda header: json.dumps({KEY: header[KEY] | {"data_offsets": [8, 32]}})),
        lambda data: header_with(data, lambda header: json.dumps({KEY: header[KEY], "other": header[KEY]})),
        lambda data: header_with(data, lambda header: json.dumps(header)[:-1] + ", " + json.dumps(header)[1:]),
        lambda data: header_with(data, lambda header: json.dumps({"other": header[KEY]})),
        lambda data: header_with(data, lambda _: '{"a": ' * 2_000 + "1" + "}" * 2_000),
        lambda data: header_with(data, lambda _: "[]"),
        lambda data: header_with(data, lambda _: "null"),
    ],
)
def test_arrays_that_cannot_be_read_are_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    save_folder(tmp_path, tree(), {})
    (arrays,) = tmp_path.glob("*.safetensors")
    data = change(arrays.read_bytes())
    arrays.write_bytes(data)
    rewrite(tmp_path, {f"files/{arrays.name}": {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}})
    with pytest.raises(ModelFileError):
        load_folder(tmp_path, Tree)


def test_arrays_of_one_name_in_two_files_are_refused_and_so_are_those_that_nothing_uses(tmp_path: Path) -> None:
    save_folder(tmp_path, tree(), {})
    index = json.loads((tmp_path / "model.json").read_text())
    for further, what in (({KEY: np.ones(1)}, "of the same names"), ({"other": np.ones(1)}, "nothing in it uses")):
        data = safetensors.numpy.save(further)
        (tmp_path / "z.safetensors").write_bytes(data)
        entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        rewrite(tmp_path, {"files": index["files"] | {"z.safetensors": entry}})
        with pytest.raises(ModelFileError, match=what):
            load_folder(tmp_path, Tree)
    (tmp_path / "z.txt").write_bytes(data)
    rewrite(tmp_path, {"files": index["files"] | {"z.txt": entry}})
    with pytest.raises(ModelFileError, match="nothing in it uses"):
        load_folder(tmp_path, Tree)


_SAVER = """
import sys, pathlib, numpy as np, itertools
sys.path.insert(0, {root!r})
from tests.stored_tree import Tree, Leaf
from crossent.storage import save_folder
for i in itertools.count():
    leaf = Leaf(np.full((100, 100), i, dtype=np.float32), str(i) * 10000)
    save_folder(pathlib.Path({folder!r}), Tree(str(i), "oak", float(i), (leaf,), (i,), None), {{}})
"""


@pytest.mark.slow
def test_killed_at_any_moment_a_whole_model_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    code = _SAVER.format(root=str(Path(__file__).parents[1]), folder=str(folder))
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
