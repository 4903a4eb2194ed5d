"""The faults that `make mutants` plants are about code that is there."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_each_planted_fault_changes_one_place() -> None:
    faults = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text())
    assert sum(map(len, faults.values())) > 100
    for file, of_file in faults.items():
        code = (ROOT / "src" / "crossent" / file).read_text()
        for fault in of_file:
            assert code.count(fault["old"]) == 1, f"{file}: {fault['what']}"
            assert fault["old"] != fault["new"]
