"""Rules for the size of a network for a table and the length of its training, by the number of training rows."""

from dataclasses import dataclass

DEPTH = 2
MOST_EPOCHS = 60
# A batch has this share of the rows, within bounds, as a power of two; from 25,000 rows on it is larger.
BATCHES_AN_EPOCH, SMALLEST_BATCH, LARGE_BATCH = 20, 32, 256
VERY_MANY_ROWS, LARGEST_BATCH = 25_000, 512
# The share of the epochs that may pass without a gain, but at least the second number of them. While the learning rate
# falls to zero, the last gains are small, and held-out losses go up and down by more than that.
PATIENCE, FEWEST_WITHOUT_GAIN = 0.15, 6
# A thread should have this number of multiplications of a product of hidden units, 45 us of work, to be worth waiting
# for.
WORK_OF_THREAD = 2_000_000


@dataclass(frozen=True)
class Effort:
    """How large a network is, and how long it is trained.

    Attributes
    ----------
    heads, width
        Perceptrons side by side, and units of their hidden layers.
    rows_seen, fewest_epochs
        The number of epochs is chosen so that this number of rows is seen, but it is not smaller than the second.
    """

    heads: int
    width: int
    rows_seen: int
    fewest_epochs: int


# With few rows, each of five folds has its own network, and their average makes up for what a single one lacks.
FEW, MANY = Effort(1, 128, 100_000, 20), Effort(2, 256, 720_000, 10)
MANY_ROWS = 8_000


def choose_effort(rows: int) -> Effort:
    """Return the size of a network for a number of training rows, and the length of its training.

    Examples
    --------
    >>> [choose_effort(rows).width for rows in (300, 12_000)]
    [128, 256]
    """
    return MANY if rows >= MANY_ROWS else FEW


def choose_epochs(rows: int) -> int:
    """Return how often to go over the training rows.

    Examples
    --------
    >>> [choose_epochs(rows) for rows in (300, 2500, 6000, 12_000, 1_000_000)]
    [60, 40, 20, 60, 10]
    """
    effort = choose_effort(rows)
    return min(max(effort.rows_seen // rows, effort.fewest_epochs), MOST_EPOCHS)


def choose_batch_size(rows: int) -> int:
    """Return how many rows a step takes.

    Examples
    --------
    >>> [choose_batch_size(rows) for rows in (300, 2000, 10_000, 1_000_000)]
    [32, 128, 256, 512]
    """
    if rows >= VERY_MANY_ROWS:
        return LARGEST_BATCH
    share = max(rows // BATCHES_AN_EPOCH, 1)
    return min(max(1 << (share - 1).bit_length(), SMALLEST_BATCH), LARGE_BATCH)


def choose_patience(epochs: int) -> int:
    """Return how many epochs may pass without a gain.

    Examples
    --------
    >>> [choose_patience(epochs) for epochs in (1, 20, 60)]
    [1, 6, 9]
    """
    return min(max(FEWEST_WITHOUT_GAIN, round(PATIENCE * epochs)), epochs)


def choose_threads(effort: Effort, batch_size: int) -> int:
    """Return how many threads may make the products of a network quicker, if no other program is in their way.

    Examples
    --------
    >>> choose_threads(FEW, 128), choose_threads(FEW, 256), choose_threads(MANY, 256)
    (1, 2, 16)
    """
    return max(1, batch_size * effort.heads * effort.width**2 // WORK_OF_THREAD)
