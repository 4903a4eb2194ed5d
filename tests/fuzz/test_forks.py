import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_forks.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot fork")
def test_forked_children_of_every_model_answer_in_the_bits_of_their_parent() -> None:
    command = [sys.executable, str(SCRIPT), "--count", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
