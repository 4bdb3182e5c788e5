"""The parser, and the arguments shared by several commands.

A command's function takes the parsed arguments and returns the exit status. `overrides` among them
are the `--config.AREA.FIELD=VALUE` flags, empty for a command that takes no configuration.
"""

import argparse
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from lstm_flax.checkpoints.pretrained import SHIPPED, SHIPPED_DESCRIPTION, model_folder
from lstm_flax.errors import UserError
from lstm_flax.files import expanded

DEFAULT_MODEL = "; default: the model that comes with the package"


def given_path(value: str) -> Path:
    """Expands `~` in a path; an empty path, as from an unset variable, is a mistake.

    So is an address: `gs://bucket/run` would otherwise be a local folder `gs:`.
    """
    if not value:
        raise argparse.ArgumentTypeError("is empty; give a path")
    if re.match(r"[a-z][a-z0-9+.-]+://", value, re.IGNORECASE):
        raise argparse.ArgumentTypeError(
            f"{value} is an address, not a path on a file system; mount it as a folder, or copy "
            "what is there"
        )
    try:
        return expanded(value)
    except UserError as error:  # argparse would hide its message, like that of any ValueError
        raise argparse.ArgumentTypeError(str(error)) from error


def chosen_model(workdir: Path | None) -> Path:
    """Returns the folder of the model to use; says on standard error if it is the packaged one.

    Raises:
        UserError: none is given, and this package contains no model.
    """
    folder = model_folder(workdir)
    if workdir is None:
        print(SHIPPED_DESCRIPTION, file=sys.stderr)
    return folder


def join_values(words: Sequence[str]) -> list[str]:
    """Joins `--config.area.field VALUE`, two words, into one with an equals sign.

    A word that begins with a dash is not a value unless it is a number. Words after `--` stay.

    >>> join_values(["train", "--config.training.seed", "-1", "--config.data.lowercase", "--debug"])
    ['train', '--config.training.seed=-1', '--config.data.lowercase', '--debug']
    """
    joined: list[str] = []
    for index, word in enumerate(words):
        before = joined[-1] if joined else ""
        if before == "--":
            return joined + list(words[index:])
        waiting = before.startswith("--config.") and "=" not in before
        if waiting and not re.match(r"-(?!\.?\d)", word):
            joined[-1] = f"{before}={word}"
        else:
            joined.append(word)
    return joined


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that reports errors as a one-line `UserError`."""

    def error(self, message: str) -> NoReturn:
        """Raises the error, for `main` to print."""
        raise UserError(f"{message}; `{self.prog} --help` shows an example")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # generic for type checkers alone


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    help: str,
    epilog: str,
    log_level: int = logging.INFO,
) -> Parser:
    """Makes the parser of a new command, to add its arguments to.

    Args:
        commands: the program's commands.
        name: the word that the user types.
        run: the command's function.
        help: its line in the list of commands.
        epilog: an example and next steps, shown below its own help.
        log_level: messages of this level and above go to standard error.
    """
    parser = commands.add_parser(
        name,
        help=help,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run, takes_config=False, log_level=log_level)
    return parser


def add_overrides(parser: Parser) -> None:
    """Adds `--config.AREA.FIELD=VALUE`, which may be repeated."""
    parser.add_argument(
        "--config.AREA.FIELD=VALUE",
        metavar="",
        dest="override",
        help="change a field of the configuration, for example --config.model.hidden_size=256",
    )
    parser.set_defaults(takes_config=True)


def add_place_of_data(parser: Parser) -> None:
    """Adds `--config` and its fields, for a command on the data of a model."""
    parser.add_argument(
        "--config",
        help="the run's config.json, or a configuration like it, to say where its data is; the "
        "paths that a checkpoint names are not read",
    )
    add_overrides(parser)


def add_model(parser: Parser) -> None:
    """Adds `--workdir`, which is optional if the package contains a model."""
    parser.add_argument(
        "--workdir",
        type=given_path,
        help="a run, or a checkpoint of it" + (DEFAULT_MODEL if SHIPPED.is_dir() else ""),
    )


def add_processes(parser: Parser) -> None:
    """Adds the arguments that join several processes, named as in `jax.distributed.initialize`."""
    group = parser.add_argument_group(
        "several processes", "detected under srun and mpirun; see docs/scaling.md"
    )
    group.add_argument(
        "--coordinator",
        help="HOST:PORT of the first process, the same for all; auto: as jax finds it",
    )
    group.add_argument("--num_processes", type=int, help="how many; 1 runs this one alone")
    group.add_argument("--process_id", type=int, help="number of this process, from 0")


def add_split(parser: Parser) -> None:
    """Adds `--split`."""
    parser.add_argument(
        "--split",
        choices=("train", "development", "test"),
        help="the part to score; default: test (for a language model, development)",
    )


def add_checkpoint(parser: Parser) -> None:
    """Adds `--checkpoint`."""
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        default="best",
        help="the best by development score (default), or the last",
    )
