"""Times an epoch of IMDB: ours, the loop of torch tutorials, and torch at its best.

    python benchmarks/epoch.py                        # IMDB as TFDS prepared it
    python benchmarks/epoch.py --token-cache=FOLDER   # from the output of `lstm-flax prepare`
    python benchmarks/epoch.py --whole                # whole epochs, on a fast machine
    python benchmarks/epoch.py --small                # a trial on made-up reviews

All sides use the same 25,000 labelled reviews as the same token ids, the first 250 of each, and the
model of common tutorials (embedding 128, two unidirectional LSTM layers of 256, one logit from the
last state, dropout 0.5 between all of them), with Adam in float32. Sides:

- `ours`: the package's train step, length buckets and batches of 64;
- `torch_tutorial`: random batches of 32, padded to the longest, packed, reading the loss each step;
- `torch_padded`: the same length buckets and batches of 64 as ours, not packed, nothing read;
- `torch_packed`: the same batches, packed, which suits cuDNN. Both use torch's fused Adam;
- `ours_bfloat16`, `torch_padded_bfloat16`: the same with products in bfloat16 (torch: autocast).

Before timing, loss and gradient of one batch are compared, with copied weights and dropout off.
Then the sides take turns, batch by batch, on a random sample of each side's epoch in which batches
of every width are represented. An epoch's seconds are the sum, over widths, of the median time
times the number of such batches; the spread uses the fastest and slowest time of each width. With
`--whole` the sides take turns by epoch, and batches are prefetched as each side would do it.
"""

import argparse
import dataclasses
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from epoch_sides import (
    HALF,
    LEARNING_RATE,
    SIDES,
    Ours,
    Side,
    Torch,
    make_side,
)
from measuring import HAS_TORCH, seconds_of, set_precision, start_report, summary, write_report
from reviews import imdb_config, labelled_reviews

from lstm_flax.config import Config, OptimizerConfig, TrainingConfig
from lstm_flax.data.batching import Batcher, PlannedBatch
from lstm_flax.data.opening import open_dataset
from lstm_flax.devices.allocator import keep_freed_memory
from lstm_flax.models import TextClassifier, init_params
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.training.train_state import make_key

_HALVES = 0.05  # relative to the largest entry: bfloat16 keeps 8 bits
_STRATUM = 32  # batches whose widths differ by less count as equal


def compare(
    names: Sequence[str],
    config: Config,
    split: TokenizedSplit,
    params: Any,
    vocab_size: int,
    tolerance: float,
) -> dict[str, dict[str, float]]:
    """Compares each side's loss and gradient on one batch, dropout off, with the first side's.

    Raises:
        SystemExit: a side computes something else.
    """
    rates = {"dropout": 0.0, "embedding_dropout": 0.0, "head_dropout": 0.0}
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, **rates))
    batcher = Batcher.from_config(split, None, config.data)
    batch = batcher.make(*batcher.plan(seed=0, epoch=0)[0])
    found: dict[str, tuple[float, np.ndarray]] = {}
    differences = {}
    for name in names:
        side = make_side(name, config, split, params, vocab_size)
        if not getattr(side, "is_exact", True):
            continue
        found[name] = loss, gradient = side.loss_and_gradient(batch)
        reference_loss, reference = next(iter(found.values()))
        differences[name] = {
            "loss": abs(loss - reference_loss) / abs(reference_loss),
            "gradient": float(np.abs(gradient - reference).max() / np.abs(reference).max()),
        }
        if not max(differences[name].values()) <= (_HALVES if name.endswith(HALF) else tolerance):
            raise SystemExit(f"{name} differs from {next(iter(found))}: {differences[name]}")
    return differences


def stratum(planned: PlannedBatch) -> int:
    """Returns the width class of a batch."""
    return -(-planned.width // _STRATUM) * _STRATUM


def draw_sample(
    plan: Sequence[PlannedBatch], count: int, rng: np.random.Generator
) -> list[PlannedBatch]:
    """Draws about `count` full batches in random order, at least two of each width."""
    full = max(len(batch.indices) for batch in plan)
    strata: dict[int, list[PlannedBatch]] = {}
    for batch in plan:
        strata.setdefault(stratum(batch), []).append(batch)
    sample = []
    for members in strata.values():
        whole = [batch for batch in members if len(batch.indices) == full] or members
        share = min(len(whole), max(2, round(count * len(members) / len(plan))))
        sample += [whole[i] for i in rng.choice(len(whole), share, replace=False)]
    return [sample[i] for i in rng.permutation(len(sample))]


def estimate_epoch(
    plan: Sequence[PlannedBatch], sample: Sequence[PlannedBatch], seconds: Sequence[float]
) -> dict[str, Any]:
    """Estimates an epoch's seconds from a sample: the sum over widths of number times median."""
    numbers = Counter(map(stratum, plan))
    times: dict[int, list[float]] = {}
    for batch, value in zip(sample, seconds, strict=True):
        times.setdefault(stratum(batch), []).append(value)
    widths = {width: summary(values) for width, values in times.items()}
    totals = {
        name: sum(numbers[width] * found[f"{name}_seconds"] for width, found in widths.items())
        for name in ("median", "fastest", "slowest")
    }
    return {f"{name}_seconds": total for name, total in totals.items()} | {
        "batches_timed": len(sample),
        "batches_of_epoch": len(plan),
        "widths": {str(w): {"batches": numbers[w]} | widths[w] for w in sorted(widths)},
    }


def time_sample(sides: dict[str, Side], count: int) -> dict[str, dict[str, Any]]:
    """Times the sides in turn, batch by batch."""
    rng = np.random.default_rng(0)
    samples = {name: draw_sample(side.plan, count, rng) for name, side in sides.items()}
    for name, side in sides.items():  # compilation, and torch's first steps
        side.run(list({stratum(batch): batch for batch in samples[name]}.values()))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(max(map(len, samples.values()))):
        for name, side in sides.items():
            if turn < len(samples[name]):
                one = [samples[name][turn]]
                seconds[name].append(seconds_of(lambda side=side, one=one: side.run(one)))
    return {
        name: estimate_epoch(side.plan, samples[name], seconds[name])
        for name, side in sides.items()
    }


def time_whole(sides: dict[str, Side], rounds: int) -> dict[str, dict[str, Any]]:
    """Times the sides in turn, epoch by epoch, after a batch of each width."""
    for side in sides.values():
        side.run(list({stratum(batch): batch for batch in side.plan}.values()))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            seconds[name].append(seconds_of(lambda side=side: side.run(side.plan)))
    return {
        name: summary(seconds[name])
        | {"batches_timed": len(side.plan), "batches_of_epoch": len(side.plan)}
        for name, side in sides.items()
    }


def model_config(arguments: argparse.Namespace, made_up: Path | None) -> Config:
    """Returns the tutorial's model, batches and optimizer as a configuration of the package."""
    base = imdb_config(arguments.token_cache, made_up)
    data = dataclasses.replace(
        base.data, max_length=arguments.max_length, truncation="head", batch_size=arguments.batch
    )
    model = dataclasses.replace(
        base.model,
        embedding_size=arguments.embedding,
        embedding_init="normal",
        ngram_order=0,
        hidden_size=arguments.hidden,
        num_layers=arguments.layers,
        bidirectional=arguments.bidirectional,
        pooling="last",
        head="sigmoid",
        embedding_dropout=arguments.dropout,
        dropout=arguments.dropout,
        head_dropout=arguments.dropout,
        word_dropout=0.0,
        implementation=arguments.implementation,
    )
    optimizer = OptimizerConfig(
        "adam", LEARNING_RATE, schedule="constant", weight_decay=0.0, clip_norm=0.0
    )
    training = TrainingConfig(epochs=1, ema_decay=0.0)
    return Config(
        data=data, tokenizer=base.tokenizer, model=model, optimizer=optimizer, training=training
    )


def print_table(report: dict[str, Any]) -> None:
    """Prints one row per side."""
    rows = report["sides"]
    ours = rows["ours"]["median_seconds"] if "ours" in rows else float("nan")
    print(f"\n  {'':22}{'seconds an epoch':>18}{'spread':>20}{'x ours':>8}   from")
    for name, row in rows.items():
        spread = f"{row['fastest_seconds']:.1f} - {row['slowest_seconds']:.1f}"
        print(
            f"  {name:22}{row['median_seconds']:18.1f}{spread:>20}"
            f"{row['median_seconds'] / ours:8.2f}   {row['batches_timed']} of "
            f"{row['batches_of_epoch']} batches"
        )
    if "part_of_time_waiting" in report:
        print(f"  ours waits for data {report['part_of_time_waiting']:.2%} of the time")


def main() -> None:
    """Opens the reviews, compares, measures, prints, writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--token-cache", type=Path, help="folder of encoded splits")
    parser.add_argument("--batches", type=int, default=40, help="sample of each side")
    parser.add_argument("--whole", action="store_true", help="whole epochs instead of a sample")
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each side with --whole")
    sizes = {"embedding": 128, "hidden": 256, "layers": 2, "max-length": 250, "batch": 64}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--implementation", default="auto")
    parser.add_argument("--sides", nargs="+", default=list(SIDES[:3]), choices=SIDES)
    parser.add_argument("--torch-threads", type=int, default=0, help="default: one per core")
    parser.add_argument("--tf32", action="store_true", help="on a GPU, on both sides")
    parser.add_argument("--plain-allocator", action="store_true", help="do not keep freed memory")
    parser.add_argument("--small", action="store_true", help="a tiny model on made-up reviews")
    parser.add_argument("--json", type=Path, default=Path("epoch.json"))
    arguments = parser.parse_args()
    if not arguments.plain_allocator:
        keep_freed_memory()
    if arguments.small:
        arguments.embedding = arguments.hidden = 8
        arguments.batches, arguments.rounds = 4, 1
    set_precision(full_float32=not arguments.tf32)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items()}
    report = start_report(**settings)
    names = [name for name in arguments.sides if name.startswith("ours") or HAS_TORCH]
    with tempfile.TemporaryDirectory() as folder:
        config = model_config(arguments, Path(folder) if arguments.small else None)
        dataset = open_dataset(config.data, config.tokenizer)
        split, vocab_size = labelled_reviews(dataset), dataset.tokenizer.vocab_size
    model = TextClassifier.from_config(config.model, vocab_size, 2)
    params = jax.jit(lambda key: init_params(model, key))(make_key(0))
    report["parameters"] = {"ours": sum(leaf.size for leaf in jax.tree.leaves(params))}
    tolerance = 0.05 if arguments.tf32 and jax.default_backend() == "gpu" else 1e-4
    report["differences"] = compare(names, config, split, params, vocab_size, tolerance)
    sides = {name: make_side(name, config, split, params, vocab_size) for name in names}
    for name, side in sides.items():
        if isinstance(side, Torch):  # torch has a second bias per gate
            report["parameters"][name] = sum(p.numel() for p in side.model.parameters())
    print(f"{len(split):,} reviews; parameters {report['parameters']}")
    print(f"compared: {report['differences']}", flush=True)
    if arguments.whole:
        report["sides"] = time_whole(sides, arguments.rounds)
    else:
        report["sides"] = time_sample(sides, arguments.batches)
    ours = sides.get("ours")
    if isinstance(ours, Ours):
        some = list(ours.plan[: len(ours.plan) if arguments.whole else arguments.batches])
        report["part_of_time_waiting"] = ours.part_of_time_waiting(some)
    print_table(report)
    write_report(arguments.json, report)


if __name__ == "__main__":
    main()
