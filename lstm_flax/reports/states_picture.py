"""The gates and cell states of a model over one text, as an SVG picture.

Tokens are text in the picture, so the viewer chooses the font and the writing direction, and
Arabic, Hebrew and Chinese look as they should.
"""

import math
import unicodedata

import numpy as np

from lstm_flax.inference.states import DirectionStates, States
from lstm_flax.reports.heat_map import heat_map, mixed_colour
from lstm_flax.reports.page import markup

_LEFT, _CELL, _ROW, _UNIT, _TOP = 96, 34, 20, 2.2, 26
_LEGEND = 590  # width in pixels
_LETTER = 7.2  # approximate width of a letter at 12 pixels; a full-width one counts twice
_LONGEST = 150  # pixels of a token: a row of unknown words is a single token
_SLANT = 50  # degrees
_NAMES = {"i": "input gate", "f": "forget gate", "o": "output gate", "r": "reset gate",
          "z": "update gate"}  # fmt: skip


def states_picture(states: States, title: str = "") -> str:
    """Draws one text: for each direction the gates' means and every unit's state, by token.

    Args:
        states: states of one text, from `Predictor.states`.
        title: title of the picture, plain text.

    Returns:
        An SVG document. Gates are means over the units, from 0 (white, closed) to 1 (blue, open).
        States are cell states (outputs, if there is no cell), orange below and blue above zero,
        relative to the largest in their direction. A token of spaces alone is shown as ␣.
    """
    count = len(states.tokens)
    right = _LEFT + _CELL * count
    shown = [_shortened(token.text.strip() or "␣") for token in states.tokens]
    places = [_LEFT + _CELL * (index + 0.5) for index in range(count)]
    slanted = math.ceil(max(map(_width, shown)) * math.sin(math.radians(_SLANT))) + 22
    reach = math.cos(math.radians(_SLANT))  # how far a token extends left, per pixel of its width
    start = min(
        0, *(math.floor(x - reach * _width(t)) - 6 for x, t in zip(places, shown, strict=True))
    )
    y, parts = float(_TOP), []
    for direction in states.directions:
        block, y = _draw_direction(direction, y, right)
        parts += block
        for x, token in zip(places, shown, strict=True):
            parts.append(
                f'<text x="{x:g}" y="{y + 12:g}" text-anchor="end" '
                f'transform="rotate({-_SLANT} {x:g} {y + 12:g})">{markup(token)}</text>'
            )
        y += slanted + 14
    height, width = y + 40, max(right + 90, _LEGEND) - start
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{start} 0 {width} {height:g}" '
            f'width="{width}" height="{height:g}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#222">',
            f"<title>{markup(title or 'gates and states')}</title>",
            f'<rect x="{start}" width="100%" height="100%" fill="white"/>',
            *parts,
            *_legend(y + 6),
            "</svg>\n",
        ]
    )


def _draw_direction(direction: DirectionStates, y: float, right: int) -> tuple[list[str], float]:
    """Draws the rows of one direction, and returns them with the y at which they end."""
    arrow = "→" if direction.direction == "forward" else "←"
    parts = [
        f'<text x="{_LEFT}" y="{y - 8:g}" font-weight="bold">layer {direction.layer + 1}, '
        f"{direction.direction} {arrow}</text>"
    ]
    for gate, values in direction.gates.items():
        if gate not in _NAMES:
            continue
        parts.append(_label(y + 14, _NAMES[gate]))
        for index, value in enumerate(values.mean(axis=1)):
            red, green, blue = mixed_colour(float(value))
            ink = "white" if value > 0.6 else "#222"
            x = _LEFT + _CELL * index
            parts.append(
                f'<rect x="{x}" y="{y:g}" width="{_CELL}" height="{_ROW}" '
                f'fill="rgb({red},{green},{blue})" stroke="white"/>'
                f'<text x="{x + _CELL / 2:g}" y="{y + 14:g}" text-anchor="middle" font-size="10" '
                f'fill="{ink}">{value:.2f}</text>'
            )
        y += _ROW
    state = direction.outputs if direction.cell is None else direction.cell
    largest = max(float(np.abs(state).max()), 1e-6)
    tall = _UNIT * state.shape[1]
    name = "output" if direction.cell is None else "cell state"
    parts += [
        _label(y + tall / 2, name),
        _label(y + tall / 2 + 14, f"{state.shape[1]} units"),
        f'<image x="{_LEFT}" y="{y + 3:g}" width="{right - _LEFT}" height="{tall:g}" '
        'preserveAspectRatio="none" style="image-rendering: pixelated" '
        f'href="{heat_map(state.T / largest, signed=True)}"/>',
        f'<text x="{right + 6}" y="{y + tall / 2:g}" font-size="11">up to {largest:.1f}</text>',
    ]
    return parts, y + tall + 8


def _label(y: float, content: str) -> str:
    return f'<text x="{_LEFT - 8}" y="{y:g}" text-anchor="end">{content}</text>'


def _legend(y: float) -> list[str]:
    parts = []
    for x, values, words in (
        (_LEFT, np.linspace(0, 1, 7), ("gate closed, 0", "open, 1")),
        (_LEFT + 250, np.linspace(-1, 1, 7), ("state negative", "positive")),
    ):
        for index, value in enumerate(values):
            red, green, blue = mixed_colour(float(value))
            parts.append(
                f'<rect x="{x + 86 + 12 * index}" y="{y:g}" width="12" height="12" '
                f'fill="rgb({red},{green},{blue})" stroke="#ccc" stroke-width="0.5"/>'
            )
        parts.append(f'<text x="{x + 82}" y="{y + 10:g}" text-anchor="end">{words[0]}</text>')
        parts.append(f'<text x="{x + 174}" y="{y + 10:g}">{words[1]}</text>')
    return parts


def _width(text: str) -> float:
    """Estimates the width of a text in pixels."""
    return _LETTER * sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _shortened(text: str) -> str:
    """Returns a text, or its beginning and an ellipsis if it is too long.

    >>> _shortened("film"), _shortened("x" * 60)
    ('film', 'xxxxxxxxxxxxxxxxxxx…')
    """
    if _width(text) <= _LONGEST:
        return text
    end = next(end for end in range(len(text)) if _width(text[: end + 2]) > _LONGEST)
    return text[:end] + "…"
