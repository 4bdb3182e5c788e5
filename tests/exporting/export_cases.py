"""Untrained classifiers of several kinds, ready to export, and the process that runs an export."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.checkpoints.metadata import History, Metadata
from lstm_flax.checkpoints.restore import TrainedModel, build_model
from lstm_flax.config import Config
from lstm_flax.devices.sharding import data_mesh
from lstm_flax.inference.predictor import Predictor
from lstm_flax.models import init_params
from lstm_flax.text.encoder import TextEncoder
from tests.conftest import templated_texts

KINDS: dict[str, dict[str, Any]] = {
    "bilstm_ngrams": {"bidirectional": True, "pooling": "concat", "ngram_order": 2},
    "lstm_2_layers": {"num_layers": 2, "pooling": "last", "bidirectional": False},
    "gru": {"cell": "gru", "pooling": "attention", "bidirectional": False},
    "rnn": {"cell": "rnn", "pooling": "mean", "head": "sigmoid", "bidirectional": False},
    "votes": {"pooling": "last", "ngram_order": 2, "ngram_votes": True, "bidirectional": False},
    "sigmoid_votes": {
        "cell": "rnn",
        "pooling": "max",
        "head": "sigmoid",
        "ngram_order": 2,
        "ngram_votes": True,
        "bidirectional": False,
    },
}
# What only the model itself, as StableHLO, has.
STABLEHLO_KINDS: dict[str, dict[str, Any]] = {
    "merged": {"num_layers": 2, "direction_merge": "mean"},
    "sentences": {"hierarchy": "sentences", "sentence_length": 8, "pooling": "concat"},
}
DEEP_KINDS: dict[str, dict[str, Any]] = {
    f"deep_{cell}": {"cell": cell, "num_layers": 3, "bidirectional": True, "pooling": pooling}
    for cell, pooling in (("lstm", "max"), ("gru", "concat"), ("rnn", "attention"))
}
# Interpreters of environments that hold neither this package nor jax, by format, such as
# EXPORT_PYTHON="onnx=/venvs/onnx/bin/python torch=/venvs/torch/bin/python"; else this one.
PYTHONS = dict(pair.split("=", 1) for pair in os.environ.get("EXPORT_PYTHON", "").split())
# Prints the probabilities of the first B texts, in batches of B.
DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from run import Model
model = Model()
texts, sizes = json.load(sys.stdin)
print(json.dumps([model.predict(texts[:size], size).tolist() for size in sizes]))
assert not {"lstm_flax", *sys.argv[2:]} & set(sys.modules)
"""


def make_predictor(kind: str, **data: Any) -> Predictor:
    """A classifier with random parameters, as if restored from a checkpoint."""
    options = dict((KINDS | STABLEHLO_KINDS | DEEP_KINDS)[kind])
    order = options.pop("ngram_order", 0)
    records = templated_texts(60, seed=0)
    labels = [int(record["label"] == "pos") for record in records]
    encoder = TextEncoder.fit([record["text"] for record in records], labels, order)
    config = Config()
    data = {"max_length": 400, "bucket_widths": (416,), "batch_size": 64} | data
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **data),
        model=dataclasses.replace(
            config.model, embedding_size=6, hidden_size=5, ngram_order=order, **options
        ),
    )
    model = build_model(config, encoder, 2)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    # Biases too, which are zero at first.
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.7, a.shape), jnp.float32), shapes)
    metadata = Metadata(
        config, ("neg", "pos"), encoder, "", {"epoch": 0, "batch": 0}, History(temperature=1.3), {}
    )
    mesh = data_mesh(64)
    return Predictor(TrainedModel(model, params, metadata, Path("runs/untrained/7"), mesh))


def mixed_texts() -> list[str]:
    """64 texts of 1, 37, 400 and other numbers of words; one is longer than is read."""
    words = " ".join(record["text"] for record in templated_texts(60, seed=1)).split()
    rng = np.random.default_rng(2)
    lengths = [37, 1, 400, 437, *rng.integers(1, 120, 60)]
    return [" ".join(rng.choice(words, n)) for n in lengths]


def run_alone(
    folder: Path, texts: list[str], sizes: tuple[int, ...], block: str, python: str = sys.executable
) -> list[Any]:
    """Probabilities of the first B texts for each size B, by a process that cannot import `block`.

    Args:
        folder: of an export.
        texts: to classify.
        sizes: of the batches.
        block: packages with spaces between; `lstm_flax` is always blocked.
        python: the interpreter.
    """
    blocked = folder / "blocked"
    for name in ("lstm_flax", *block.split()):
        (blocked / name).mkdir(parents=True, exist_ok=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('{name} is blocked')\n")
    done = subprocess.run(
        [python, "-c", DRIVER, str(folder), *block.split()],
        input=json.dumps([texts, sizes]),
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(blocked), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
