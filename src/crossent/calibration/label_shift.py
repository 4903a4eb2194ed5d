"""Labelled rows of another class prior: a sample of it, drawn from rows of the prior that there is."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def sample_of_prior(
    target: npt.NDArray[np.int64], old: FloatArray, new: FloatArray, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Choose rows so that those chosen are a sample of rows whose classes come in other shares.

    A row of class k stays with a probability in proportion to ``new[k] / old[k]``, which is 1 for the class that gains
    most. So whatever is promised by a sample of rows can be promised for the new shares too, by the usual methods and
    as exactly, if the rows of each class look the same under both. The price is the rows that are left out: about
    ``min(old / new)`` of all stay.

    Parameters
    ----------
    target
        ``(n,)`` class indices of rows under the shares `old`.
    old, new
        ``(K,)`` shares above 0 that sum to 1.
    rng
        Source of the draws.

    Returns
    -------
    array
        ``(n,)`` bool, True for the rows that stay; all of them where the shares are the same.

    Notes
    -----
    Rejection sampling (von Neumann 1951), as Park et al. 2022, "PAC Prediction Sets Under Covariate Shift", use it, by
    the weights of Podkopaev and Ramdas 2021, "Distribution-Free Uncertainty Quantification for Classification Under
    Label Shift".

    Examples
    --------
    >>> target = np.repeat([0, 1], [900, 100])
    >>> rows = sample_of_prior(target, np.array([0.9, 0.1]), np.array([0.5, 0.5]), np.random.default_rng(0))
    >>> np.bincount(target[rows])
    array([ 82, 100])
    """
    gain = new / old
    return np.asarray(rng.random(len(target)) < (gain / gain.max())[target])
