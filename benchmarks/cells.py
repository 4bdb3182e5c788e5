"""Compares RNN, GRU and LSTM in one configuration: accuracy, speed, and reach of gradients.

    python benchmarks/cells.py runs/tutorial_rnn runs/tutorial_gru runs/tutorial_packed

Prints a table and writes a JSON file, cells.json; `scripts/draw_tutorial.py` draws the one in
docs/results. The runs are finished ones of configs/tutorial_*.py: unidirectional stacks that read
out the last state.

The gradients are those of the trained model's loss with respect to h_t of its last layer, in
float64, over 32 reviews of the development part with at least 401 tokens, truncated to 401.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.data.opening import open_dataset
from lstm_flax.models import TextClassifier
from lstm_flax.models.classifier import CELLS
from lstm_flax.recurrent.cells import direction_name

TOKENS, ROWS = 401, 32
DISTANCES = (1, 10, 100, 400)


def gradient_norms(
    model: TextClassifier, params: Any, token_ids: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Computes the mean norm of dL/dh_t of the last layer over rows, by T - t, relative to T.

    A perturbation of zero is added to h at each step; the gradient with respect to it is dL/dh_t.

    Args:
        model: one direction, pooling `last`, without n-grams.
        params: its parameters.
        token_ids: i32[B, T], no padding.
        labels: i32[B].

    Returns:
        f64[T].
    """
    kind: Any = CELLS[model.cell]
    double = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
    cell = kind.cell_class(model.hidden_size, dtype=jnp.float64, param_dtype=jnp.float64)
    is_lstm = model.cell == "lstm"
    zeros = jnp.zeros((len(labels), model.hidden_size), jnp.float64)
    start = (zeros, zeros) if is_lstm else zeros

    def run(layer: int, x: jax.Array, nudges: jax.Array) -> tuple[jax.Array, jax.Array]:
        weights = double["recurrent"][direction_name(layer, 0)]

        def step(state: Any, at: Any) -> tuple[Any, jax.Array]:
            state, _ = cell.apply({"params": weights}, state, at[0])
            state = (state[0], state[1] + at[1]) if is_lstm else state + at[1]
            return state, state[1] if is_lstm else state

        state, outputs = jax.lax.scan(step, start, (x, nudges))
        return outputs, state[1] if is_lstm else state

    def loss(nudges: jax.Array) -> jax.Array:
        x = double["embedding"]["embedding"][token_ids].swapaxes(0, 1)
        for layer in range(model.num_layers - 1):
            x, _ = run(layer, x, jnp.zeros_like(nudges))
        _, last = run(model.num_layers - 1, x, nudges)
        logits = last @ double["head"]["kernel"] + double["head"]["bias"]
        return -jnp.sum(jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels])

    nudges = jnp.zeros((token_ids.shape[1], *zeros.shape), jnp.float64)
    gradient = jax.jit(jax.grad(loss))(nudges)
    norms = np.asarray(jnp.linalg.norm(gradient, axis=-1).mean(axis=1))[::-1]
    return norms / norms[0]


def measure(run: Path) -> dict[str, Any]:
    """Collects the results of a finished run, and its gradients."""
    results = json.loads((run / "results.json").read_text())
    trained = load_trained_model(run)
    config, model = trained.metadata.config, trained.model
    assert isinstance(model, TextClassifier)
    dataset = open_dataset(config.data, config.tokenizer, trained.metadata.encoder.tokenizer)
    split = dataset.split("development")
    long = np.flatnonzero(split.lengths >= TOKENS)[:ROWS]
    with jax.enable_x64(True):
        norms = gradient_norms(
            model,
            trained.params,
            np.stack([split[int(i)][:TOKENS] for i in long]),
            split.labels[long],
        )
    texts = len(dataset.split("train")) * config.training.epochs
    return {
        "cell": model.cell,
        "development_accuracy": results["development_accuracy"],
        "test_accuracy": results["accuracy"],
        "training_seconds": results["training_seconds"],
        "texts_per_second": round(texts / results["training_seconds"], 1),
        "gradient_norms": [float(f"{norm:.4g}") for norm in norms],
    }


def main() -> None:
    """Measures the given runs, writes the file, and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--json", type=Path, default=Path("cells.json"))
    arguments = parser.parse_args()
    records = [measure(run) for run in arguments.runs]
    lines = ",\n".join(json.dumps(record) for record in records)
    arguments.json.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    header = ["cell", "test", "development", "texts a second", *map(str, DISTANCES)]
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for record in records:
        norms = [f"{record['gradient_norms'][d]:.1e}" for d in DISTANCES]
        accuracies = [f"{record[k]:.2%}" for k in ("test_accuracy", "development_accuracy")]
        row = [record["cell"].upper(), *accuracies, str(record["texts_per_second"]), *norms]
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
