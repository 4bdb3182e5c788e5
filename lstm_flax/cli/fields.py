"""`lstm-flax fields`."""

import argparse
import dataclasses
import textwrap

from lstm_flax.cli.arguments import Commands, add_command, add_overrides
from lstm_flax.config import Config
from lstm_flax.config.fields import bounds_of, leaves, meanings, value_at
from lstm_flax.config.files import load_config
from lstm_flax.config.values import in_words
from lstm_flax.errors import UserError

ABSENT = "; section absent unless set"


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "fields",
        run,
        help="list the fields of a configuration: name, value, bounds, meaning",
        epilog="examples:\n  lstm-flax fields\n  lstm-flax fields dropout --config=imdb\n"
        "next:\n  lstm-flax train --config=imdb --config.model.head_dropout=0.3 --workdir=DIR",
    )
    parser.add_argument("part", nargs="?", default="", help="list only names that contain this")
    parser.add_argument("--config", help="configuration to show values of; default: the defaults")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints one line per field, with its meaning below."""
    config = Config.from_config_dict(load_config(arguments.config, arguments.overrides))
    meaning = meanings(Config)
    shown = [(path, field) for path, field in leaves(Config) if arguments.part in path]
    if not shown:
        raise UserError(f"no field's name holds {arguments.part!r}; `lstm-flax fields` lists all")
    for path, field in shown:
        section = path.rpartition(".")[0]
        absent = section != "" and value_at(config, section) is None
        value = field.default if absent else value_at(config, path)
        print(f"--config.{path}={_flag_value(value)}   ({_admitted(field)}{ABSENT * absent})")
        print(textwrap.fill(meaning[path], 96, initial_indent="    ", subsequent_indent="    "))
    return 0


def _admitted(field: dataclasses.Field) -> str:
    """Describes the values that a field may take."""
    bounds = bounds_of(field)
    if bounds.choices:
        return str(bounds)
    return ", ".join(filter(None, (in_words(field.type), str(bounds))))


def _flag_value(value: object) -> str:
    """Formats a field's value as its flag takes it.

    >>> _flag_value((64, 128)), _flag_value(None)
    ('64,128', '')
    """
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
