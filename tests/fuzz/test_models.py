import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_models.py"


@pytest.mark.slow
def test_changed_model_folders_are_refused_or_predict_probabilities() -> None:
    command = [sys.executable, str(SCRIPT), "--model", "all", "--count", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("ModelFileError") == done.stdout.count("answered otherwise") == 5
