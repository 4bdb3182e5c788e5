"""`config.tokenizer`: the pieces that text is cut into."""

import dataclasses

from lstm_flax.config.fields import Section, field

LARGEST_VOCABULARY = 1_000_000  # pieces; files with more are refused


@dataclasses.dataclass(frozen=True)
class TokenizerConfig(Section, at="tokenizer"):
    """The SentencePiece tokenizer.

    It learns from the training part, and from unlabelled text if `data.use_unlabelled` is set.

    Attributes:
        kind: SentencePiece model: `unigram`, `bpe`, `word` (punctuation split off first) or `char`.
        vocab_size: pieces, the four special ones included (padding, unknown, begin, end). For
            `word` and `char` no more than a limit.
        character_coverage: part of the text's characters that become pieces; the rest is unknown.
        max_training_texts: texts sampled to train it, a cap on its time and memory.
        num_threads: of training. Pieces depend on it: keep it the same to keep them.
    """

    kind: str = field("unigram", choices=("unigram", "bpe", "word", "char"))
    vocab_size: int = field(16_000, at_least=8, at_most=LARGEST_VOCABULARY)
    character_coverage: float = field(0.9995, at_least=0.98, at_most=1)
    max_training_texts: int = field(25_000, at_least=1)
    num_threads: int = field(2, at_least=1, at_most=1024)
