"""`config.language_model`: the rest of the language model."""

import dataclasses

from lstm_flax.config.fields import Section, field


@dataclasses.dataclass(frozen=True)
class LanguageModelConfig(Section, at="language_model"):
    """The language model's own settings, in addition to those it shares with the classifier.

    Its B streams are `data.batch_size`; `model.head_dropout` acts on the input of the softmax, one
    mask over all time steps. Only the classifier uses pooling, head, n-gram features, `max_length`,
    buckets, label weights, and the recipes on perturbed or unlabelled texts.

    Attributes:
        bptt_length: T, tokens of each stream that one step reads and its gradient flows through
            (truncated backpropagation through time).
        softmax_samples: candidates that represent the vocabulary in training; 0 for all of it.
        weight_drop: rate on single hidden-to-hidden weights, one mask per step (AWD-LSTM).
        activation_penalty: weight of the mean square of the top layer's outputs (AR).
        temporal_penalty: weight of the mean square of their change from token to token (TAR).
    """

    bptt_length: int = field(64, at_least=1)
    softmax_samples: int = field(2048, at_least=0)
    weight_drop: float = field(0.0, at_least=0, below=1)
    activation_penalty: float = field(0.0, at_least=0, at_most=1_000_000)
    temporal_penalty: float = field(0.0, at_least=0, at_most=1_000_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.softmax_samples != 1,
            "softmax_samples",
            "choose 2 or more, or 0 for the whole vocabulary",
        )
        self.require(
            self.temporal_penalty == 0 or self.bptt_length >= 2,
            "temporal_penalty",
            "a change from token to token needs two of them; set config.language_model.bptt_length "
            "to 2 or more, or this to 0",
        )
