"""Types shared by several packages, and the legend of axes.

Axes, one letter each, in every shape given in this package:

    B  batch        examples in one batch, padding rows included
    T  time         tokens; the width of the batch's bucket
    E  embedding    size of a token's vector
    H  hidden       size of the recurrent state of one direction
    D  directions   1, or 2 when bidirectional
    L  layers       layers of the recurrent stack
    C  classes      labels of the data set
    V  vocabulary   pieces of the tokenizer
    F  features     numbers per token besides its embedding
    G  gates        gates of the recurrent cell: 4 for LSTM, 3 for GRU, 1 for RNN
    N  items        items of a whole: a split's examples, a text's tokens, a loss's queries
    S  samples      tokens that represent the vocabulary in a sampled softmax

A docstring explains any other capital letter it uses; small letters are other sizes.
"""

from typing import Any, NamedTuple

PAD_ID = 0  # the tokenizer's padding piece; its embedding row stays zero
LONGEST_LABEL = 1_000  # characters of a label's name; tables and pictures show all of them

# numpy on the host, jax on the device; `Any`, because a batch is also a pytree that jit traces.
Array = Any


class TextExample(NamedTuple):
    """One text with its label.

    Attributes:
        text: as the source gives it, not yet normalised.
        label: index into the data set's label names; -1 for an unlabelled text.
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
        labels: i32[B]; -1 for an unlabelled text.
        example_mask: bool[B]; False for a filler row (its length is 1).
        token_features: f32[B, T, F], the encoder's features of each token, zero past each row's
            length; None for a model that uses none.
    """

    token_ids: Array
    lengths: Array
    labels: Array
    example_mask: Array
    token_features: Array | None = None


class StreamBatch(NamedTuple):
    """A piece of running text in each reading direction; each row continues that of the last batch.

    Attributes:
        token_ids: i32[B, D, T], the tokens to read; the backward direction's in its reading order.
        targets: i32[B, D, T], the token that follows each.
        target_mask: bool[B, D, T]; False for filler targets.
    """

    token_ids: Array
    targets: Array
    target_mask: Array
