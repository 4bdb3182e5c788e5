"""Data named on the command line, with or without a recipe: `lstm-flax train mine.csv`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_flax.cli.arguments import Parser, given_path
from lstm_flax.config.files import built_in_configs, load_config
from lstm_flax.display import escaped
from lstm_flax.errors import UserError

if TYPE_CHECKING:
    from lstm_flax.config import Config


def add_data(parser: Parser) -> None:
    """Adds the data, `--test` and `--config`."""
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="texts of your own: a table (.csv, .tsv, .jsonl, .json, .parquet; .gz may follow) or "
        "a folder with a folder of texts per label, or with train and test of either kind; or a "
        "data set's name, such as hf:NAME",
    )
    parser.add_argument("--test", metavar="FILE", help="the test part; default: cut off DATA")
    parser.add_argument(
        "--config",
        help="a recipe: a configuration file, a run's config.json, or one of "
        + ", ".join(built_in_configs())
        + "; without one, everything is chosen from the training part",
    )


def config_of_data(arguments: argparse.Namespace, workdir: Path | None = None) -> "Config":
    """Makes the configuration that the command line asks for.

    Without `--config` it is chosen from the training part and described in a line on standard
    error; a run that has begun keeps its original choice.

    Args:
        arguments: the arguments of `add_data` and `add_overrides`.
        workdir: the run's folder, if there will be a run.

    Raises:
        UserError: no data is named, or it cannot be read.
    """
    from lstm_flax.checkpoints.folder import holds_checkpoint
    from lstm_flax.config import Config
    from lstm_flax.recipes.own_data import automatic_config, take_columns

    flags = [*_data_flags(arguments), *arguments.overrides]
    given = [flag.removeprefix("--config.").partition("=")[0] for flag in flags]
    if arguments.config is not None:
        values = load_config(arguments.config, flags)
        if arguments.data is not None and not arguments.config.endswith(".json"):
            take_columns(values, given)
        return Config.from_config_dict(values)
    if "data.source" not in given:
        raise UserError(
            "no data and no --config: name your texts, as in `lstm-flax "
            f"{arguments.command} mine.csv`, or a recipe with its data, as in --config=quickstart"
        )
    if workdir is not None and holds_checkpoint(workdir / "last"):
        return Config.from_config_dict(load_config(str(workdir / "config.json"), flags))
    config, reason = automatic_config(load_config(None, flags), given)
    print(escaped(f"chosen: {reason}"), file=sys.stderr)
    return config


def _data_flags(arguments: argparse.Namespace) -> Sequence[str]:
    """Returns the data as fields of the configuration."""
    if arguments.test is not None and arguments.data is None:
        raise UserError("--test: belongs to DATA; name the training part too, as in mine.csv")
    if arguments.data is None:
        return []
    named = ("--config.data.source=", "--config.data.train_path=")
    if twice := [flag for flag in arguments.overrides if flag.startswith(named)]:
        raise UserError(f"{twice[0]}: {arguments.data!r} names the data already; leave one out")
    tests = [flag for flag in arguments.overrides if flag.startswith("--config.data.test_path=")]
    if arguments.test is not None and tests:
        raise UserError(f"{tests[0]}: --test={arguments.test} names it already; leave one out")
    from lstm_flax.data.sources import SOURCE_NAMES
    from lstm_flax.data.sources.folders import parts_of
    from lstm_flax.data.sources.hugging_face import is_saved

    try:
        path = given_path(arguments.data)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"argument DATA: {error}") from error
    if not path.exists() and (":" in arguments.data or arguments.data in SOURCE_NAMES):
        flags = [f"--config.data.source={arguments.data}"]
    elif is_saved(path):
        flags = [f"--config.data.source=hf:{arguments.data}"]
    else:
        parts = parts_of(path) if path.is_dir() else {}
        places = {part: str(place) for part, place in parts.items()} or {"train": arguments.data}
        flags = ["--config.data.source=files"]
        flags += [f"--config.data.{part}_path={place}" for part, place in places.items()]
    if arguments.test is not None:
        flags.append(f"--config.data.test_path={arguments.test}")
    return flags
