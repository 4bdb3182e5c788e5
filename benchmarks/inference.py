"""Times prediction from text to label: start-up, one review, many reviews; ours and torch.

    python benchmarks/inference.py                       # an untrained model of configs/imdb.py
    python benchmarks/inference.py --workdir=runs/imdb   # a trained one
    python benchmarks/inference.py --token-cache=FOLDER  # if IMDB's texts are not available
    python benchmarks/inference.py --small               # a trial on made-up reviews

Ours is the package's `Predictor`. torch has the same weights, tokenizer and n-gram features, and
the batch size that is fastest here, with all reviews sorted by length and padded to the longest of
their batch; `flipped` keeps padding out of the backward direction by reversing rows within their
length, `packed` packs rows. Probabilities are compared before anything is timed. One review: the
sides take turns, review by review, with each shape compiled before. Many: ours and the faster way
of torch take turns, a fifth of the reviews at a time, covering all of them once. Start-up: see
`start_up.py`.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from measuring import HAS_TORCH, seconds_of, set_precision, start_report, summary, write_report
from reviews import imdb_config, review_texts
from start_up import measure_imports_and_predict, print_start_up

from lstm_flax import Predictor
from lstm_flax.checkpoints.folder import open_checkpoints
from lstm_flax.checkpoints.metadata import History, Metadata, describe_machine
from lstm_flax.checkpoints.restore import build_model, load_trained_model
from lstm_flax.config import Config
from lstm_flax.data.opening import open_dataset
from lstm_flax.devices.allocator import keep_freed_memory
from lstm_flax.errors import UserError
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.inference.prediction import Prediction
from lstm_flax.models import init_params
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.train_state import TrainState, make_key, to_trees
from lstm_flax.training.warm_start import fit_encoder

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05}  # for probabilities
_BATCH_SIZES = (32, 64, 128, 256)
_PARTS = 5

Classify = Callable[[Sequence[str]], list[Prediction]]


def write_untrained(config: Config, workdir: Path) -> None:
    """Writes a checkpoint of freshly drawn weights, otherwise complete."""
    dataset = open_dataset(config.data, config.tokenizer)
    names = dataset.label_names
    order = config.model.ngram_order
    encoder = fit_encoder(dataset.tokenizer, dataset.split("train"), names, order)
    model = build_model(config, encoder, len(names))
    optimizer = make_optimizer(config.optimizer, 1)
    params = jax.jit(lambda key: init_params(model, key))(make_key(0))
    average = config.training.ema_decay > 0
    state = TrainState.create(params, optimizer, make_key(1), average)
    metadata = Metadata(
        config=config,
        label_names=names,
        encoder=encoder,
        data_fingerprint=dataset.fingerprint,
        position={"epoch": 0, "batch": 0},
        history=History(),
        machine=describe_machine(),
    )
    folder = open_checkpoints(workdir, "best")
    folder.save(0, to_trees(state, MetricSums.zero()), metadata)
    folder.close()


def our_sides(workdir: Path) -> dict[str, Classify]:
    """Makes the side of the package's `Predictor`."""
    predictor = Predictor.from_checkpoint(workdir)
    return {"ours": lambda texts: list(predictor.predict_stream(texts))}


def torch_sides(
    workdir: Path, texts: Sequence[str]
) -> tuple[dict[str, Classify], dict[str, dict[int, float]]]:
    """Makes both exact ways of torch, each with the batch size that suits it best.

    For a bfloat16 model, one of them also runs in bfloat16.

    Returns:
        The sides; and for each, the seconds that these texts took, by batch size.
    """
    from torch_predictor import TorchPredictor

    trained = load_trained_model(workdir)
    exact = "flipped" if trained.metadata.config.model.bidirectional else "padded"
    sides: dict[str, Classify] = {}
    seconds = {}
    ways = [(exact, False), ("packed", False)]
    if trained.metadata.config.model.dtype == "bfloat16":
        ways.append((exact, True))
    for way, halves in ways:
        predictor = TorchPredictor(trained, way, halves)
        name = f"torch_{way}{'_bfloat16' if halves else ''}"
        predictor.predict(texts[:64], 64)  # torch's first steps are slow
        seconds[name] = times = {
            size: seconds_of(lambda size=size, p=predictor: p.predict(texts, size))
            for size in _BATCH_SIZES
        }
        best = min(times, key=times.__getitem__)
        sides[name] = lambda some, p=predictor, size=best: p.predict(some, size)
    return sides, seconds


def compare(sides: dict[str, Classify], texts: Sequence[str], tolerance: float) -> dict[str, float]:
    """Computes the largest difference of a probability from the first side's.

    Raises:
        SystemExit: a side answers something else.
    """
    found = {
        name: np.array([list(answer.probabilities.values()) for answer in classify(texts)])
        for name, classify in sides.items()
    }
    reference = next(iter(found.values()))
    differences = {name: float(np.abs(p - reference).max()) for name, p in found.items()}
    if not max(differences.values()) <= tolerance:
        raise SystemExit(f"the sides answer differently: {differences}")
    return differences


def measure_latency(
    sides: dict[str, Classify], texts: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Times one review at a time, in turn, after each review has run once."""
    for classify in sides.values():
        for text in texts:
            classify([text])
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for text in texts:
        for name, classify in sides.items():
            seconds[name].append(seconds_of(lambda c=classify, t=text: c([t])))
    return {
        name: summary(times) | {"percentile_95_seconds": float(np.percentile(times, 95))}
        for name, times in seconds.items()
    }


def measure_throughput(
    sides: dict[str, Classify], texts: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Times parts of the reviews in turn, each once, after a warm-up on 1,024 of all lengths."""
    by_length = sorted(texts, key=len)
    for classify in sides.values():
        classify(by_length[:: max(1, len(texts) // 1024)])
    parts = [texts[start::_PARTS] for start in range(_PARTS)]
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for part in parts:
        for name, classify in sides.items():
            seconds[name].append(seconds_of(lambda c=classify, p=part: c(p)))
    results = {}
    for name, times in seconds.items():
        rates = [len(part) / time for part, time in zip(parts, times, strict=True)]
        results[name] = {
            "seconds": sum(times),
            "reviews_per_second": statistics.median(rates),
            "slowest": min(rates),
            "fastest": max(rates),
        }
    return results


def print_tables(report: dict[str, Any]) -> None:
    """Prints latency and throughput."""
    print("\none review, text to label, milliseconds")
    print(f"  {'':16}{'median':>10}{'95th percentile':>18}{'differs':>10}")
    for name, row in report["one_review"].items():
        print(
            f"  {name:16}{row['median_seconds'] * 1e3:10.2f}"
            f"{row['percentile_95_seconds'] * 1e3:18.2f}{report['differences'][name]:10.0e}"
        )
    print(f"\n{report['reviews']:,} reviews, text to label")
    print(f"  {'':16}{'reviews/s':>10}{'spread':>16}{'seconds':>10}{'ours is':>10}")
    ours = report["many_reviews"]["ours"]["reviews_per_second"]
    for name, row in report["many_reviews"].items():
        spread = f"{row['slowest']:.0f} - {row['fastest']:.0f}"
        print(
            f"  {name:16}{row['reviews_per_second']:10.0f}{spread:>16}{row['seconds']:10.2f}"
            f"{ours / row['reviews_per_second']:8.2f} x",
            flush=True,
        )


def measure(
    arguments: argparse.Namespace, workdir: Path, texts: Sequence[str], report: dict[str, Any]
) -> None:
    """Fills in the report."""
    sides = our_sides(workdir)
    few = texts[: arguments.texts]
    many = dict(sides)
    if HAS_TORCH:
        others, found = torch_sides(workdir, texts[:1024])
        report["torch_seconds_by_batch_size"] = found
        sides |= others
        faster = min(found, key=lambda name: min(found[name].values()))
        many[faster] = others[faster]
    dtype = load_trained_model(workdir).metadata.config.model.dtype
    report["differences"] = compare(sides, few, TOLERANCE[dtype])
    report["reviews"] = len(texts)
    report["one_review"] = measure_latency(sides, few)
    report["many_reviews"] = measure_throughput(many, texts)
    print_tables(report)


def main() -> None:
    """Opens texts and model, compares, measures, prints, writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=Path, help="a trained run; default: an untrained one")
    parser.add_argument("--token-cache", type=Path, help="folder of encoded splits")
    parser.add_argument("--texts", type=int, default=200, help="reviews taken one by one")
    parser.add_argument("--reviews", type=int, default=25_000, help="reviews taken together")
    parser.add_argument("--rounds", type=int, default=3, help="of start-up")
    parser.add_argument("--torch-threads", type=int, default=0, help="default: one per core")
    parser.add_argument("--no-start-up", action="store_true", help="leave the processes out")
    parser.add_argument("--small", action="store_true", help="made-up reviews, a few of them")
    parser.add_argument("--json", type=Path, default=Path("inference.json"))
    arguments = parser.parse_args()
    if arguments.small:
        arguments.texts, arguments.reviews, arguments.rounds = 10, 100, 1
    keep_freed_memory()
    set_precision(full_float32=True)
    report = start_report(
        arguments.torch_threads, small=arguments.small, workdir=str(arguments.workdir)
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            made_up = Path(folder) / "texts" if arguments.small else None
            config = imdb_config(arguments.token_cache, made_up)
            texts = review_texts(config, arguments.reviews)
            texts = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]
            workdir = arguments.workdir or Path(folder) / "untrained"
            if arguments.workdir is None:
                write_untrained(config, workdir)
            measure(arguments, workdir, texts, report)
            write_report(arguments.json, report)
            if not arguments.no_start_up:
                found = measure_imports_and_predict(workdir, arguments.rounds)
                report["processes"] = found
                print_start_up(report)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    write_report(arguments.json, report)


if __name__ == "__main__":
    main()
