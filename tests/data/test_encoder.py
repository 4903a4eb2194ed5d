import numpy as np
import pandas as pd

from crossent.data.encoder import fit_encoder
from crossent.data.understand import conform, understand

ROWS = pd.DataFrame(
    {
        "review": [
            "red wine is good wine for a day",
            "white wine is not so good for me",
            "beer is better than any wine",
        ]
        * 4,
        "price": [1.0, 2.0, 3.0] * 4,
        "colour": ["red", "white", "brown"] * 4,
        "note": ["it came to me in a large box", "it came in a box that was wet", "it has not come to me at all"] * 4,
    }
)
TARGET = np.array([0, 0, 1] * 4)


def test_texts_stand_beside_numbers_and_categories() -> None:
    frame, columns = understand(ROWS, {})
    assert [column.kind for column in columns] == ["text", "number", "category", "text"]
    encoder, features = fit_encoder(frame, columns, TARGET, 2)
    assert features.numbers.shape == (12, 1)
    assert features.codes.shape == (12, 1)
    assert [encoding.column for encoding in encoder.encodings] == ["review", "price", "colour", "note"]
    assert features.ngrams is not None
    assert features.ngrams.shape == (12, encoder.widths.ngrams)
    again = encoder.encode(frame)
    assert again.ngrams is not None
    assert (again.ngrams != features.ngrams).nnz == 0
    some = features.take(np.array([3, 1]))
    assert some.ngrams is not None
    assert (some.ngrams != features.ngrams[[3, 1]]).nnz == 0


def test_a_table_without_text_has_no_texts() -> None:
    frame, columns = understand(ROWS[["price", "colour"]], {})
    encoder, features = fit_encoder(frame, columns, TARGET, 2)
    assert encoder.widths.ngrams == 0
    assert features.ngrams is None
    assert features.take(np.array([0])).ngrams is None


def test_rows_that_hold_nothing_known_are_counted() -> None:
    frame, columns = understand(ROWS, {})
    encoder, _ = fit_encoder(frame, columns, TARGET, 2)
    new = conform(ROWS.head(2).assign(review=["жжж", None], colour=["red", "blue"]), columns)
    assert encoder.unseen(new) == (
        "column 'review': 2 rows are empty or hold no word and no piece of a word that was seen in training",
        "column 'colour': 1 rows hold values not seen in training: 'blue'",
    )
