"""The tests that run the kernels, on a build that stops at the first access or operation that C++ leaves undefined."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = (
    "kernels/test_adamw.py",
    "kernels/test_curves.py",
    "kernels/test_dual_ascent.py",
    "kernels/test_log_softmax.py",
    "kernels/test_ngrams.py",
    "kernels/test_products.py",
    "kernels/test_regression.py",
    "kernels/test_trees.py",
    "models/test_number_embedding.py",
    "train/test_optim.py",
    "test_logits.py",
    "losses/test_native.py",
    "losses/test_small.py",
    "losses/test_linear_tiles.py",
    "losses/test_linear_cross_entropy.py",
    "losses/test_cross_entropy_and_grad.py",
)
# The process finds this build before the one that is installed.
RUN = """
import sys, pytest, crossent.kernels
crossent.kernels.__path__.insert(0, sys.argv[1])
assert crossent.kernels.info().path.startswith(sys.argv[1]), crossent.kernels.info()
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", *sys.argv[2:]]))
"""


def runtime(name: str) -> str:
    """The path of a library of the compiler."""
    found = subprocess.run(["c++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sanitizers are put before Python by LD_PRELOAD")
@pytest.mark.skipif(not all(map(shutil.which, ("cmake", "c++"))), reason="needs cmake and a C++ compiler")
def test_kernels_are_clean_under_address_and_undefined_behaviour_sanitizers(tmp_path: Path) -> None:
    if not Path(runtime("libasan.so")).is_file():
        pytest.skip("the compiler has no AddressSanitizer")
    build = ["cmake", "-S", str(ROOT), "-B", str(tmp_path), "-DCROSSENT_SANITIZE=address,undefined"]
    for command in (build, ["cmake", "--build", str(tmp_path), "--parallel", "2"]):
        subprocess.run(command, capture_output=True, check=True)
    environment = os.environ | {
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, "-c", RUN, str(tmp_path), *(str(ROOT / "tests" / name) for name in TESTS)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
