"""`config.tokenizer`: how text becomes pieces."""

import dataclasses

from lstm_flax.config.fields import require


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """How text becomes pieces.

    It learns from the training part, and from unlabelled text where `data.use_unlabelled` says so.

    Attributes:
        kind: SentencePiece model: `unigram`, `bpe`, `word` (punctuation split off first) or `char`.
        vocab_size: pieces, the four special ones included (padding, unknown, begin, end). For
            `char` no more than a limit.
        character_coverage: part of the text's characters that become pieces; the rest is unknown.
        max_training_texts: texts sampled to train it, a cap on its time and memory.
        num_threads: of training. Pieces depend on it: keep it to keep them.
    """

    kind: str = "unigram"
    vocab_size: int = 16_000
    character_coverage: float = 0.9995
    max_training_texts: int = 25_000
    num_threads: int = 2

    def __post_init__(self) -> None:
        require(
            self.kind in ("unigram", "bpe", "word", "char"),
            "tokenizer.kind",
            self.kind,
            "choose unigram, bpe, word or char",
        )
        require(self.vocab_size >= 8, "tokenizer.vocab_size", self.vocab_size, "must be at least 8")
        require(
            0.98 <= self.character_coverage <= 1,
            "tokenizer.character_coverage",
            self.character_coverage,
            "must lie in [0.98, 1]",
        )
        for name in ("max_training_texts", "num_threads"):
            value = getattr(self, name)
            require(value >= 1, f"tokenizer.{name}", value, "must be at least 1")
