"""The small data set that comes with the package."""

from pathlib import Path


def hpc_path() -> Path:
    """Path of ``hpc.csv``: 4,331 jobs on a computing cluster, to be sorted by how long they will run.

    Seven columns of numbers and categories; the target column ``class`` has four imbalanced, overlapping classes:
    VF (very fast), F (fast), M (moderate), L (long). From the R package modeldata 1.1.0, MIT licence, copyright 2019
    Max Kuhn and RStudio.

    Examples
    --------
    >>> hpc_path().name
    'hpc.csv'
    """
    return Path(__file__).parent / "hpc.csv"
