"""Reads how much the compressed buffers of an Arrow file hold, before any of them is unpacked.

An Arrow file ends in a footer that says where its batches are; each batch has metadata and a body of buffers. A
compressed buffer begins with its unpacked size, and Arrow does not unpack it further than this. Footer and metadata are
tables of FlatBuffers. See https://arrow.apache.org/docs/format/Columnar.html.
"""

import struct
from collections.abc import Iterator

# Places of fields in the tables of the format's Schema.fbs, File.fbs and Message.fbs.
_FOOTER_DICTIONARIES, _FOOTER_BATCHES = 2, 3
_MESSAGE_HEADER_TYPE, _MESSAGE_HEADER = 1, 2
_DICTIONARY_DATA = 1
_BATCH_BUFFERS, _BATCH_COMPRESSION = 2, 3
_DICTIONARY_BATCH = 2
# Bytes of an entry in a list of places of batches, and in a list of places of buffers.
_BLOCK, _BUFFER = 24, 16
_CONTINUATION = 0xFFFFFFFF


def unpacked_bytes(data: bytes) -> int:
    """Return how many bytes the compressed buffers of all batches and dictionaries say that they unpack to.

    Parameters
    ----------
    data
        An Arrow file, whose footer Arrow has read without complaint.

    Raises
    ------
    struct.error
        If it is damaged.
    """
    footer_size = _number(data, "<i", len(data) - 10)
    footer = _target(data, len(data) - 10 - footer_size)
    blocks = (_FOOTER_DICTIONARIES, _FOOTER_BATCHES)
    return sum(
        size
        for field in blocks
        for block in _entries(data, footer, field, _BLOCK)
        for size in _sizes_of_block(data, block)
    )


def _sizes_of_block(data: bytes, block: int) -> Iterator[int]:
    """Yield the sizes that the buffers of a batch unpack to."""
    begin, length = _number(data, "<q", block), _number(data, "<i", block + 8)
    prefix = 8 if _number(data, "<I", begin) == _CONTINUATION else 4
    message, body = _target(data, begin + prefix), begin + length
    header = _field(data, message, _MESSAGE_HEADER)
    kind = _field(data, message, _MESSAGE_HEADER_TYPE)
    if not header or not kind:
        return
    batch = _target(data, header)
    if _number(data, "<B", kind) == _DICTIONARY_BATCH:
        batch = _target(data, _field(data, batch, _DICTIONARY_DATA))
    if not _field(data, batch, _BATCH_COMPRESSION):
        return
    for buffer in _entries(data, batch, _BATCH_BUFFERS, _BUFFER):
        if _number(data, "<q", buffer + 8) > 0:
            # A size of -1 marks a buffer that is stored uncompressed.
            yield max(_number(data, "<q", body + _number(data, "<q", buffer)), 0)


def _number(data: bytes, form: str, place: int) -> int:
    if place < 0:
        raise struct.error(f"place {place} lies before the file")
    return int(struct.unpack_from(form, data, place)[0])


def _target(data: bytes, place: int) -> int:
    """Return where the offset at a place points to."""
    return place + _number(data, "<I", place)


def _field(data: bytes, table: int, number: int) -> int:
    """Return the place of a field of a table, 0 where it is left out."""
    offsets = table - _number(data, "<i", table)
    slot = 4 + 2 * number
    offset = _number(data, "<H", offsets + slot) if slot < _number(data, "<H", offsets) else 0
    return table + offset if offset else 0


def _entries(data: bytes, table: int, number: int, size: int) -> Iterator[int]:
    """Yield the places of the entries of a list."""
    field = _field(data, table, number)
    if field:
        begin = _target(data, field)
        yield from (begin + 4 + size * i for i in range(_number(data, "<I", begin)))
