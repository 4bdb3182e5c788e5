"""The command line: one file per command, with its arguments, its help and its code.

A user's mistake is reported in one line on standard error, with exit status 2; `--debug` shows
where it was raised. Commands import jax only when they need it, so help and mistakes appear at
once. Only `main` changes global state of the process: the C allocator, logging, and the limits of
the csv module and of open files; and `prepare_jax`: JAX's settings, a filter of its warnings and an
exit handler. The handlers of signals are set by `lstm_flax/__main__.py`, `serve` and `train`.
"""

import argparse
import codecs
import csv
import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from lstm_flax.cli import (
    baselines,
    evaluate,
    explain,
    export,
    fields,
    generate,
    inspect,
    predict,
    prepare,
    report,
    serve,
    train,
)
from lstm_flax.cli.arguments import Parser, join_values
from lstm_flax.devices.allocator import keep_freed_memory
from lstm_flax.display import EscapingFormatter, escaped
from lstm_flax.errors import UserError, one_line
from lstm_flax.files import allow_open_files
from lstm_flax.version import __version__

_INTERRUPTED = 130  # the shell's convention: 128 plus SIGINT's number
_LONGEST_MESSAGE = 1_200  # characters; enough for the first six mistakes of a table
_LONGEST_FIELD = 2**31 - 1  # characters; the csv module's default of 131,072 rejects long texts

__all__ = ["main", "program"]


def program(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs one command as a program, which ends with it."""
    try:
        status = main(argv)
    except Exception:
        _end_joined_process(1, traceback.format_exc())
        raise
    _end_joined_process(status)
    if status == _INTERRUPTED:  # XLA may still be compiling, which can crash Python's shutdown
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _end_joined_process(status: int, message: str = "") -> None:
    """Ends a process that is still joined to others: each side may be waiting for the other."""
    processes = sys.modules.get("lstm_flax.devices.processes")
    if processes is not None and processes.several():
        from lstm_flax.devices.joining import end_program

        sys.stderr.write(message)
        end_program(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    if sys.stderr is None:  # closed: print would write errors on standard output
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdout is None:
        _print_error("standard output is closed; send it to a file, or to /dev/null")
        return 2
    keep_freed_memory()
    csv.field_size_limit(_LONGEST_FIELD)
    _escape_what_the_terminal_lacks()
    words = join_values(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words[: words.index("--")] if "--" in words else "--debug" in words
    if not words:
        _parser().print_help(sys.stderr)
        return 2
    try:
        arguments, overrides = _parser().parse_known_args(words)
        _refuse_unknown(arguments, overrides)
        arguments.overrides = overrides
        handler = logging.StreamHandler()
        handler.setFormatter(EscapingFormatter("%(levelname)s: %(message)s"))
        logging.basicConfig(handlers=[handler], level=arguments.log_level)
        # TFDS and Orbax log every file, and log each error in many lines before raising it.
        for name in ("absl", "asyncio", "concurrent.futures"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        logging.getLogger("jax").setLevel(logging.WARNING)  # it logs every backend it lacks
        allow_open_files()
        status: int = arguments.run(arguments)
        return status
    except UserError as error:
        if debug:
            raise
        _print_error(str(error))
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # unexpected: a full disk, a folder that was removed
        if debug:
            raise
        where = "the output" if error.filename is None else error.filename
        reason = error.strerror or one_line(error)
        _print_error(f"{where}: {reason}; --debug shows where it happened")
        return 2
    except (RuntimeError, MemoryError, ValueError) as error:
        advice = _advice(error)
        if advice is None or debug:
            raise
        _print_error(advice)
        return 2


def _print_error(message: str) -> None:
    """Prints one line; a long value is shortened in the middle, so the advice at the end stays."""
    if len(message) > _LONGEST_MESSAGE:
        half = _LONGEST_MESSAGE // 2
        message = f"{message[:half]} ... {message[-half:]}"
    print(escaped(f"error: {message}"), file=sys.stderr)


def _advice(error: RuntimeError | MemoryError | ValueError) -> str | None:
    """Returns advice, one line, for JAX errors caused by machine or environment; else None."""
    message = one_line(error)
    if isinstance(error, ValueError):
        at_fault = [name for name, value in os.environ.items() if _blames(message, name, value)]
        return f"{at_fault[0]}: {message}; unset it, or set it right" if at_fault else None
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in message:
        return (
            f"out of memory ({message}); lower config.data.batch_size, config.data.max_length or "
            "the sizes in config.model"
        )
    return None


def _blames(message: str, name: str, value: str) -> bool:
    """Returns True if an error's message is about an environment variable of JAX or tqdm."""
    if name.startswith("JAX_"):  # named as a setting: jax_default_device or jax.default_device
        return name.lower() in message.lower().replace(".", "_")
    return name.startswith("TQDM_") and repr(value) in message


def _escape_what_the_terminal_lacks() -> None:
    """Prints characters that an output cannot encode as JSON escapes."""

    def escape(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        text = error.object[error.start : error.end]
        return json.dumps(text)[1:-1], error.end

    codecs.register_error("as_json", escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="as_json")


def _refuse_unknown(arguments: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Checks that the parser left over only fields, and only if the command takes them.

    Args:
        arguments: the arguments that the parser understood.
        overrides: the arguments that it did not.

    Raises:
        UserError: names the first unknown argument, and what may have been meant.
    """
    fields_taken = arguments.takes_config
    unknown = [word for word in overrides if not (fields_taken and word.startswith("--config."))]
    if not unknown:
        return
    word = unknown[0]
    if word.startswith("-"):
        hint = "texts that begin with - go after --"
        if fields_taken:
            hint = "fields are set as --config.area.field=value"
            if arguments.command == "predict":
                hint = f"texts that begin with - go after --, {hint}"
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
    for command in (
        *(train, evaluate, inspect, prepare, baselines, report),
        *(predict, export, serve, explain, generate, fields),
    ):
        command.add_to(commands)
    return parser
