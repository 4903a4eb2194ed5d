import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crossent.monitoring import summaries


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200))
def test_a_histogram_counts_every_value(values: list[float]) -> None:
    proto = summaries.histogram("x", np.array(values, dtype=np.float32)).histo
    assert sum(proto.bucket) == proto.num == len(values)
    assert len(proto.bucket) == len(proto.bucket_limit)
    assert proto.bucket_limit[0] <= proto.min <= proto.max <= proto.bucket_limit[-1]
    np.testing.assert_allclose(proto.sum, np.sum(values), atol=1e-6 * np.abs(values).sum() + 1e-12)


@given(st.floats(-1e6, 1e6), st.integers(0, 60))
def test_a_histogram_counts_values_that_differ_in_their_last_bits(value: float, steps: int) -> None:
    values = value + np.spacing(value) * np.arange(steps + 1)
    proto = summaries.histogram("x", values).histo
    assert sum(proto.bucket) == proto.num == steps + 1
    assert proto.bucket_limit[0] <= proto.min <= proto.max <= proto.bucket_limit[-1]


def test_a_picture_knows_its_size() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (30, 700)).save(buffer, format="PNG")
    image = summaries.picture("x", buffer.getvalue()).image
    assert (image.width, image.height) == (30, 700)
    assert image.encoded_image_string == buffer.getvalue()
