"""The command line: train, evaluate, predict, generate, inspect, prepare, baselines.

A mistake the user can mend is one line on standard error and exit status 2; `--debug` shows where
it was raised. jax is imported by the commands that need it, so that help and mistakes come at once.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from lstm_flax.allocator import keep_freed_memory
from lstm_flax.config_files import built_in_configs, load_config
from lstm_flax.errors import UserError
from lstm_flax.inference.shipped import SHIPPED
from lstm_flax.version import __version__

DEFAULT_MODEL = "; default: the model that comes with the package"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    keep_freed_memory()
    words = sys.argv[1:] if argv is None else argv
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO)
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS and Orbax tell of every file
    logging.getLogger("jax").setLevel(logging.WARNING)  # it tells of every backend that is absent
    try:
        arguments, overrides = _parser().parse_known_args(words)
        unknown, hint = overrides, "texts that begin with - go after --"
        if arguments.takes_config:
            hint = "fields are set as --config.area.field=value"
            unknown = [flag for flag in overrides if not flag.startswith("--config.")]
        if unknown:
            raise UserError(
                f"unknown argument {unknown[0]!r} ({hint}); "
                f"`lstm-flax {arguments.command} --help` lists what there is"
            )
        status: int = arguments.run(arguments, overrides)
        return status
    except UserError as error:
        if "--debug" in words:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output left; nothing more to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Parser(argparse.ArgumentParser):
    """One whose complaints are one line, as every other mistake's."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; `{self.prog} --help` shows an example")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="lstm-flax",
        description="LSTM text classification in JAX and Flax.",
        formatter_class=raw,
        epilog="example:\n  lstm-flax train --config=quickstart --workdir=runs/quickstart\n"
        "  lstm-flax predict --workdir=runs/quickstart 'What a film!'\n"
        "next:\n  lstm-flax COMMAND --help shows an example of each command",
    )
    parser.add_argument("--version", action="version", version=f"lstm-flax {__version__}")
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of a mistake")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_command = functools.partial(
        commands.add_parser, parents=[common], formatter_class=raw, allow_abbrev=False
    )

    train = add_command(
        "train",
        help="train, or continue a run, then evaluate it on the test split",
        epilog="example:\n  lstm-flax train --config=quickstart --workdir=runs/quickstart\n"
        "  lstm-flax train --config=sentences --config.data.source=files \\\n"
        "      --config.data.train_path=mine.csv --workdir=runs/mine\n"
        "next:\n  lstm-flax predict --workdir=runs/quickstart 'What a film!'\n"
        "The same command again continues a run that was stopped.\n"
        "`python -m pydoc lstm_flax.config` documents every field.",
    )
    train.add_argument(
        "--config",
        required=True,
        help="a configuration file, a run's config.json, or one of "
        + ", ".join(built_in_configs()),
    )
    train.add_argument("--workdir", required=True, type=Path, help="folder of the run")
    _add_choice_of_checkpoint(train)
    _takes_config(train, _train)

    evaluate = add_command(
        "evaluate",
        help="score a checkpoint on a split",
        epilog="example:\n  lstm-flax evaluate --workdir=runs/imdb --split=development\n"
        "next:\n  lstm-flax predict --workdir=runs/imdb 'What a film!'",
    )
    evaluate.add_argument("--config", help="the run's configuration, to say where its data lies")
    _add_model(evaluate)
    _add_choice_of_checkpoint(evaluate)
    _takes_config(evaluate, _evaluate)

    inspect = add_command(
        "inspect",
        help="sizes, lengths, duplicates and unknown tokens of the data, and what looks wrong in "
        "its labels, before training",
        epilog="example:\n  lstm-flax inspect --config=sentences --config.data.source=files "
        "--config.data.train_path=mine.csv\n"
        "next:\n  lstm-flax train with the same flags, and --workdir=DIR",
    )
    inspect.add_argument("--config", required=True, help="as for train")
    _takes_config(inspect, _inspect)

    prepare = add_command(
        "prepare",
        help="fetch the data, train the tokenizer and encode every split, ahead of training",
        epilog="example:\n  lstm-flax prepare --config=imdb\n"
        "next:\n  lstm-flax train --config=imdb --workdir=runs/imdb\n"
        "The folder it prints starts a training by itself, on another machine too:\n"
        "  lstm-flax train --config=imdb --workdir=DIR --config.data.token_cache=FOLDER",
    )
    prepare.add_argument("--config", required=True, help="as for train")
    _takes_config(prepare, _prepare)

    baselines = add_command(
        "baselines",
        help="score two linear models on the splits of a configuration: the mark to beat",
        epilog="example:\n  lstm-flax baselines --config=imdb --workdir=runs/imdb\n"
        "next:\n  lstm-flax train with the same configuration",
    )
    baselines.add_argument("--config", required=True, help="as for train")
    baselines.add_argument(
        "--analyzer", choices=("word", "char"), default="word", help="char: for text without spaces"
    )
    baselines.add_argument(
        "--workdir", type=Path, help="a run whose last evaluation is printed beside them"
    )
    _takes_config(baselines, _baselines)

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
    predict.add_argument(
        "--file", help="plain text in UTF-8, one text a line, no table; - for standard input"
    )
    _add_model(predict)
    predict.add_argument("--checkpoint", choices=("best", "last"), default="best")
    predict.set_defaults(run=_predict, takes_config=False)

    generate = add_command(
        "generate",
        help="write texts with a language model: one a line",
        epilog="examples:\n  lstm-flax generate runs/imdb_pretrain --prompt='This film' --count=3\n"
        "  lstm-flax generate runs/imdb_pretrain --temperature=0.8 --top_p=0.95 --seed=1\n"
        "next:\n  lstm-flax train --config=imdb_finetune --config.init_from=runs/imdb_pretrain "
        "--workdir=DIR\n  trains a classifier from the same weights",
    )
    generate.add_argument(
        "folder", type=Path, metavar="DIR", help="a language model's run, or a checkpoint of it"
    )
    generate.add_argument("--prompt", default="", help="what each text begins with")
    generate.add_argument("--count", type=int, default=1, help="how many texts (1)")
    generate.add_argument(
        "--max_tokens", type=int, default=200, help="longest continuation of the prompt (200)"
    )
    generate.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 for more probable tokens (1)"
    )
    generate.add_argument(
        "--top_p", type=float, default=1.0, help="draw from the most probable tokens alone (1)"
    )
    generate.add_argument("--seed", type=int, default=0, help="other seeds, other texts (0)")
    generate.add_argument("--checkpoint", choices=("best", "last"), default="best")
    generate.set_defaults(run=_generate, takes_config=False)
    return parser


def _takes_config(parser: argparse.ArgumentParser, run: Callable[..., int]) -> None:
    parser.add_argument(
        "--config.AREA.FIELD=VALUE",
        metavar="",
        dest="override",
        help="change a field of the configuration, as in --config.model.hidden_size=256",
    )
    parser.set_defaults(run=run, takes_config=True)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workdir",
        type=Path,
        help="a run, or a checkpoint of it" + (DEFAULT_MODEL if SHIPPED.is_dir() else ""),
    )


def _add_choice_of_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=("train", "development", "test"), help="what to score")
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), default="best", help="of a run's two kinds"
    )


def _train(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from lstm_flax.config import Config

    config = Config.from_config_dict(load_config(arguments.config, overrides))

    from lstm_flax.training.compilation import keep_compiled_programs
    from lstm_flax.training.interruption import Interrupted
    from lstm_flax.training.train import train

    keep_compiled_programs()
    try:
        results = train(config, arguments.workdir, arguments.split, arguments.checkpoint)
    except Interrupted as stop:
        print(f"{stop}; the same command continues", file=sys.stderr)
        return 130
    print(json.dumps(results))
    return 0


def _evaluate(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from lstm_flax.config import Config, as_config_dict, data_places, refuse_changes
    from lstm_flax.inference.shipped import model_folder
    from lstm_flax.training.compilation import keep_compiled_programs
    from lstm_flax.training.progress import result_table, write_text
    from lstm_flax.training.scoring import default_split, evaluate_trained_model
    from lstm_flax.training.trained_model import load_trained_model

    keep_compiled_programs()
    workdir = model_folder(arguments.workdir)
    trained = load_trained_model(workdir, arguments.checkpoint)
    saved = trained.metadata.config
    given = load_config(arguments.config, overrides, base=as_config_dict(saved))
    config = Config.from_config_dict(given)
    advice = (
        "a model is evaluated as it was trained: leave that field out; what may differ is where "
        f"the data lies, config.data.{', '.join(data_places())}"
    )
    refuse_changes(saved, config, str(workdir), advice)
    split = arguments.split or default_split(config)
    results = evaluate_trained_model(trained, config, split, show_progress=True)
    print(result_table(results))
    print(json.dumps(results))
    if (workdir / "config.json").exists():  # a run, not a copied checkpoint
        write_text(workdir / "results.json", json.dumps(results) + "\n")
    return 0


def _inspect(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from lstm_flax.config import Config
    from lstm_flax.data.dataset import open_dataset
    from lstm_flax.data.statistics import count_shared_texts, describe_split, find_doubts

    config = Config.from_config_dict(load_config(arguments.config, overrides))
    dataset = open_dataset(config)
    examples = {name: dataset.texts(name) for name in dataset.splits}
    texts = {name: part.texts for name, part in examples.items()}
    records = {}
    for name in dataset.splits:
        figures = describe_split(
            dataset.split(name), texts[name], dataset.label_names, config.data.max_length
        )
        records[name] = dataclasses.asdict(figures)
        print(figures.summary(name))
    shared = {f"{a} and {b}": n for (a, b), n in count_shared_texts(texts).items()}
    print("shared texts: " + ", ".join(f"{pair} {n}" for pair, n in shared.items()))
    doubts = find_doubts(examples)
    for doubt in doubts:
        print(f"warning: {doubt}")
    record = {"splits": records, "shared_texts": shared, "warnings": doubts}
    print(json.dumps(record, ensure_ascii=False))
    return 0


def _prepare(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from lstm_flax.config import Config
    from lstm_flax.data.dataset import open_dataset

    dataset = open_dataset(Config.from_config_dict(load_config(arguments.config, overrides)))
    sizes = {name: len(dataset.split(name)) for name in dataset.splits}
    for name, size in sizes.items():
        print(f"  {name:<12} {size:>9,} texts")
    print(json.dumps({"folder": str(dataset.folder), "splits": sizes}))
    return 0


def _baselines(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from lstm_flax.config import Config
    from lstm_flax.data.examples import load_splits
    from lstm_flax.inference.baselines import comparison_table, score_baselines

    config = Config.from_config_dict(load_config(arguments.config, overrides))
    beside = []
    if arguments.workdir is not None:
        path = arguments.workdir / "results.json"
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
            beside = [(f"{arguments.workdir}, {results['split']}", results["accuracy"])]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{path}: no accuracy to read; run `lstm-flax evaluate` on a classifier's run first"
            ) from error
    scores = score_baselines(*load_splits(config.data), arguments.analyzer)
    print(comparison_table(scores, beside))
    print(json.dumps(scores))
    return 0


def _predict(arguments: argparse.Namespace, _: list[str]) -> int:
    from lstm_flax.inference.lines import open_lines, predict_lines

    if arguments.texts and arguments.file is not None:
        raise UserError("give texts or --file, not both")
    with contextlib.ExitStack() as stack:
        lines: Iterable[bytes]
        if arguments.texts:
            lines = map(os.fsencode, arguments.texts)
        elif arguments.file not in (None, "-"):
            lines = stack.enter_context(open_lines(Path(arguments.file)))
        elif sys.stdin is None:
            raise UserError("no texts, no --file, and standard input is closed; give one of them")
        else:
            # Not sys.stdin.buffer, whose lock the reading thread would hold when Python ends; and
            # no `with` (SIM115), since standard input is not ours to close.
            lines = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
            if sys.stdin.isatty():
                print("one text a line, please; Ctrl-D ends", file=sys.stderr)

        # Only now, so that a mistake in what was given is told at once.
        from lstm_flax.inference.predictor import Predictor
        from lstm_flax.inference.shipped import model_folder
        from lstm_flax.training.compilation import keep_compiled_programs

        keep_compiled_programs()
        predictor = Predictor.from_checkpoint(model_folder(arguments.workdir), arguments.checkpoint)
        failed = False
        for records in predict_lines(predictor, lines, "text" if arguments.texts else "line"):
            for record in records:
                failed |= "error" in record
                print(json.dumps(record, ensure_ascii=False))
            sys.stdout.flush()
    return 2 if failed else 0


def _generate(arguments: argparse.Namespace, _: list[str]) -> int:
    from lstm_flax.inference.generator import Generator
    from lstm_flax.training.compilation import keep_compiled_programs

    keep_compiled_programs()
    generator = Generator.from_checkpoint(arguments.folder, arguments.checkpoint)
    texts = generator.generate(
        arguments.prompt,
        arguments.count,
        arguments.max_tokens,
        arguments.temperature,
        arguments.top_p,
        arguments.seed,
    )
    for text in texts:
        print(text)
    return 0
