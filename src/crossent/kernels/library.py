"""Opens the compiled kernel library, and chooses its instruction set."""

import ctypes
import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from crossent.errors import SettingError

ABI_VERSION = 14
LEVELS = ("avx512", "avx2", "baseline")


@dataclass(frozen=True)
class KernelInfo:
    """Which kernels run.

    Attributes
    ----------
    available
        Whether native kernels run; if not, every function runs in plain torch.
    level
        The instruction set: avx512, avx2 or baseline.
    path, architecture, compiler
        The path of the library, its processor architecture, and its compiler.
    reason
        Why there are no kernels; empty if there are.
    """

    available: bool
    level: str
    path: str
    architecture: str
    compiler: str
    reason: str


@functools.cache
def info() -> KernelInfo:
    """Say which native kernels run, or why none do.

    The best instruction set of the processor is used. The environment variable ``CROSSENT_KERNELS`` chooses another
    one: ``avx512``, ``avx2``, ``baseline``, or ``off`` for plain torch; it is read once.

    Raises
    ------
    SettingError
        If ``CROSSENT_KERNELS`` names none of these, or one that this processor or build lacks.

    Examples
    --------
    >>> from crossent.kernels import info
    >>> isinstance(info().available, bool)
    True
    """
    wanted = _wanted_level()
    path = _library_path()
    if wanted == "off":
        return _absent("CROSSENT_KERNELS=off; plain torch is used")
    if path is None:
        return _absent("the package was installed without a C++ compiler; plain torch is used")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return _absent(f"the library {path} cannot be opened ({error}); plain torch is used")
    version = int(library.crossent_abi_version())
    if version != ABI_VERSION:
        return _absent(f"the interface of {path} is version {version}, not {ABI_VERSION}; reinstall")
    level = _text(library, "level", wanted)
    if not level:
        raise SettingError(
            "CROSSENT_KERNELS names an instruction set that runs here.",
            f"It is {wanted!r}, which this processor or this build lacks.",
            "Unset it to take the best one.",
        )
    return KernelInfo(True, level, str(path), _text(library, "architecture"), _text(library, "compiler"), "")


def open_library(*structs: type[ctypes.Structure]) -> ctypes.CDLL:
    """Open the library of `info`, and compare the sizes of the structs that a binding shares with it.

    Parameters
    ----------
    structs
        Structs with the name that they have in the library, perhaps with a leading underscore.

    Raises
    ------
    ImportError
        If a struct has another size in the library, which was then built from other sources than these.
    """
    path = info().path
    library = ctypes.CDLL(path)
    library.crossent_size_of.restype = ctypes.c_int64
    for struct in structs:
        name, size = struct.__name__.lstrip("_"), ctypes.sizeof(struct)
        size_there = library.crossent_size_of(name.encode())
        if size_there != size:
            raise ImportError(
                f"Structs have the same size in Python and in the kernels. {name} has {size_there} bytes in {path}"
                f" and {size} here. Install the package again."
            )
    return library


def _absent(reason: str) -> KernelInfo:
    return KernelInfo(False, "", "", "", "", reason)


def _wanted_level() -> str:
    wanted = os.environ.get("CROSSENT_KERNELS", "")
    if wanted not in ("", "off", *LEVELS):
        raise SettingError(
            f"CROSSENT_KERNELS is off, {', '.join(LEVELS)} or unset.", f"It is {wanted!r}.", "Choose one of these."
        )
    return wanted


def _library_path() -> Path | None:
    # An editable install has sources and the built library in two folders, which are both on the package's path.
    folders = sys.modules[__name__.rpartition(".")[0]].__path__
    candidates = (Path(folder) / "libcrossent_kernels.so" for folder in folders)
    return next((path for path in candidates if path.is_file()), None)


def _text(library: ctypes.CDLL, name: str, *arguments: str) -> str:
    function = getattr(library, f"crossent_{name}")
    function.restype = ctypes.c_char_p
    return str(function(*(argument.encode() for argument in arguments)).decode())
