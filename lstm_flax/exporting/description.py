"""Descriptions of an exported classifier: `model.json` for programs, `README.md` for people."""

from typing import Any

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.config import Config
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.normalization import normalization_rules
from lstm_flax.text.tokenizer import UNKNOWN_ID
from lstm_flax.types import PAD_ID
from lstm_flax.version import __version__

FORMAT_VERSION = 1
_ARCHITECTURE = (
    "vocab_size",
    "embedding_size",
    "num_token_features",
    "votes_order",
    "cell",
    "hidden_size",
    "num_layers",
    "bidirectional",
    "pooling",
    "head",
    "num_classes",
)


def describe_model(
    model: TextClassifier,
    encoder: TextEncoder,
    config: Config,
    labels: tuple[str, ...],
    temperature: float,
) -> dict[str, Any]:
    """Describes everything between a text and its probabilities, except the arrays.

    A text longer than `max_length` tokens keeps its first `head_length` tokens, and as many of the
    last as there is room for. Logits are divided by `temperature` before the softmax.

    Args:
        model: its attributes.
        encoder: how texts are normalised and split.
        config: how long texts are truncated.
        labels: C names.
        temperature: fitted to the development part.
    """
    limit, truncation = config.data.max_length, config.data.truncation
    return {
        "format": FORMAT_VERSION,
        "producer": f"lstm_flax {__version__}",
        "labels": list(labels),
        "temperature": temperature,
        "normalization": normalization_rules(encoder.tokenizer.lowercase),
        "word_pattern": encoder.tokenizer.word_pattern,
        "pad_id": PAD_ID,
        "unknown_id": UNKNOWN_ID,
        "max_length": limit,
        "head_length": limit if truncation == "head" else (limit + 1) // 2,
        "ngram_order": encoder.ngram_order,
        "architecture": {name: getattr(model, name) for name in _ARCHITECTURE},
    }


def model_card(trained: TrainedModel, format: str, weights: str, needs: str) -> str:
    """Formats the card of an exported classifier, in Markdown.

    Args:
        trained: the classifier.
        format: format of the export.
        weights: how its matrices are stored.
        needs: packages that the runner imports besides the standard library.
    """
    metadata = trained.metadata
    config, history = metadata.config, metadata.history
    model = config.model
    directions = "bidirectional" if model.bidirectional else "one direction"
    score = "none" if history.best_score is None else f"{history.best_score:.2%} accuracy"
    kind = {"ratios": "log-count ratios", "regression": "regression weights"}[model.ngram_weights]
    ngrams = f", {kind} of 1- to {model.ngram_order}-grams" if model.ngram_order else ""
    return f"""# Text classifier

Answers {", ".join(f"`{name}`" for name in metadata.label_names)}, with calibrated probabilities:

    pip install {needs}
    python run.py "Some text." "Another one."
    python run.py < one_text_a_line.txt
    python run.py --check

In Python: `from run import Model; Model().predict(["Some text."])`.

| | |
|---|---|
| format | {format}, weights stored as {weights} |
| architecture | {metadata.encoder.vocab_size:,} tokens ({config.tokenizer.kind}) x {
        model.embedding_size
    }{ngrams}; {model.cell.upper()}, {model.num_layers} x {model.hidden_size}, {
        directions
    }; pooling: {model.pooling} |
| trained on | `{config.data.source}`, checkpoint step {trained.step} |
| development part | {score} |
| temperature | {history.temperature:.3f}, fitted to the development part |
| reads | {config.data.max_length} tokens of a text ({config.data.truncation}) |

`model.json` describes normalisation, word pattern, cut, labels and architecture;
`tokenizer.model` is a SentencePiece model; `ngram_ratios.npz` holds the n-grams' weights by hash.

Scores and probabilities hold for texts like those it was trained on. A word that it does not know
is read as "unknown", whatever it says. Exported by lstm_flax {__version__}.
"""
