"""What a model that was trained with the focal loss believes.

The focal loss asks for less confidence than the truth has, so that the softmax of its logits is not a probability. But
the distortion is known, and can be taken back exactly (Charoenphakdee et al. 2021, "On Focal Loss for Class-Posterior
Probability Estimation: A Theoretical Perspective", theorem 11).
"""

import numpy as np
import numpy.typing as npt

from crossent.losses.arrays import log_softmax

# Of the exponent in a saved model: what it multiplies stays within float32.
LARGEST_GAMMA = 1e6
# A probability of exactly one would make the logarithm of the rest infinite.
_NEAREST_TO_ONE = -1e-15


def log_focal_slope(log_probs: npt.NDArray[np.float64], gamma: float) -> npt.NDArray[np.float64]:
    """Return the log of ``(1 - p)^g - g (1 - p)^(g - 1) p log p``, elementwise.

    At the target's probability p it is what the gradient of cross entropy is multiplied by in the focal loss.

    Examples
    --------
    >>> log_focal_slope(np.log([0.5]), 0.0)
    array([0.])
    """
    log_probs = np.minimum(log_probs, _NEAREST_TO_ONE)
    rest = -np.expm1(log_probs)
    return np.asarray((gamma - 1) * np.log(rest) + np.log(rest - gamma * np.exp(log_probs) * log_probs))


def posterior_logits(logits: npt.NDArray[np.floating], gamma: float) -> npt.NDArray[np.float64]:
    """Turn ``(n, K)`` logits that minimise the focal loss into those that minimise cross entropy.

    Parameters
    ----------
    logits
        ``(n, K)``.
    gamma
        The exponent of the focal loss; 0 changes nothing but a constant a row.

    Returns
    -------
    array
        ``(n, K)`` float64 logits, in the same order within each row.

    Examples
    --------
    The focal loss (exponent 2) of a coin that shows heads in 9 of 10 throws is lowest at a softmax of 0.694, not 0.9:

    >>> p = np.linspace(0.5, 0.999, 100_000)
    >>> loss = -0.9 * (1 - p) ** 2 * np.log(p) - 0.1 * p**2 * np.log(1 - p)
    >>> best = p[loss.argmin()]
    >>> print(round(best, 3))
    0.694
    >>> restored = posterior_logits(np.log([[best, 1 - best]]), 2.0)
    >>> print((np.exp(restored) / np.exp(restored).sum()).round(3))
    [[0.9 0.1]]
    """
    log_probs = log_softmax(logits)
    return log_probs - log_focal_slope(log_probs, gamma)
