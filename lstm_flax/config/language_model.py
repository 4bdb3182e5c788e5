"""`config.language_model`: the rest of the language model."""

import dataclasses

from lstm_flax.config.fields import require


@dataclasses.dataclass(frozen=True)
class LanguageModelConfig:
    """The language model, beside what it shares with the classifier (`model`).

    Its B streams are `data.batch_size`; `model.head_dropout` acts on what enters the softmax, one
    mask over all time steps. Pooling, head, n-gram features, `max_length`, buckets, unlabelled
    rows, and of `training` whatever weighs labels or perturbs texts, are the classifier's alone.

    Attributes:
        bptt_length: T, tokens of each stream read by one step, through which its gradient flows
            (truncated backpropagation through time).
        softmax_samples: candidates that stand for the vocabulary in training; 0 for all of it.
        weight_drop: rate on the single hidden-to-hidden weights, one mask a step (AWD-LSTM).
        activation_penalty: on the mean square of the top layer's outputs (AR).
        temporal_penalty: on the mean square of their change from token to token (TAR).
    """

    bptt_length: int = 64
    softmax_samples: int = 2048
    weight_drop: float = 0.0
    activation_penalty: float = 0.0
    temporal_penalty: float = 0.0

    def __post_init__(self) -> None:
        require(
            self.bptt_length >= 1,
            "language_model.bptt_length",
            self.bptt_length,
            "must be at least 1",
        )
        for name in ("softmax_samples", "activation_penalty", "temporal_penalty"):
            value = getattr(self, name)
            require(value >= 0, f"language_model.{name}", value, "must not be negative")
        require(
            self.temporal_penalty == 0 or self.bptt_length >= 2,
            "language_model.temporal_penalty",
            self.temporal_penalty,
            "a change from token to token needs two of them; set config.language_model.bptt_length "
            "to 2 or more, or this to 0",
        )
        require(
            self.softmax_samples != 1,
            "language_model.softmax_samples",
            self.softmax_samples,
            "choose 2 or more, or 0 for the whole vocabulary",
        )
        require(
            0 <= self.weight_drop < 1,
            "language_model.weight_drop",
            self.weight_drop,
            "must be at least 0 and below 1",
        )
