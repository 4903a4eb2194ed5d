import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize

import crossent.kinds.ngram_encoding as module
from crossent.errors import DataError
from crossent.kinds.ngram_encoding import PRIOR_ROWS, TextEncoding, learn_ngrams
from crossent.kinds.ngrams import alphabet, normalise
from crossent.kinds.plain_ngrams import ngram_finder

TEXTS = pd.Series(
    [
        "the red wine was good",
        "The RED beer was bad",
        "a good, good beer!",
        "",
        "white wine",
        "naïve ワイン wine",
        "bad bad beer",
    ],
    name="review",
)
TARGET = np.array([0, 1, 1, 0, 0, 0, 1])


def analyse(text: str) -> list[int]:
    return [hash_ for hash_, _ in ngram_finder(alphabet())(normalise(text))]


def information(present: scipy.sparse.csr_array, target: np.ndarray, num_classes: int) -> np.ndarray:
    """The divergence of the classes of the rows with an n-gram from those of all, n-gram by n-gram."""
    prior = np.array([np.mean(target == k) for k in range(num_classes)])
    found = []
    for column in present.toarray().T:
        rows = np.array([np.sum(column[target == k]) for k in range(num_classes)])
        share = (rows + PRIOR_ROWS * prior) / (rows.sum() + PRIOR_ROWS)
        found.append(max(np.sum(share * np.log(share / prior)), 1e-3))
    return np.array(found)


def test_features_are_those_that_scikit_learn_counts_weighs_and_normalises() -> None:
    encoding, features = learn_ngrams(TEXTS, TARGET, 2)
    vectorizer = CountVectorizer(analyzer=analyse, min_df=2, vocabulary=None)
    counts = vectorizer.fit_transform(TEXTS)
    hashes = vectorizer.get_feature_names_out().astype(np.uint64)
    assert set(encoding.hashes.tolist()) == set(hashes.tolist())
    tf = counts.astype(np.float64).copy()
    tf.data = 1 + np.log(tf.data)
    weights = np.sqrt(TfidfTransformer().fit(counts).idf_ * information(counts > 0, TARGET, 2))
    weighted = scipy.sparse.csr_array(tf.multiply(weights))
    is_piece = hashes % 2 == 1
    expected = np.zeros(counts.shape)
    for block in (is_piece, ~is_piece):
        expected[:, block] = normalize(weighted[:, np.flatnonzero(block)]).toarray()
    order = [hashes.tolist().index(hash_) for hash_ in encoding.hashes.tolist()]
    np.testing.assert_allclose(features.toarray(), expected[:, order], rtol=1e-5, atol=1e-7)


def test_new_texts_are_encoded_as_training_texts() -> None:
    encoding, features = learn_ngrams(TEXTS, TARGET, 2)
    again = encoding.ngrams_of(TEXTS)
    assert (again != features).nnz == 0
    assert encoding.ngrams_of(pd.Series(["", None, "ЖЖЖ"])).nnz == 0


def test_words_and_pieces_have_length_one_each() -> None:
    encoding, features = learn_ngrams(TEXTS, TARGET, 2)
    squares = features.power(2).toarray()
    is_piece = encoding.hashes % 2 == 1
    for block in (is_piece, ~is_piece):
        lengths = squares[:, block].sum(axis=1)
        np.testing.assert_allclose(lengths[lengths > 0], 1, rtol=1e-5)
    assert squares[3].sum() == 0


def test_ngrams_come_from_common_to_rare_and_from_two_rows_at_least() -> None:
    _, features = learn_ngrams(TEXTS, TARGET, 2)
    rows = np.diff(features.tocsc().indptr)
    assert rows.min() == 2
    assert (np.diff(rows) <= 0).all()


def test_with_many_classes_the_commonest_ngrams_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    everything, _ = learn_ngrams(TEXTS, TARGET, 2)
    monkeypatch.setattr(module, "FEWEST_NGRAMS", 1)
    monkeypatch.setattr(module, "MOST_WEIGHTS", 20)
    some, features = learn_ngrams(TEXTS, TARGET, 2)
    assert some.hashes.tolist() == everything.hashes[:10].tolist()
    assert features.shape == (7, 10)


def test_chunks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    texts = pd.Series([" ".join(rng.choice(list("abcdefgh"), rng.integers(9))) for _ in range(300)], name="t")
    target = rng.integers(3, size=300)
    encoding, features = learn_ngrams(texts, target, 3)
    monkeypatch.setattr(module, "ELEMENTS_AT_ONCE", 50)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    other_encoding, other = learn_ngrams(texts, target, 3)
    assert np.array_equal(encoding.weights, other_encoding.weights)
    assert (features != other).nnz == 0


@pytest.mark.parametrize(
    "texts",
    [["", "", ""], ["\n", " ", "\t"], [None, None, None], ["один", "zwei", "三"]],
    ids=["empty", "blank", "missing", "nothing in common"],
)
def test_no_vocabulary_is_an_error_that_says_what_to_do(texts: list[str | None]) -> None:
    with pytest.raises(DataError, match="No two of the 3 training rows of 'note' have a word") as caught:
        learn_ngrams(pd.Series(texts, name="note", dtype="str"), np.array([0, 1, 0]), 2)
    assert "--kind note=identifier" in str(caught.value)


def test_a_document_of_ten_megabytes() -> None:
    words = " ".join(f"w{i % 5000}" for i in range(1_600_000))
    one_word = "x" * 10_000_000
    encoding, features = learn_ngrams(pd.Series([words, one_word, "w1 w2", "xxx"], name="t"), np.array([0, 1, 0, 1]), 2)
    assert len(words) > 9_000_000
    assert np.isfinite(features.data).all()
    assert (np.diff(features.indptr) > 0).all()
    assert (encoding.ngrams_of(pd.Series([words, one_word])) != features[:2]).nnz == 0


def test_encoding_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        TextEncoding("t", np.zeros(3, np.uint64), np.zeros(2, np.float32))
