"""The command line: `lstm-flax train | evaluate | inspect | prepare | predict`.

A mistake the user can mend is one line on standard error and exit status 2; `--debug` shows where
it was raised. jax is imported by the commands that need it, so that help and mistakes come at once.
"""

import argparse
import dataclasses
import functools
import importlib.resources
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lstm_flax.allocator import keep_freed_memory
from lstm_flax.errors import UserError
from lstm_flax.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    keep_freed_memory()
    arguments, overrides = _parser().parse_known_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO)
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS and Orbax tell of every file
    logging.getLogger("jax").setLevel(logging.WARNING)  # it tells of every backend that is absent
    try:
        unknown = overrides
        if arguments.takes_config:
            unknown = [flag for flag in overrides if not flag.startswith("--config.")]
        if unknown:
            raise UserError(
                f"unknown argument {unknown[0]!r} (fields are set as --config.area.field=value); "
                f"`lstm-flax {arguments.command} --help` lists what there is"
            )
        status: int = arguments.run(arguments, overrides)
        return status
    except UserError as error:
        if arguments.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output left; nothing more to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="lstm-flax",
        description="LSTM text classification in JAX and Flax.",
        formatter_class=raw,
        epilog="example:\n  lstm-flax train --config=quickstart --workdir=runs/quickstart\n"
        "next:\n  lstm-flax COMMAND --help shows an example of each command",
    )
    parser.add_argument("--version", action="version", version=f"lstm-flax {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of a mistake")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_command = functools.partial(
        commands.add_parser, parents=[common], formatter_class=raw, allow_abbrev=False
    )

    train = add_command(
        "train",
        help="train, or continue a run, then evaluate it on the test split",
        epilog="example:\n  lstm-flax train --config=quickstart --workdir=runs/quickstart\n"
        "next:\n  lstm-flax predict --workdir=runs/quickstart 'What a film!'",
    )
    train.add_argument(
        "--config", required=True, help="a configuration file, or the name of one that is built in"
    )
    train.add_argument("--workdir", required=True, type=Path, help="folder of the run")
    _add_choice_of_checkpoint(train)
    train.add_argument(
        "--config.AREA.FIELD",
        metavar="VALUE",
        dest="override",
        help="change a field of the configuration, as in --config.model.hidden_size=256",
    )
    train.set_defaults(run=_train, takes_config=True)

    evaluate = add_command(
        "evaluate",
        help="score a checkpoint on a split",
        epilog="example:\n  lstm-flax evaluate --workdir=runs/imdb --split=development\n"
        "next:\n  lstm-flax predict --workdir=runs/imdb 'What a film!'",
    )
    evaluate.add_argument("--config", help="the run's configuration, to say where its data lies")
    evaluate.add_argument(
        "--workdir", required=True, type=Path, help="a run, or a checkpoint of it"
    )
    _add_choice_of_checkpoint(evaluate)
    evaluate.set_defaults(run=_evaluate, takes_config=True)

    inspect = add_command(
        "inspect",
        help="sizes, labels, lengths, duplicates and unknown tokens of the data, before training",
        epilog="example:\n  lstm-flax inspect --config=quickstart --config.data.source=files "
        "--config.data.train_path=mine.csv\n"
        "next:\n  lstm-flax train with the same flags, and --workdir=DIR",
    )
    inspect.add_argument("--config", required=True, help="as for train")
    inspect.set_defaults(run=_inspect, takes_config=True)

    prepare = add_command(
        "prepare",
        help="fetch the data, train the tokenizer and encode every split, ahead of training",
        epilog="example:\n  lstm-flax prepare --config=imdb\n"
        "next:\n  lstm-flax train --config=imdb --workdir=runs/imdb\n"
        "The folder it prints starts a training by itself, on another machine too:\n"
        "  lstm-flax train --config=imdb --workdir=DIR --config.data.token_cache=FOLDER",
    )
    prepare.add_argument("--config", required=True, help="as for train")
    prepare.set_defaults(run=_prepare, takes_config=True)

    predict = add_command(
        "predict",
        help="classify texts: one JSON object a text",
        epilog="examples:\n  lstm-flax predict --workdir=runs/imdb 'What a film!'\n"
        "  lstm-flax predict --workdir=runs/imdb --file=reviews.txt\n"
        "  cat reviews.txt | lstm-flax predict --workdir=runs/imdb\n"
        "next:\n  lstm-flax train ... --config.init_from=runs/imdb goes on from this run with\n"
        "  texts of your own",
    )
    predict.add_argument(
        "texts", nargs="*", metavar="TEXT", help="default: standard input, by line"
    )
    predict.add_argument("--file", type=Path, help="a file with one text a line")
    predict.add_argument("--workdir", required=True, type=Path, help="a run, or a checkpoint of it")
    predict.add_argument("--checkpoint", choices=("best", "last"), default="best")
    predict.set_defaults(run=_predict, takes_config=False)
    return parser


def _add_choice_of_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=("train", "development", "test"))
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")


def _train(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from lstm_flax.config import Config

    config = Config.from_config_dict(load_config(arguments.config, overrides))

    from lstm_flax.training.interruption import Interrupted
    from lstm_flax.training.train import train

    try:
        results = train(config, arguments.workdir, arguments.split, arguments.checkpoint)
    except Interrupted as stop:
        print(f"{stop}; the same command continues", file=sys.stderr)
        return 130
    print(json.dumps(results))
    return 0


def _evaluate(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from lstm_flax.config import Config, as_config_dict, refuse_changes
    from lstm_flax.training.progress import result_table, write_text
    from lstm_flax.training.trained_model import (
        default_split,
        evaluate_trained_model,
        load_trained_model,
    )

    trained = load_trained_model(arguments.workdir, arguments.checkpoint)
    saved = trained.metadata.config
    given = load_config(arguments.config, overrides, base=as_config_dict(saved))
    config = Config.from_config_dict(given)
    refuse_changes(saved, config, str(arguments.workdir))
    split = arguments.split or default_split(config)
    results = evaluate_trained_model(trained, config, split, show_progress=True)
    print(result_table(results))
    print(json.dumps(results))
    if (arguments.workdir / "config.json").exists():  # a run, not a copied checkpoint
        write_text(arguments.workdir / "results.json", json.dumps(results) + "\n")
    return 0


def _inspect(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from lstm_flax.config import Config
    from lstm_flax.data.dataset import open_dataset
    from lstm_flax.data.statistics import count_shared_texts, describe_split

    config = Config.from_config_dict(load_config(arguments.config, overrides))
    dataset = open_dataset(config)
    texts, records = {}, {}
    for name in dataset.splits:
        texts[name] = dataset.texts(name).texts
        figures = describe_split(
            dataset.split(name), texts[name], dataset.label_names, config.data.max_length
        )
        records[name] = dataclasses.asdict(figures)
        print(_describe(name, records[name]))
    shared = {f"{a} and {b}": n for (a, b), n in count_shared_texts(texts).items()}
    print("shared texts: " + ", ".join(f"{pair} {n}" for pair, n in shared.items()))
    print(json.dumps({"splits": records, "shared_texts": shared}, ensure_ascii=False))
    return 0


def _describe(name: str, figures: dict[str, Any]) -> str:
    """A split's figures as a person reads them, with a histogram of lengths."""
    labels = ", ".join(f"{label} {count:,}" for label, count in figures["label_counts"].items())
    shortest, median, most, longest = figures["length_quantiles"]
    lines = [
        f"{name}: {figures['examples']:,} texts; {labels}; {figures['duplicates']:,} duplicates",
        f"  tokens: {shortest} to {longest}, median {median}, nine in ten up to {most}; "
        f"{figures['unknown_rate']:.3%} unknown",
        f"  max_length cuts {figures['cut_texts']:.1%} of the texts, "
        f"{figures['cut_tokens']:.1%} of the tokens",
    ]
    largest = max(figures["length_histogram"].values())
    for bound, count in figures["length_histogram"].items():
        lines.append(f"  up to {bound:>6,} {'█' * round(40 * count / largest)} {count:,}")
    return "\n".join(lines)


def _prepare(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from lstm_flax.config import Config
    from lstm_flax.data.dataset import open_dataset

    dataset = open_dataset(Config.from_config_dict(load_config(arguments.config, overrides)))
    sizes = {name: len(dataset.split(name)) for name in dataset.splits}
    for name, size in sizes.items():
        print(f"  {name:<12} {size:>9,} texts")
    print(json.dumps({"folder": str(dataset.folder), "splits": sizes}))
    return 0


def _predict(arguments: argparse.Namespace, _: list[str]) -> int:
    from lstm_flax.inference.predictor import Predictor

    if arguments.texts and arguments.file:
        raise UserError("give texts or --file, not both")
    predictor = Predictor.from_checkpoint(arguments.workdir, arguments.checkpoint)
    lines = _input_texts(arguments)
    failed = False
    for record in predict_records(predictor, lines):
        failed |= "error" in record
        print(json.dumps(record, ensure_ascii=False))
    return 2 if failed else 0


def _input_texts(arguments: argparse.Namespace) -> Iterator[bytes]:
    """The texts to classify as the bytes they came in."""
    if arguments.texts:
        yield from map(os.fsencode, arguments.texts)
        return
    if arguments.file:
        try:
            source = arguments.file.open("rb")
        except OSError as error:
            raise UserError(f"{arguments.file}: {error.strerror}; name a readable file") from None
    else:
        source = sys.stdin.buffer
    with source:
        for line in source:
            yield line.rstrip(b"\r\n")


def predict_records(predictor: Any, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """One record a line, in order; a line that holds no text gets an `error` instead of a label.

    Args:
        predictor: a `Predictor`.
        lines: UTF-8 texts.
    """
    # Good texts flow through the predictor while the bad ones wait in line for their place.
    pending: list[dict[str, Any] | None] = []

    def good_texts() -> Iterator[str]:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                shown = line.decode("utf-8", errors="replace")
                reason = f"line {number} is not UTF-8 (byte {error.start}); save it as UTF-8"
                pending.append({"text": shown, "error": reason})
                continue
            if not text.strip():
                pending.append({"text": text, "error": f"line {number} is empty; leave it out"})
                continue
            pending.append(None)
            yield text

    for prediction in predictor.predict_stream(good_texts()):
        while (bad := pending.pop(0)) is not None:
            yield bad
        yield {
            "text": prediction.text,
            "label": prediction.label,
            "probabilities": prediction.probabilities,
        }
    yield from (bad for bad in pending if bad is not None)


def load_config(name: str | None, overrides: Sequence[str], base: Any = None) -> Any:
    """Reads a configuration and applies `--config.area.field=value` flags.

    Args:
        name: a file, or the name of a built-in configuration; None to start from `base`.
        overrides: the flags.
        base: the `ConfigDict` to override where no name is given.

    Returns:
        A locked `ConfigDict`.

    Raises:
        UserError: naming the file, field or value that is wrong.
    """
    from absl import flags
    from ml_collections import config_flags

    from lstm_flax.config import Config
    from lstm_flax.fields import check_path

    for flag in overrides:
        path, equals, _ = flag.removeprefix("--config.").partition("=")
        check_path(Config, path)
        if not equals:
            raise UserError(f"{flag}: needs a value; write {flag}=VALUE")
    values = flags.FlagValues()
    try:
        if name is None:
            argv = ["lstm-flax", *overrides]
            config_flags.DEFINE_config_dict("config", base, flag_values=values, sys_argv=argv)
        else:
            argv = ["lstm-flax", f"--config={find_config(name)}", *overrides]
            config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
        values(argv)
        return values.config
    except UserError:
        raise
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{reason}; lstm_flax/config.py documents every field") from None


def find_config(name: str) -> Path:
    """The file of a configuration: a path, or the name of one inside the package.

    Raises:
        UserError: listing the built-in names.
    """
    path = Path(name)
    if path.is_file():
        return path
    folder = Path(str(importlib.resources.files("lstm_flax.configs").joinpath("imdb.py"))).parent
    built_in = {file.stem: file for file in sorted(folder.glob("*.py")) if file.stem != "__init__"}
    if name in built_in:
        return built_in[name]
    raise UserError(
        f"--config={name}: no such file, nor a built-in configuration; built in are "
        + ", ".join(built_in)
    )
