"""Short forms of the campaigns on run folders: mutations, kills, signals and full disks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_mutated_run_folders_go_on_or_are_one_clear_error() -> None:
    assert "not allowed" not in run("fuzz_runs.py", "--count", "60")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_or_stopped_at_random_moments_or_out_of_disk_runs_end_in_the_weights_of_straight_ones(
    tmp_path: Path,
) -> None:
    # Small disks take root.
    disks = "3" if sys.platform == "linux" and os.geteuid() == 0 else "0"
    said = run("kills.py", "--kills", "9", "--signals", "6", "--disks", disks, "--folder", str(tmp_path))
    assert "| 9 kills in " in said
    assert "| 6 signals in " in said
    assert "| 0 unreadable | 0 different models | 0 tracebacks | 0 other ends | 0 leftovers |" in said
    assert list(tmp_path.iterdir()) == []
