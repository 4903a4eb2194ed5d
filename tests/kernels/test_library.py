import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crossent.kernels.library import ABI_VERSION, LEVELS, info

SHOW = "from crossent.kernels import info; i = info(); print(i.available, i.level, i.reason)"


def ask(wanted: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CROSSENT_KERNELS": wanted}
    command = [sys.executable, "-c", SHOW]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_kernels_are_there_or_the_reason_is() -> None:
    found = info()
    assert found.available == (found.reason == "")
    assert found.available == Path(found.path).is_file()


@pytest.mark.skipif(shutil.which("c++") is None, reason="without a C++ compiler the package has no kernels")
def test_a_compiler_gives_kernels_of_this_version() -> None:
    found = info()
    if os.environ.get("CROSSENT_KERNELS") == "off":
        pytest.skip("the kernels are switched off")
    assert found.available, found.reason
    assert ctypes.CDLL(found.path).crossent_abi_version() == ABI_VERSION
    assert found.architecture
    assert found.compiler


def test_off_gives_plain_torch_and_says_so() -> None:
    assert ask("off").stdout == "False  CROSSENT_KERNELS=off; plain torch is used\n"


@pytest.mark.skipif(not info().available, reason="there are no native kernels here")
def test_the_level_asked_for_runs_or_is_refused() -> None:
    best = LEVELS.index(info().level)
    for i, level in enumerate(LEVELS):
        done = ask(level)
        if i < best:
            assert done.returncode != 0
            assert f"It is '{level}', which this processor or this build lacks." in done.stderr
        else:
            assert done.stdout.startswith(f"True {level}")


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    done = ask("sse9")
    assert done.returncode != 0
    assert "CROSSENT_KERNELS is off, avx512, avx2, baseline or unset. It is 'sse9'." in done.stderr
