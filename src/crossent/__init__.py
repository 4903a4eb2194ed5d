"""From your own table or text to a multiclass classifier whose probabilities you can trust."""

import lazy_loader

# Imported for its effect on forked children, whichever part of the package their parent used.
import crossent.threads  # noqa: F401

__version__ = "0.1.0"

# The public names are listed in __init__.pyi; each module is imported when one of its names is first used.
_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    # Stored, so that the next use is as quick as for any other name.
    value = globals()[name] = _import(name)
    return value
