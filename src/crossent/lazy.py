"""Attributes that are computed when they are first read."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, final, overload

T = TypeVar("T")


@final
class lazy_property(Generic[T]):  # noqa: N801 - used as a decorator, like `property`
    """The `functools.cached_property` of Python 3.12, which holds no lock; that of Python 3.11 does.

    A child of `os.fork` inherits such a lock as it is: if another thread of the parent was computing the value at that
    moment, the child would wait forever. Two threads that read the attribute at the same time may both compute it.

    Examples
    --------
    >>> class Circle:
    ...     @lazy_property
    ...     def area(self) -> float:
    ...         print("worked out")
    ...         return 3.1
    >>> circle = Circle()
    >>> circle.area, circle.area
    worked out
    (3.1, 3.1)
    """

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out = work_out
        self.__doc__ = work_out.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        """Return the value; Python asks here only while the instance has none."""
        if instance is None:
            return self
        value = self._work_out(instance)
        # Not setattr: frozen dataclasses refuse it.
        instance.__dict__[self._name] = value
        return value
