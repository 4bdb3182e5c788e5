"""The types that cross room borders, and the legend of axes.

Axes, one letter each, wherever this package gives a shape:

    B  batch        examples in one batch, padding rows included
    T  time         tokens; the width of the batch's bucket
    E  embedding    size of a token's vector
    H  hidden       size of the recurrent state of one direction
    D  directions   1, or 2 when bidirectional
    L  layers       of the recurrent stack
    C  classes      labels of the data set
    V  vocabulary   pieces of the tokenizer
    F  features     numbers a token beside its embedding
    G  gates        of the recurrent cell: 4 for LSTM, 3 for GRU, 1 for RNN
    N  items        of a whole: a split's examples, a text's tokens, a loss's queries
    S  samples      tokens that stand for the vocabulary in a sampled softmax

Capitals of one docstring alone are explained in it; small letters are sizes without a name.
"""

from typing import Any, NamedTuple

PAD_ID = 0  # the tokenizer's padding piece; its embedding row stays zero
LONGEST_LABEL = 1_000  # characters of a label's name; tables and pictures show all of them

# numpy in the data half, jax on the device; `Any`, since a batch is a pytree that jit traces too.
Array = Any


class TextExample(NamedTuple):
    """One text with its label.

    Attributes:
        text: as the source gives it, not yet normalised.
        label: index into the data set's label names; -1 where the text has no label.
        id: names the example in messages, unique within its split.
    """

    text: str
    label: int
    id: str


class Batch(NamedTuple):
    """A batch of token sequences, padded on the right.

    Attributes:
        token_ids: i32[B, T], `PAD_ID` past each row's length.
        lengths: i32[B], from 1 to T.
        labels: i32[B]; -1 for a text without one.
        example_mask: bool[B]; False for a row that only fills up the batch (its length is 1).
        token_features: f32[B, T, F], the encoder's features of each token, zero past each row's
            length; None for a model that takes none.
    """

    token_ids: Array
    lengths: Array
    labels: Array
    example_mask: Array
    token_features: Array | None = None


class StreamBatch(NamedTuple):
    """A piece of running text, a direction of reading each; every row continues the last batch's.

    Attributes:
        token_ids: i32[B, D, T], what is read; of the backward direction, in its order of reading.
        targets: i32[B, D, T], the token that follows each.
        target_mask: bool[B, D, T]; False for a target that only fills up the piece.
    """

    token_ids: Array
    targets: Array
    target_mask: Array
