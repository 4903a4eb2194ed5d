"""The short form of the campaign against damaged and odd tables."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_tables.py"


@pytest.mark.slow
def test_damaged_and_odd_tables_are_read_or_refused() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--count", "300"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| error |" in done.stdout
    assert "| read |" in done.stdout
