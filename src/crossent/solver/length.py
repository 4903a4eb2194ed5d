"""The length of a step, by the values and slopes at its ends."""

import numpy as np

# Factors by which a step may be shortened or lengthened at once.
SHORTEST, LONGEST = 0.1, 4.0


def lowest_along(slope: float, rise: float, end: float) -> float:
    """Return about where a convex function is lowest, from its value and slope at 0 and at 1.

    If the slope at 1 is still negative, this is beyond 1, where a linear slope vanishes; otherwise it is the minimum of
    the cubic with these values and slopes.

    Examples
    --------
    >>> lowest_along(-1.0, 0.0, 1.0), lowest_along(-1.0, -0.75, -0.5)
    (0.5, 2.0)
    """
    if not np.isfinite(rise + end):
        return SHORTEST
    if end <= 0:
        return min(slope / min(slope - end, -1e-300), LONGEST)
    bend = slope + end - 3 * rise
    root = float(np.sqrt(max(bend**2 - slope * end, 0.0)))
    return min(max(1 - (end + root - bend) / (end - slope + 2 * root), SHORTEST), 1 - SHORTEST)
