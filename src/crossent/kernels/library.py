"""Opening of the compiled kernel library."""

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path

ABI_VERSION = 1


@dataclass(frozen=True)
class KernelInfo:
    """Which kernels run: the library's path, architecture and compiler, or the reason that there are none."""

    available: bool
    path: str
    architecture: str
    compiler: str
    reason: str


@functools.cache
def info() -> KernelInfo:
    """Say whether the native kernels were built and can be opened.

    Examples
    --------
    >>> from crossent.kernels import info
    >>> isinstance(info().available, bool)
    True
    """
    path = _library_path()
    if path is None:
        return KernelInfo(False, "", "", "", "the package was installed without a C++ compiler; plain torch is used")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return KernelInfo(False, str(path), "", "", f"the library cannot be opened ({error}); plain torch is used")
    found = int(library.crossent_abi_version())
    if found != ABI_VERSION:
        return KernelInfo(False, str(path), "", "", f"its interface is version {found}, not {ABI_VERSION}; reinstall")
    return KernelInfo(True, str(path), _text(library, "architecture"), _text(library, "compiler"), "")


def _library_path() -> Path | None:
    # An editable install keeps sources and the built library in two folders, both on the package's path.
    import crossent.kernels as package  # noqa: PLC0415 - the package imports this module

    candidates = (Path(folder) / "libcrossent_kernels.so" for folder in package.__path__)
    return next((path for path in candidates if path.is_file()), None)


def _text(library: ctypes.CDLL, name: str) -> str:
    function = getattr(library, f"crossent_{name}")
    function.restype = ctypes.c_char_p
    return str(function().decode())
