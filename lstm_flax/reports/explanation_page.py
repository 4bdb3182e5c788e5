"""Explanations as one page: coloured words, and the recurrent layers' states at each token."""

from collections.abc import Sequence

import numpy as np

from lstm_flax.inference.explanation import Explanation, WordContribution
from lstm_flax.inference.states import DirectionStates, States
from lstm_flax.reports.heat_map import colours, heat_map
from lstm_flax.reports.page import markup, page, table

DETAILED = 5  # texts with a picture of each gate's units; the others show only the means
_LABELLED = 100  # up to this many tokens, each is always written over its column
_TOKEN = 13  # width of a token in the pictures, in pixels
_SHADES = 7  # for each sign
_GATES = {
    "i": "input gate", "f": "forget gate", "o": "output gate", "g": "candidate",
    "r": "reset gate", "z": "update gate", "n": "candidate",
}  # fmt: skip
_SIGNED = ("g", "n")


def explanation_page(
    explanations: Sequence[Explanation], states: Sequence[States] = (), title: str = "Why"
) -> str:
    """Makes the page of some explanations.

    Args:
        explanations: one per text.
        states: states of the same texts, in order; of all, of the first few, or of none.
        title: plain text.
    """
    parts = [
        '<p class="small">Blue words support the label, orange ones oppose it; the darker, the '
        "more. Contributions are to the log-odds of the label (integrated gradients). "
        "<em>Deleted</em>: by how much the log-odds fall when the word is deleted.</p>"
    ]
    for number, explanation in enumerate(explanations):
        parts.append(f"<section>{explanation_block(explanation)}")
        if number < len(states):
            parts.append(states_block(states[number], detailed=number < DETAILED))
        parts.append("</section>")
    return page(title, "\n".join(parts), shades_style())


def shades_style() -> str:
    """Returns the CSS rules that colour words."""
    palette = colours(signed=True)
    rules = []
    for k in range(1, _SHADES + 1):
        for sign, colour in (("p", palette[_SHADES + k]), ("n", palette[_SHADES - k])):
            ink = "#fff" if k >= _SHADES - 1 else "#000"
            rules.append(f".{sign}{k} {{ background: rgb{colour}; color: {ink}; }}")
    return "\n".join(rules) + (
        "\n.tokens { display: flex; }\n"
        f".tokens bdi {{ width: {_TOKEN}px; flex: none; height: 5.5em; overflow: hidden; "
        "writing-mode: vertical-rl; font-size: 11px; line-height: 13px; }\n"
    )


def explanation_block(explanation: Explanation) -> str:
    """Formats one text with coloured words, its answer, and its strongest words."""
    strongest: list[list[object]] = [
        [w.text, f"{w.contribution:+.2f}", f"{w.from_ngrams:+.2f}", _signed(w.occlusion)]
        for w in explanation.strongest()
    ]
    warnings = "".join(
        f"<p><strong>Warning:</strong> {markup(warning)}.</p>\n" for warning in explanation.warnings
    )
    return (
        f"<h2><bdi>{markup(explanation.label)}</bdi> {explanation.probability:.1%}</h2>\n"
        f'{warnings}<p class="text" dir="auto">{coloured_text(explanation)}</p>\n'
        + table(["strongest words", "contribution", "through n-grams", "deleted"], strongest)
        + f'\n<p class="small">log-odds {explanation.log_odds:+.2f}, of no input '
        f"{explanation.empty_log_odds:+.2f}; completeness error "
        f"{explanation.completeness_error:.2%} at {explanation.steps} steps; "
        f"{explanation.ngram_part:.0%} through n-gram features</p>"
    )


def coloured_text(explanation: Explanation) -> str:
    """Returns the text as markup, each word in the colour of its contribution."""
    largest = max((abs(word.contribution) for word in explanation.words), default=0.0)
    parts, done = [], 0
    for word in explanation.words:
        parts += [markup(explanation.text[done : word.start]), _coloured(word, largest)]
        done = word.end
    return "".join([*parts, markup(explanation.text[done:])])


def _coloured(word: WordContribution, largest: float) -> str:
    shade = round(_SHADES * abs(word.contribution) / largest) if largest > 0 else 0
    if shade == 0:
        return f"<bdi>{markup(word.text)}</bdi>"
    kind = f"{'p' if word.contribution > 0 else 'n'}{shade}"
    return f'<bdi class="{kind}" title="{word.contribution:+.2f}">{markup(word.text)}</bdi>'


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def states_block(states: States, detailed: bool) -> str:
    """Draws every gate and state, averaged over units, token by token; each unit if detailed."""
    parts = []
    if detailed or len(states.tokens) <= _LABELLED:
        tokens = "".join(f"<bdi>{markup(token.text)}</bdi>" for token in states.tokens)
        parts.append(f'<div class="tokens">{tokens}</div>')
    for direction in states.directions:
        name = f"layer {direction.layer + 1}, {direction.direction}"
        rows = _rows(direction)
        lines = [_GATES[gate] for gate in direction.gates] + [
            label for label, _, signed in rows if signed is None
        ]
        means = np.stack([_mean(values, signed) for _, values, signed in rows])
        parts.append(
            f'<p class="small">{name}; rows: {", ".join(lines)} (means over the units)</p>'
            + _picture(means, False, 14, f"means of {name}")
        )
        if detailed:
            for label, values, signed in rows:
                parts.append(
                    f'<p class="small">{name}: {label}, a row a unit</p>'
                    + _picture(_scaled(values), signed is not False, 3, f"{label} of {name}")
                )
    summary = "gates and states at each token"
    body = "\n".join(parts)
    return f'<details><summary>{summary}</summary><div class="scroll">{body}</div></details>'


def _rows(direction: DirectionStates) -> list[tuple[str, np.ndarray, bool | None]]:
    """Returns the rows of a picture: name, f32[T, H], and True if signed; None for states."""
    rows: list[tuple[str, np.ndarray, bool | None]] = [
        (_GATES[gate], values, gate in _SIGNED) for gate, values in direction.gates.items()
    ]
    if direction.cell is not None:
        rows.append(("size of the cell state", direction.cell, None))
    return [*rows, ("size of the output", direction.outputs, None)]


def _mean(values: np.ndarray, signed: bool | None) -> np.ndarray:
    """Computes means, f[T], from 0 to 1; for signed values, mean sizes relative to the largest."""
    if signed is False:
        return np.asarray(values.mean(axis=1))
    sizes = np.abs(values).mean(axis=1)
    return np.asarray(sizes / max(float(sizes.max()), 1e-6))


def _scaled(values: np.ndarray) -> np.ndarray:
    """Transposes to f[H, T] and, if the largest size is above 1, divides by it: from -1 to 1."""
    return np.asarray(values.T / max(float(np.abs(values).max()), 1.0))


def _picture(values: np.ndarray, signed: bool, row: int, alt: str) -> str:
    height, width = values.shape
    return (
        f'<img src="{heat_map(values, signed)}" width="{width * _TOKEN}" height="{height * row}" '
        f'alt="{markup(alt)}">'
    )
