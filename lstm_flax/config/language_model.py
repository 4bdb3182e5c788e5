"""`config.language_model`: the rest of the language model."""

import dataclasses

from lstm_flax.config.fields import Section, field


@dataclasses.dataclass(frozen=True)
class LanguageModelConfig(Section, at="language_model"):
    """The language model, beside what it shares with the classifier (`model`).

    Its B streams are `data.batch_size`; `model.head_dropout` acts on what enters the softmax, one
    mask over all time steps. Pooling, head, n-gram features, `max_length`, buckets, the
    weights of labels and the recipes on perturbed or unlabelled texts are the classifier's alone.

    Attributes:
        bptt_length: T, tokens of each stream read by one step, through which its gradient flows
            (truncated backpropagation through time).
        softmax_samples: candidates that stand for the vocabulary in training; 0 for all of it.
        weight_drop: rate on the single hidden-to-hidden weights, one mask a step (AWD-LSTM).
        activation_penalty: on the mean square of the top layer's outputs (AR).
        temporal_penalty: on the mean square of their change from token to token (TAR).
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
