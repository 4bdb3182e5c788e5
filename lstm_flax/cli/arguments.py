"""What several commands share: the parser, and arguments of one meaning everywhere.

A command's function takes the parsed arguments and returns the exit status. `overrides` among them
are the `--config.AREA.FIELD=VALUE` flags, none for a command that takes no configuration.
"""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeAlias

from lstm_flax.checkpoints.pretrained import SHIPPED
from lstm_flax.errors import UserError

DEFAULT_MODEL = "; default: the model that comes with the package"


def given_path(value: str) -> Path:
    """A path that was given; an empty one, such as an unset variable leaves, is a mistake."""
    if not value:
        raise argparse.ArgumentTypeError("is empty; give a path")
    return Path(value)


class Parser(argparse.ArgumentParser):
    """One whose complaints are one line, as every other mistake's."""

    def error(self, message: str) -> NoReturn:
        """Raises the complaint, for `main` to print."""
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
    """The parser of a new command, to add its arguments to.

    Args:
        commands: of the program.
        name: what the user types.
        run: what it does.
        help: its line in the list of commands.
        epilog: an example and what comes next, below its own help.
        log_level: what it logs on standard error.
    """
    parser = commands.add_parser(
        name,
        help=help,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of a mistake")
    parser.set_defaults(run=run, takes_config=False, log_level=log_level)
    return parser


def add_overrides(parser: Parser) -> None:
    """`--config.AREA.FIELD=VALUE`, any number of them."""
    parser.add_argument(
        "--config.AREA.FIELD=VALUE",
        metavar="",
        dest="override",
        help="change a field of the configuration, as in --config.model.hidden_size=256",
    )
    parser.set_defaults(takes_config=True)


def add_model(parser: Parser) -> None:
    """`--workdir`, which may be left out where the package holds a model."""
    parser.add_argument(
        "--workdir",
        type=given_path,
        help="a run, or a checkpoint of it" + (DEFAULT_MODEL if SHIPPED.is_dir() else ""),
    )


def add_split(parser: Parser) -> None:
    """`--split`."""
    parser.add_argument(
        "--split",
        choices=("train", "development", "test"),
        help="what to score; default: test (of a language model, development)",
    )


def add_checkpoint(parser: Parser) -> None:
    """`--checkpoint`."""
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        default="best",
        help="the best by development score (default), or the last",
    )
