import numpy as np

from crossent.data.read import read
from crossent.explain.ngrams import find_evidence
from crossent.fitting.fit import FitResult
from crossent.kinds.ngram_encoding import TextEncoding
from tests.conftest import draw_reviews


def test_the_words_that_were_drawn_for_a_class_speak_for_it(text_fit: FitResult) -> None:
    evidence = find_evidence(text_fit.predictor, read(draw_reviews(), "label"))
    first = {}
    for one in evidence:
        if not one.is_piece and " " not in one.ngram:
            first.setdefault(one.label, []).append(one.ngram)
    assert set(first["angry"][:3]) == {"awful", "broken", "refund"}
    assert set(first["happy"][:3]) == {"lovely", "perfect", "thanks"}
    assert set(first["unsure"][:2]) == {"perhaps", "okay"}
    pieces = {one.ngram for one in evidence if one.label == "unsure" and one.is_piece}
    assert " okay" in pieces


def test_gains_fall_and_are_the_mean_change_of_the_logit(text_fit: FitResult) -> None:
    dataset = read(draw_reviews(), "label")
    evidence = find_evidence(text_fit.predictor, dataset)
    for label in dataset.classes:
        for is_piece in (False, True):
            gains = [one.gain for one in evidence if one.label == label and one.is_piece == is_piece]
            assert gains == sorted(gains, reverse=True)
            assert gains[-1] > 0
    # By hand: the feature's mean over the texts of the class, times what its weight has more than the mean.
    strongest = next(one for one in evidence if one.label == "happy")
    encoder, model = text_fit.predictor.encoder, text_fit.predictor.members[0].model
    encoding = encoder.encodings[0]
    assert isinstance(encoding, TextEncoding)
    features = encoding.ngrams_of(dataset.frame["review"]).toarray()
    happy = dataset.classes.index("happy")
    weight = model.weight[-features.shape[1] :]
    gains = features[dataset.target == happy].mean(axis=0) * (weight[:, happy] - weight.mean(axis=1))
    words = encoding.hashes % 2 == 0
    np.testing.assert_allclose(strongest.gain, gains[words].max(), rtol=1e-4)


def test_a_model_without_text_has_no_evidence(linear_fit: FitResult) -> None:
    assert find_evidence(linear_fit.predictor, read(draw_reviews(), "label")) == ()
