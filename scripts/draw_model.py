"""Draws a text's path through the classifier of `configs/imdb.py`, with the packaged model.

    python scripts/draw_model.py            # writes docs/pictures/model.svg

Shapes come from the configuration; token ids, ratios and probabilities from the packaged model.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_flax.checkpoints.pretrained import model_folder
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config
from lstm_flax.config.files import load_config
from lstm_flax.inference.predictor import Predictor

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "model.svg"
SENTENCE = "A slow start, but I loved every minute."

WIDTH, HEIGHT = 1160, 440
GREEN, ORANGE, BLUE, PURPLE = "#dcecdc", "#fbe6d4", "#dbe8f6", "#e8e3f3"
PADDING, EDGE, INK, PALE = "#f4f4f4", "#8a8a8a", "#222", "#666"
MONOSPACED = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Shown(NamedTuple):
    """The packaged model's answer, as shown in the picture.

    Attributes:
        pieces: pieces of the sentence.
        token_ids: ids of the pieces.
        ratios: f32[T, F], their naive-Bayes log-count ratios.
        probabilities: by label.
    """

    pieces: list[str]
    token_ids: list[int]
    ratios: np.ndarray
    probabilities: dict[str, float]


def ask_the_packaged_model() -> Shown:
    """Encodes and classifies the sentence."""
    trained = load_trained_model(model_folder(None))
    encoder = trained.metadata.encoder
    (ids,) = encoder.encode([SENTENCE])
    pieces = [piece.removeprefix("\u2581") for piece in encoder.tokenizer.pieces(ids)]
    split, places = encoder.encode_split([SENTENCE]), np.arange(len(ids))[None]
    ratios = encoder.token_features(split, np.array([0]), places, np.ones_like(places, bool))
    assert ratios is not None
    answer = Predictor(trained).predict([SENTENCE])[0]
    return Shown(pieces, ids.tolist(), ratios[0], answer.probabilities)


def text(
    x: float,
    y: float,
    content: str,
    size: float = 12,
    anchor: str = "middle",
    colour: str = INK,
    **more: str,
) -> str:
    """Draws a line of text."""
    attributes = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" '
        f'fill="{colour}"{attributes}>{content}</text>'
    )


def shape(x: float, y: float, content: str) -> str:
    """Draws a shape such as [B, T], in a monospaced font."""
    return text(x, y, content, 13, font_family=MONOSPACED, font_weight="bold")


def rectangle(
    x: float, y: float, width: float, height: float, colour: str, radius: float = 3
) -> str:
    """Draws a box with an outline."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" '
        f'fill="{colour}" stroke="{EDGE}"/>'
    )


def arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """Draws a straight arrow, horizontal or vertical."""
    if y == to_y:
        sign = 1 if to_x > x else -1
        head, end = f"l{-7 * sign} -4v8z", (to_x - 5 * sign, to_y)
    else:
        sign = 1 if to_y > y else -1
        head, end = f"l-4 {-7 * sign}h8z", (to_x, to_y - 5 * sign)
    return (
        f'<path d="M{x:g} {y:g}L{end[0]:g} {end[1]:g}" fill="none" stroke="#555" '
        f'stroke-width="1.5"/><path d="M{to_x:g} {to_y:g}{head}" fill="#555"/>'
    )


def block(x: float, y: float, width: float, height: float, colour: str) -> list[str]:
    """Draws a three-dimensional array: a sheet with others behind it."""
    sheets = [rectangle(x + 5 * k, y - 5 * k, width, height, colour) for k in (3, 2, 1, 0)]
    return sheets


def draw_pieces(shown: Shown) -> list[str]:
    """Draws the sentence and its pieces with their ids, along the top."""
    parts = [
        text(20, 34, "text", 14, "start", font_weight="bold"),
        rectangle(20, 48, 290, 44, "white", 8),
        text(165, 75, SENTENCE, 14, font_style="italic"),
        arrow(318, 70, 350, 70),
        text(358, 34, "pieces and their token ids", 14, "start", font_weight="bold"),
    ]
    x = 358.0
    for piece, token in zip(shown.pieces, shown.token_ids, strict=True):
        width = max(34.0, 9.0 * len(piece) + 14)
        parts += [
            rectangle(x, 48, width, 24, GREEN),
            text(x + width / 2, 64, piece, 13),
            rectangle(x, 72, width, 20, "white"),
            text(x + width / 2, 86, str(token), 11, font_family=MONOSPACED),
        ]
        x += width + 4
    return parts


def draw_batch(config: Config, shown: Shown) -> list[str]:
    """Draws the grid of a batch: rows of one bucket, padded on the right."""
    left, top, cell = 20.0, 190.0, 14.0
    lengths = (len(shown.token_ids), 8, 11, 9, 10)
    columns = 12
    data = config.data
    widest = next(width for width in data.bucket_widths if width >= data.max_length)
    parts = [text(left, 160, "bucket", 14, "start", font_weight="bold")]
    for row, length in enumerate(lengths):
        for column in range(columns):
            colour = (GREEN if row == 0 else "#eef5ee") if column < length else PADDING
            parts.append(
                rectangle(left + cell * column, top + 20 * row, cell, 20, colour, 0)
                if column < length
                else f'<rect x="{left + cell * column:g}" y="{top + 20 * row:g}" width="{cell:g}" '
                f'height="20" fill="{colour}" stroke="#d5d5d5"/>'
            )
    middle = left + cell * columns / 2
    narrow = ", ".join(str(width) for width in data.bucket_widths[:2])
    parts += [
        shape(middle, 318, f"[B={data.batch_size}, T]"),
        text(left, 340, "texts of similar length,", 13, "start", PALE),
        text(left, 357, f"padded to T = {narrow}, … {widest}", 13, "start", PALE),
        # from the pieces to the first row
        f'<path d="M380 98V108Q380 116 372 116H{middle + 8:g}Q{middle:g} 116 {middle:g} 124V180" '
        'fill="none" stroke="#5f9a5f" stroke-width="1.5" stroke-dasharray="4 3"/>'
        f'<path d="M{middle:g} 186l-4 -7h8z" fill="#5f9a5f"/>',
    ]
    return parts


def draw_inputs(config: Config, num_features: int) -> list[str]:
    """Draws the embeddings, and log-count ratios added to them."""
    left, width = 240.0, 130.0
    return [
        arrow(196, 240, 232, 240),
        text(
            left, 160, "embedding + naive-Bayes log-count ratios", 14, "start", font_weight="bold"
        ),
        *block(left, 195, width, 36, ORANGE),
        text(left + width / 2, 218, "embedding", 12),
        shape(left + width + 92, 214, f"[B, T, E={config.model.embedding_size}]"),
        text(left + width / 2, 249, "+", 18, font_weight="bold"),
        *block(left, 271, width, 26, ORANGE),
        text(left + width / 2, 288, "log-count ratios", 12),
        shape(left + width + 80, 286, f"[B, T, F={num_features}]"),
        text(left, 323, "of each piece and the", 13, "start", PALE),
        text(left, 340, "n-grams that end in it,", 13, "start", PALE),
        text(left, 357, "mapped to E by a matrix", 13, "start", PALE),
    ]


def draw_recurrent(config: Config) -> list[str]:
    """Draws the two directions as chains of cells."""
    left, cells, size, gap = 590.0, 5, 30.0, 14.0
    width = cells * size + (cells - 1) * gap
    parts = [
        arrow(535, 240, left - 10, 240),
        text(left, 160, "BiLSTM", 14, "start", font_weight="bold"),
    ]
    for index in range(cells):
        x = left + index * (size + gap)
        parts += [rectangle(x, 196, size, 32, BLUE), rectangle(x, 252, size, 32, BLUE)]
        if index + 1 < cells:
            parts += [
                arrow(x + size, 212, x + size + gap, 212),
                arrow(x + size + gap, 268, x + size, 268),
            ]
    size_both = 2 * config.model.hidden_size
    parts += [
        shape(left + width / 2, 318, f"[B, T, 2H={size_both}]"),
        text(left + width / 2, 340, "both directions;", 13, colour=PALE),
        text(left + width / 2, 357, "padding changes nothing", 13, colour=PALE),
    ]
    return parts


def draw_pooling_and_head(config: Config, shown: Shown) -> list[str]:
    """Draws one vector per text, then its logits and probabilities."""
    left, width = 836.0, 92.0
    pooled = 3 * 2 * config.model.hidden_size
    parts = [
        arrow(798, 240, left - 8, 240),
        text(left, 160, "pooling", 14, "start", font_weight="bold"),
    ]
    for index, name in enumerate(("last", "max", "mean")):
        y = 192.0 + 33 * index
        parts += [rectangle(left, y, width, 28, PURPLE), text(left + width / 2, y + 18, name, 12)]
    parts += [
        shape(left + width / 2, 318, f"[B, 3·2H={pooled}]"),
        text(left + width / 2, 340, "over the text's", 13, colour=PALE),
        text(left + width / 2, 357, "own steps alone", 13, colour=PALE),
        arrow(left + width + 8, 240, 968, 240),
        text(976, 160, "head", 14, "start", font_weight="bold"),
        rectangle(976, 216, 52, 48, PURPLE),
        text(1002, 244, "Dense", 12),
        shape(1002, 318, f"[B, C={len(shown.probabilities)}]"),
        text(1002, 340, "logits", 13, colour=PALE),
        arrow(1036, 240, 1062, 240),
        text(1070, 160, "answer", 14, "start", font_weight="bold"),
    ]
    for index, (label, probability) in enumerate(shown.probabilities.items()):
        y = 210.0 + 40 * index
        parts += [
            text(1070, y, f"{label} {probability:.2%}", 12, "start"),
            rectangle(1070, y + 5, 72, 10, "white", 2),
            f'<rect x="1070" y="{y + 5:g}" width="{72 * probability:.1f}" height="10" rx="2" '
            'fill="#5b8fc9"/>',
        ]
    return parts


def draw(config: Config, shown: Shown) -> str:
    """Draws the picture as SVG."""
    strongest = int(np.argmax(shown.ratios.max(axis=1)))
    starts = range(
        strongest, strongest - shown.ratios.shape[1], -1
    )  # of the n-grams that end there
    ratios = ", ".join(
        f"“{' '.join(shown.pieces[start : strongest + 1])}” {value:.2f}"
        for start, value in zip(starts, shown.ratios[strongest], strict=True)
        if start >= 0
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="Helvetica, Arial, sans-serif">',
        "<title>From a text to its label: pieces, bucket, embedding, BiLSTM, pooling, head</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *draw_pieces(shown),
        *draw_batch(config, shown),
        *draw_inputs(config, shown.ratios.shape[1]),
        *draw_recurrent(config),
        *draw_pooling_and_head(config, shown),
        text(
            WIDTH / 2,
            410,
            "Shapes of configs/imdb.py; ids, ratios and answer of the packaged model. "
            f"Log-count ratios: {ratios}.",
            13,
            colour=PALE,
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Writes the picture."""
    config = Config.from_config_dict(load_config("imdb", []))
    PICTURE.write_text(draw(config, ask_the_packaged_model()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
