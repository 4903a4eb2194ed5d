"""Spies: they call the real function, and record what it was given and what it returned."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest


@dataclass(frozen=True)
class Call:
    """One call of a function that is watched."""

    args: tuple[Any, ...]
    options: dict[str, Any]
    result: Any


def spy(patch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[Call]:
    """Record every call of a function, as the module knows it, from now on."""
    calls: list[Call] = []
    real = getattr(module, name)

    def record(*args: Any, **options: Any) -> Any:
        result = real(*args, **options)
        calls.append(Call(args, options, result))
        return result

    patch.setattr(module, name, record)
    return calls
