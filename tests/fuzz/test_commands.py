import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_failing_commands_end_with_their_error_and_exit_code_2() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "fuzz_commands.py"
    done = subprocess.run([sys.executable, script, "--count", "8"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| exit code 2 | 8 |" in done.stdout
