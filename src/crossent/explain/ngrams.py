"""What speaks for each class: the n-grams that raise its logit most in its own texts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from crossent.data.dataset import Dataset
from crossent.kinds.column import Label
from crossent.kinds.ngram_encoding import TextEncoding
from crossent.kinds.ngrams import names
from crossent.predictor import Predictor

# For each class, the number of n-grams of each sort that are named.
MOST_NGRAMS = 24
# Largest number of rows that are searched.
MOST_ROWS = 20_000


@dataclass(frozen=True)
class Evidence:
    """An n-gram that speaks for a class.

    Attributes
    ----------
    label
        The class.
    column
        The column of text.
    ngram
        A word or a pair of words; or a piece of a word, with a space where the word begins or ends.
    is_piece
        Whether it is a piece of a word.
    gain
        By how much it raises the logit of the class above the mean of all classes, on average over the texts of the
        class.
    """

    label: Label
    column: str
    ngram: str
    is_piece: bool
    gain: float


def find_evidence(predictor: Predictor, dataset: Dataset) -> tuple[Evidence, ...]:
    """Return the n-grams that raise the logit of each class most, class by class, the strongest first.

    Parameters
    ----------
    predictor
        Any predictor; without columns of text there is no evidence.
    dataset
        Rows that it was trained on.
    """
    weight = predictor.members[0].model.ngram_weight()
    if weight is None:
        return ()
    step = -(-len(dataset) // MOST_ROWS)
    dataset = dataset.take(np.arange(0, len(dataset), step))
    all_evidence: list[Evidence] = []
    for encoding in predictor.encoder.encodings:
        if not isinstance(encoding, TextEncoding):
            continue
        of_column, weight = weight[: len(encoding.hashes)], weight[len(encoding.hashes) :]
        all_evidence += _evidence_of_column(encoding, of_column, dataset)
    order = {label: i for i, label in enumerate(predictor.classes)}
    return tuple(sorted(all_evidence, key=lambda evidence: (order[evidence.label], evidence.is_piece, -evidence.gain)))


def _evidence_of_column(encoding: TextEncoding, weight: npt.NDArray[np.float32], dataset: Dataset) -> list[Evidence]:
    texts = dataset.frame[encoding.column]
    features = encoding.ngrams_of(texts)
    counts = np.maximum(dataset.class_counts, 1)
    members = scipy.sparse.csr_array(
        (1 / counts[dataset.target].astype(np.float32), (dataset.target, np.arange(len(dataset)))),
        shape=(len(counts), len(dataset)),
    )
    mean_features = (members @ features).tocsr()
    mean_weight = weight.mean(axis=1)
    chosen: list[tuple[int, int, float]] = []
    for k in range(len(counts)):
        of_class = slice(int(mean_features.indptr[k]), int(mean_features.indptr[k + 1]))
        columns = mean_features.indices[of_class]
        gains = mean_features.data[of_class] * (weight[columns, k] - mean_weight[columns])
        for sort in (0, 1):
            best = np.flatnonzero((encoding.hashes[columns] & 1 == sort) & (gains > 0))
            best = best[np.argsort(-gains[best], kind="stable")][:MOST_NGRAMS]
            chosen += [(k, int(columns[i]), float(gains[i])) for i in best]
    named = _names(encoding, features, {column for _, column, _ in chosen}, texts.tolist())
    return [
        Evidence(dataset.classes[k], encoding.column, named[column], bool(encoding.hashes[column] & 1), gain)
        for k, column, gain in chosen
    ]


def _names(
    encoding: TextEncoding, features: scipy.sparse.csr_array, columns: set[int], texts: list[Any]
) -> dict[int, str]:
    """Find the n-grams of some columns, each in a text that contains it."""
    wanted = np.array(sorted(columns), np.int64)
    if not len(wanted):
        return {}
    by_column = features[:, wanted].tocsc()
    rows = {int(by_column.indices[begin]) for begin in by_column.indptr[:-1]}
    hashes = {int(encoding.hashes[column]): int(column) for column in wanted}
    by_hash: dict[int, str] = {}
    for row in sorted(rows):
        by_hash |= {hashes[hash_]: name for hash_, name in names(str(texts[row]), hashes).items()}
    return by_hash
