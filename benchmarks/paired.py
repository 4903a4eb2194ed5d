"""Competitors timed in paired rounds: each round runs every one of them once, in an order that turns."""

import statistics
import time
from collections.abc import Callable, Mapping

Run = Callable[[], object]


def seconds_by_round(competitors: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each competitor in each round, after one round that is not counted."""
    names = list(competitors)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds + 1):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            start = time.perf_counter()
            competitors[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}


def median_ratio(seconds: Mapping[str, list[float]], name: str, base: str) -> float:
    """Return the median over the rounds of one competitor's time divided by that of another."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[base], strict=True))
