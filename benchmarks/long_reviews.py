"""Compares flat, truncated and hierarchical classifiers on IMDB, at 400 and at 2,000 tokens.

    python benchmarks/long_reviews.py --output=long_reviews.jsonl --folder=/tmp/long_reviews

Writes one JSON line per run: development and test accuracy, seconds of the training and of the
whole run, and memory: the process's peak, and what the compiled train step of the widest bucket
takes besides its arguments. Each run has its own process and finds the encoded reviews in the
cache. Runs with a line are not repeated; an interrupted run continues. `--examples` uses fewer
reviews for a trial; `--made_up` uses made-up ones for a trial in seconds.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from reviews import write_made_up_reviews
from train_case import whole_step

from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config, default_config
from lstm_flax.data.opening import open_dataset
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.models import TextClassifier
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.train import train
from lstm_flax.training.train_state import TrainState, make_key
from lstm_flax.types import Batch

CHOICES: dict[str, dict[str, Any]] = {
    "flat": {},
    "truncated": {"truncate_gradient_every": 100},
    "hierarchical": {"hierarchy": "sentences", "sentence_length": 50},
}
TOKENS = (400, 2000)


def config_of(choice: str, tokens: int, seed: int, examples: int, made_up: Path | None) -> Config:
    """Returns one bidirectional layer of 64 over words, trained for three epochs."""
    config = default_config()
    config.data.lowercase = True
    config.data.max_length = tokens
    config.data.train_examples = examples
    config.tokenizer.kind = "word"
    config.tokenizer.vocab_size = 20_000
    config.model.embedding_size = 64
    config.model.hidden_size = 64
    config.training.epochs = 3
    config.training.seed = seed
    for name, value in CHOICES[choice].items():
        config.model[name] = value
    if made_up is not None:
        config.data.source = "files"
        config.data.train_path = str(made_up / "train.jsonl")
        config.data.cache_dir = str(made_up / "cache")
        config.tokenizer.vocab_size = 40
        config.training.epochs = 1
    return Config.from_config_dict(config)


def step_memory(model: TextClassifier, config: Config) -> int:
    """Counts the bytes of the widest bucket's compiled train step, besides its arguments."""
    optimizer = make_optimizer(config.optimizer, 1_000)
    rows, width = (
        config.data.batch_size,
        min(width for width in config.data.bucket_widths if width >= config.data.max_length),
    )

    def create() -> tuple[TrainState, MetricSums]:
        token_ids, lengths = jnp.ones((1, 1), jnp.int32), jnp.ones(1, jnp.int32)
        params = model.init(make_key(0), token_ids, lengths)["params"]
        return TrainState.create(params, optimizer, make_key(1), average=True), MetricSums.zero()

    def of(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    batch = Batch(
        of((rows, width), jnp.int32),
        of((rows,), jnp.int32),
        of((rows,), jnp.int32),
        of((rows,), jnp.bool_),
    )
    step = jax.jit(whole_step(model, optimizer, config.training), donate_argnums=0)
    analysis = step.lower(jax.eval_shape(create), batch).compile().memory_analysis()
    return int(analysis.temp_size_in_bytes)


def run_one(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains, scores and measures in this process."""
    start = time.perf_counter()
    results = train(config, workdir, show_progress=False)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # before the step below
    trained = load_trained_model(workdir)
    assert isinstance(trained.model, TextClassifier)
    return {
        "development_accuracy": results["development_accuracy"],
        "test_accuracy": results["accuracy"],
        "training_seconds": results["training_seconds"],
        "seconds": round(seconds, 1),
        "peak_bytes": peak,
        "step_bytes": step_memory(trained.model, config),
        "width": min(w for w in config.data.bucket_widths if w >= config.data.max_length),
        "device": jax.devices()[0].device_kind,
    }


def main() -> None:
    """Runs whatever is not in the output yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="of the runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=0, help="training reviews; 0 for all")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--choices", nargs="+", default=list(CHOICES), choices=list(CHOICES))
    parser.add_argument("--made_up", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    made_up = arguments.folder / "made_up" if arguments.made_up else None
    if made_up is not None and not (made_up / "train.jsonl").exists():
        write_made_up_reviews(made_up / "train.jsonl", 600)

    for tokens in arguments.tokens:
        for choice in arguments.choices:
            key = {
                "choice": choice,
                "tokens": tokens,
                "seed": arguments.seed,
                "examples": arguments.examples,
                "made_up": arguments.made_up,
            }
            config = config_of(choice, tokens, arguments.seed, arguments.examples, made_up)
            if arguments.prepare:
                open_dataset(config.data, config.tokenizer).split("train")
                return
            if arguments.one:
                name = f"{choice}_{tokens}_{arguments.seed}_{arguments.examples}"
                print(json.dumps(key | run_one(config, arguments.folder / name)))
                return
            if key in (_key(line, key) for line in _lines(arguments.output)):
                continue
            for step in ("--prepare", "--one"):
                command = [
                    *(sys.executable, __file__, step, f"--tokens={tokens}", f"--choices={choice}"),
                    *(f"--output={arguments.output}", f"--folder={arguments.folder}"),
                    *(f"--seed={arguments.seed}", f"--examples={arguments.examples}"),
                    *(["--made_up"] if arguments.made_up else []),
                ]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            line = done.stdout.splitlines()[-1]
            with arguments.output.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            print(line, flush=True)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _key(line: dict[str, Any], key: dict[str, Any]) -> dict[str, Any]:
    return {name: line.get(name) for name in key}


if __name__ == "__main__":
    main()
