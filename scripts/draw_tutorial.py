"""Draws the pictures of docs/tutorial.md.

    python scripts/draw_tutorial.py            # writes docs/pictures/tutorial_*.svg

Uses the packaged model, random inputs with fixed seeds, and the measurements of
`benchmarks/cells.py`; takes 1 minute on one core.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.inference.predictor import Predictor
from lstm_flax.inference.reading import read_text
from lstm_flax.models.classifier import apply_classifier
from lstm_flax.recurrent.layers import GRU, LSTM, RNN
from lstm_flax.reports.figures import save
from lstm_flax.reports.states_picture import states_picture

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
REVIEW = "I expected to hate it, but it won me over."
OTHER_SCRIPTS = "a superb film! סרט טוב , فيلم رائع , 好电影 ."
BLUE, ORANGE, GREEN, GREY = "#0050b3", "#c85500", "#2a7a2a", "#888888"
STEPS, ROWS, SIZE = 400, 16, 64


def axes(count: int) -> tuple[Any, list[Any]]:
    """Makes panels side by side, together as wide as a page."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 3.7), layout="constrained")
    panels = [figure.add_subplot(1, count, k + 1) for k in range(count)]
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def padding_picture(predictor: Predictor) -> Any:
    """Draws the effect of padding on a layer and on an answer, with and without lengths."""
    figure, (left, right) = axes(2)
    length, width = 8, 24
    inputs = jax.random.normal(jax.random.key(0), (1, width, 4))
    inputs = inputs.at[:, length:].set(0)  # padding
    layer = LSTM(4)
    params = layer.init(jax.random.key(1), inputs)
    whole, _ = layer.apply(params, inputs)
    masked, (h_n, _) = layer.apply(params, inputs, jnp.array([length]))
    steps = np.arange(1, width + 1)
    left.axvspan(length + 0.5, width + 0.5, color="#f0f0f0")
    left.plot(steps, whole[0, :, 0], "o-", ms=3, color=ORANGE, label="without lengths")
    left.plot(steps, masked[0, :, 0], "o-", ms=3, color=BLUE, label="with lengths")
    left.axhline(float(h_n[0, 0, 0]), ls=":", color=BLUE)
    left.text(width, float(h_n[0, 0, 0]), "final state h_n ", color=BLUE, ha="right", va="bottom")
    left.set(
        xlabel="step (padding is grey)", ylabel="h, one of 4 units", title="one row of 8 tokens"
    )
    left.legend(frameon=False, loc="upper right")

    trained = predictor.trained
    encoder, data = trained.metadata.encoder, trained.metadata.config.data
    reading = read_text(REVIEW, encoder, data)
    count = len(reading.kept)
    extra = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]
    answers: dict[bool, list[float]] = {True: [], False: []}
    for padding in extra:
        wide = count + padding
        batch = reading.batch
        ids, features = (
            jnp.pad(a[:, :count], [(0, 0), (0, padding)] + [(0, 0)] * (a.ndim - 2))
            for a in (batch.token_ids, batch.token_features)
        )
        for told in (True, False):
            padded = batch._replace(
                token_ids=ids,
                token_features=features,
                lengths=jnp.array([count if told else wide]),
            )
            logits = apply_classifier(trained.model, trained.params, padded)
            answers[told].append(
                float(jax.nn.softmax(logits / trained.metadata.history.temperature)[0, 1])
            )
    places = np.arange(len(extra))
    right.plot(places, answers[False], "o-", color=ORANGE, label="without lengths")
    right.plot(places, answers[True], "o-", color=BLUE, label="with lengths")
    right.set_xticks(places, [str(n) for n in extra])
    right.set(xlabel="padding behind the text (tokens)", ylabel="probability of “pos”",
              ylim=(0.9, 1.01), title="the packaged model, one review")  # fmt: skip
    right.legend(frameon=False, loc="lower left")
    print(
        "probability of pos without lengths:",
        dict(zip(extra, np.round(answers[False], 3).tolist(), strict=True)),
    )
    print("with lengths:", np.round(answers[True], 4).tolist())
    return figure


def gradient_norms(kind: Any, forget_bias: float = 1.0, scale: float = 1.0) -> np.ndarray:
    """Computes the mean norm of dL/dh_t by the distance T - t from the loss, from 0 to T - 1.

    The loss is a random projection of the last state. It runs in float64: in float32 the smallest
    norms are zero.

    Args:
        kind: `LSTM`, `GRU` or `RNN`.
        forget_bias: forget bias of the LSTM.
        scale: scale of the RNN's recurrent kernel, which is orthogonal.
    """
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (STEPS, ROWS, SIZE), jnp.float64)
    layer = kind(SIZE, param_dtype=jnp.float64)
    params = layer.init(keys[1], x[:1].swapaxes(0, 1))["params"]["layers_0_forward"]
    if kind is LSTM:
        params = {**params, "hf": {**params["hf"], "bias": jnp.full(SIZE, forget_bias)}}
    if kind is RNN:
        params = {**params, "h": {"kernel": scale * params["h"]["kernel"]}}
    cell = kind.cell_class(SIZE, dtype=jnp.float64, param_dtype=jnp.float64)
    direction = jax.random.normal(keys[2], (ROWS, SIZE), jnp.float64)
    zeros = jnp.zeros((ROWS, SIZE), jnp.float64)

    def loss(nudges: jax.Array) -> jax.Array:
        def step(state: Any, at: Any) -> tuple[Any, None]:
            x_t, nudge = at
            state, _ = cell.apply({"params": params}, state, x_t)
            return ((state[0], state[1] + nudge) if kind is LSTM else state + nudge), None

        state, _ = jax.lax.scan(step, (zeros, zeros) if kind is LSTM else zeros, (x, nudges))
        return jnp.sum((state[1] if kind is LSTM else state) * direction)

    gradient = jax.jit(jax.grad(loss))(jnp.zeros((STEPS, ROWS, SIZE), jnp.float64))
    return np.asarray(jnp.linalg.norm(gradient, axis=-1).mean(axis=1))[::-1]


def gradient_picture() -> Any:
    """Draws the reach of gradients: cells and forget biases; an exploding kernel, and clipping."""
    figure, (left, right) = axes(2)
    distance = np.arange(0, STEPS, 5)
    for kind, bias, colour, style, name in (
        (RNN, 0.0, GREY, "-", "RNN"),
        (GRU, 0.0, GREEN, "-", "GRU"),
        (LSTM, 0.0, ORANGE, "-", "LSTM, forget bias 0"),
        (LSTM, 1.0, BLUE, "-", "LSTM, forget bias 1"),
        (LSTM, 3.0, BLUE, "--", "LSTM, forget bias 3"),
    ):
        norms = gradient_norms(kind, bias)
        norms = norms / norms[0]
        left.semilogy(distance, norms[distance], style, color=colour, label=name)
        print(name, {k: f"{norms[k]:.1e}" for k in (1, 10, 100, 399)})
    left.axhline(1.2e-38, ls=":", color="black", lw=1)
    left.text(398, 1e-39, "smallest normal float32", ha="right", va="top", fontsize=8)
    left.set(xlabel="distance from the loss, T - t (steps)", ylabel="|dL/dh_t| relative to t = T",
             title="vanishing: layers as they start", ylim=(1e-60, 1e4))  # fmt: skip
    left.legend(frameon=False, fontsize=8, loc="lower left")
    for scale, colour in ((2.0, ORANGE), (1.0, GREY)):
        norms = gradient_norms(RNN, scale=scale)
        norms = norms / norms[0]
        right.semilogy(distance, norms[distance], color=colour, label=f"RNN, kernel x {scale:g}")
        print(
            "scale",
            scale,
            {k: f"{norms[k]:.1e}" for k in (1, 10, 100, 399)},
            "largest",
            norms.max(),
        )
        if scale > 1:
            total = np.sqrt((norms**2).sum())
            right.semilogy(distance, norms[distance] / total, "--", color=ORANGE,
                           label=f"kernel x {scale:g}, clipped to norm 1")  # fmt: skip
    right.set(xlabel="distance from the loss, T - t (steps)", ylabel="|dL/dh_t| relative to t = T",
              title="exploding, and clipping", ylim=(1e-12, 1e9))  # fmt: skip
    right.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def cells_picture() -> Any:
    """Draws RNN, GRU and LSTM trained in one configuration: accuracy, speed, reach of gradients."""
    records = json.loads((PICTURES.parent / "results" / "cells.json").read_text())
    figure, (left, middle, right) = axes(3)
    for place, record in enumerate(records):
        colour = {"rnn": GREY, "gru": GREEN, "lstm": BLUE}[record["cell"]]
        for panel, value, text in (
            (left, 100 * record["test_accuracy"], f"{record['test_accuracy']:.1%}"),
            (middle, record["texts_per_second"], f"{record['texts_per_second']:.0f}"),
        ):
            panel.bar(place, value, color=colour, width=0.6)
            panel.text(place, value, text, ha="center", va="bottom")
        norms = record["gradient_norms"]
        right.semilogy(range(len(norms)), norms, color=colour, label=record["cell"].upper())
    for panel in (left, middle):
        panel.set_xticks(range(len(records)), [record["cell"].upper() for record in records])
    left.axhline(50, ls=":", color="black", lw=1)
    left.set(ylabel="test accuracy (%); 50 is a guess", ylim=(40, 100), title="5 epochs of IMDB")
    middle.set(ylabel="training texts a second", title="one core")
    right.set(xlabel="distance from the loss, T - t (steps)", ylabel="|dL/dh_t| relative to t = T",
              title="gradients, trained", ylim=(1e-30, 10))  # fmt: skip
    right.legend(frameon=False)
    return figure


def main() -> int:
    """Writes the pictures."""
    predictor = Predictor.from_checkpoint()
    for name, text in (("gates", REVIEW), ("scripts", OTHER_SCRIPTS)):
        picture = states_picture(predictor.states(text), title=text)
        (PICTURES / f"tutorial_{name}.svg").write_text(picture, encoding="utf-8")
    (PICTURES / "tutorial_padding.svg").write_bytes(save(padding_picture(predictor)))
    (PICTURES / "tutorial_cells.svg").write_bytes(save(cells_picture()))
    with jax.enable_x64(True):
        (PICTURES / "tutorial_gradients.svg").write_bytes(save(gradient_picture()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
