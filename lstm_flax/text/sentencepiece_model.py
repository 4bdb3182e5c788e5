"""Reads the needed parts of a SentencePiece model file, a serialised `ModelProto`.

Works without the protobuf package: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

from lstm_flax.config.tokenizer import LARGEST_VOCABULARY

_LARGEST_REST = 5_000_000  # bytes besides the pieces; SentencePiece's own normalisers take 250,000
_PIECE, _NORMALIZER_SPEC = 1, 3  # fields of `ModelProto`


def normalizer_spec(model: bytes) -> bytes:
    """Returns the serialised part of a model that defines SentencePiece's normalisation.

    Call it before SentencePiece loads the model, which allocates some 200 bytes per piece.

    >>> normalizer_spec(bytes([3 << 3 | 2, 2]) + b"ab")
    b'ab'

    Raises:
        ValueError: it is not a model, or is larger than any tokenizer of this program.
    """
    found, pieces, beside = b"", 0, 0
    for field, start, end in _messages(model):
        if field == _PIECE:
            pieces += 1
        else:
            beside += end - start
        if pieces > LARGEST_VOCABULARY or beside > _LARGEST_REST:
            raise ValueError("it is larger than any tokenizer of this program")
        if field == _NORMALIZER_SPEC:
            found = model[start:end]
    return found


def _messages(model: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields the fields of a model, and where each starts and ends."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            if position >= len(model) or shift > 63:
                raise ValueError("not a SentencePiece model")
            byte = model[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while position < len(model):
        tag = varint()
        if tag & 7 != 2:  # every field of ModelProto is a message
            raise ValueError("not a SentencePiece model")
        size = varint()
        yield tag >> 3, position, position + size
        position += size
