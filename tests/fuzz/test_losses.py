import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are forbidden as Linux does")
def test_random_losses_are_right_and_touch_no_memory_beside_their_arrays() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "fuzz_losses.py"
    done = subprocess.run([sys.executable, script, "--count", "60"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| right | 60 |" in done.stdout
