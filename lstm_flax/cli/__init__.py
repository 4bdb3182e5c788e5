"""The command line: one file a command, with its arguments, its help and what it does.

A mistake the user can mend is one line on standard error and exit status 2; `--debug` shows where
it was raised. jax is imported by the commands that need it, so that help and mistakes come at once.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from lstm_flax.cli import baselines, evaluate, fields, generate, inspect, predict, prepare, train
from lstm_flax.cli.arguments import Parser
from lstm_flax.devices.allocator import keep_freed_memory
from lstm_flax.errors import UserError
from lstm_flax.version import __version__

_INTERRUPTED = 130  # as a shell has it: 128 and SIGINT's number

__all__ = ["main", "program"]


def program(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs one command as a program of its own, which ends with it."""
    status = main(argv)
    if status == _INTERRUPTED:  # XLA may still compile, and crash a Python that takes itself apart
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    keep_freed_memory()
    words = sys.argv[1:] if argv is None else argv
    if not words:
        _parser().print_help(sys.stderr)
        return 2
    try:
        arguments, overrides = _parser().parse_known_args(words)
        _refuse_unknown(arguments, overrides, words)
        arguments.overrides = overrides
        logging.basicConfig(format="%(levelname)s: %(message)s", level=arguments.log_level)
        # TFDS and Orbax tell of every file, and of an error on many lines before they raise it.
        for name in ("absl", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        logging.getLogger("jax").setLevel(logging.WARNING)  # it tells of every backend it lacks
        status: int = arguments.run(arguments)
        return status
    except UserError as error:
        if "--debug" in words:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output left; nothing more to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder that was removed: where nobody expected it
        if "--debug" in words:
            raise
        where = "the output" if error.filename is None else error.filename
        print(f"error: {where}: {error.strerror}; --debug shows where it happened", file=sys.stderr)
        return 2


def _refuse_unknown(
    arguments: argparse.Namespace, overrides: Sequence[str], words: Sequence[str]
) -> None:
    """Makes sure that the parser left nothing but fields over, and them only where they are taken.

    Args:
        arguments: what it understood.
        overrides: what it did not.
        words: all that was typed.

    Raises:
        UserError: naming the first that is unknown, with what may have been meant.
    """
    fields_taken = arguments.takes_config
    unknown = [word for word in overrides if not (fields_taken and word.startswith("--config."))]
    if not unknown:
        return
    word, before = unknown[0], words[words.index(unknown[0]) - 1]
    if before.startswith("--config.") and "=" not in before:
        hint = f"write {before}={word}"
    elif word.startswith("-"):
        hint = "texts that begin with - go after --"
        if fields_taken:
            hint = "fields are set as --config.area.field=value"
    else:
        hint = "a run is named with --workdir=DIR" if fields_taken else "it is one too many"
    raise UserError(
        f"unknown argument {word!r} ({hint}); "
        f"`lstm-flax {arguments.command} --help` lists what there is"
    )


def _parser() -> Parser:
    parser = Parser(
        prog="lstm-flax",
        description="LSTM text classification in JAX and Flax.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  lstm-flax train --config=quickstart --workdir=runs/quickstart\n"
        "  lstm-flax predict --workdir=runs/quickstart 'What a film!'\n"
        "next:\n  lstm-flax COMMAND --help shows an example of each command",
    )
    parser.add_argument("--version", action="version", version=f"lstm-flax {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train.add_to(commands)
    evaluate.add_to(commands)
    inspect.add_to(commands)
    prepare.add_to(commands)
    baselines.add_to(commands)
    predict.add_to(commands)
    generate.add_to(commands)
    fields.add_to(commands)
    return parser
