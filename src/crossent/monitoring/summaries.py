"""Messages of TensorBoard: each function makes a value of a summary."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

# The classes of the messages are made by protobuf at run time, so type checkers know nothing of them.
Value = Any

_BINS = 50
# How far bins reach beyond the values, relative to their size and at least, so that equal values have bins with a
# width.
_MARGIN, _LEAST_MARGIN = 1e-9, 1e-12


def scalar(tag: str, value: float) -> Value:
    """Make a point of a curve."""
    return Summary.Value(tag=tag, simple_value=value)


def histogram(tag: str, values: npt.NDArray[np.floating[Any]]) -> Value:
    """Make a histogram of finite values, one or more."""
    exact = values.astype(np.float64)
    lowest, highest = float(exact.min()), float(exact.max())
    margin = _MARGIN * max(abs(lowest), abs(highest)) + _LEAST_MARGIN
    counts, edges = np.histogram(exact, bins=_BINS, range=(lowest - margin, highest + margin))
    proto = HistogramProto(
        min=lowest,
        max=highest,
        num=len(exact),
        sum=exact.sum(),
        sum_squares=exact @ exact,
        # TensorBoard reads upper edges, so the lowest edge is the upper edge of an empty bin.
        bucket_limit=edges,
        bucket=[0, *counts],
    )
    return Summary.Value(tag=tag, histo=proto)


def picture(tag: str, png: bytes) -> Value:
    """Make a picture of a PNG."""
    # The header of a PNG has width and height after 16 bytes, with four bytes each.
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
    return Summary.Value(tag=tag, image=image)


def settings_start(settings: Mapping[str, object]) -> Value:
    """Make the HPARAMS entry with the settings of a run; numbers stay numbers, and None is left out."""
    info = SessionStartInfo()
    for name, value in settings.items():
        if isinstance(value, int | float):
            info.hparams[name].number_value = value
        elif value is not None:
            info.hparams[name].string_value = str(value)
    return _hparams(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def settings_end() -> Value:
    """Make the HPARAMS entry that says that a run has ended successfully."""
    info = SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
    return _hparams(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _hparams(tag: str, content: Any) -> Value:
    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
