"""`config.tokenizer`: the pieces that text is split into."""

import dataclasses

from lstm_flax.config.fields import Section, field

LARGEST_VOCABULARY = 1_000_000  # pieces; files with more are rejected


@dataclasses.dataclass(frozen=True)
class TokenizerConfig(Section, at="tokenizer"):
    """The SentencePiece tokenizer.

    It learns from the training part, and from unlabelled text if `data.use_unlabelled` is set.

    Attributes:
        kind: SentencePiece model: `unigram`, `bpe`, `word` (punctuation split off first) or `char`.
        vocab_size: number of pieces, including the four special ones (padding, unknown, begin,
            end). For `word` and `char` it is only an upper limit.
        character_coverage: fraction of the text's characters that become pieces; the rest is
            unknown.
        max_training_texts: number of texts sampled for training it, to limit time and memory.
        num_threads: training threads. Pieces depend on it: keep it the same to keep them.
    """

    kind: str = field("unigram", choices=("unigram", "bpe", "word", "char"))
    vocab_size: int = field(16_000, at_least=8, at_most=LARGEST_VOCABULARY)
    character_coverage: float = field(0.9995, at_least=0.98, at_most=1)
    max_training_texts: int = field(25_000, at_least=1)
    num_threads: int = field(2, at_least=1, at_most=1024)
