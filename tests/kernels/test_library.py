import ctypes
import shutil
from pathlib import Path

import pytest

from crossent.kernels.library import ABI_VERSION, info


def test_kernels_are_there_or_the_reason_is() -> None:
    found = info()
    assert found.available == (found.reason == "")
    assert found.available == Path(found.path).is_file()


@pytest.mark.skipif(shutil.which("c++") is None, reason="without a C++ compiler the package has no kernels")
def test_a_compiler_gives_kernels_of_this_version() -> None:
    found = info()
    assert found.available, found.reason
    assert ctypes.CDLL(found.path).crossent_abi_version() == ABI_VERSION
    assert found.architecture
    assert found.compiler
