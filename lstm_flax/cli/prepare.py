"""`lstm-flax prepare`."""

import argparse
import json

from lstm_flax.cli.arguments import Commands, add_command, add_overrides
from lstm_flax.config.files import load_config


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "prepare",
        run,
        help="fetch the data, train the tokenizer and encode every split, ahead of training",
        epilog="example:\n  lstm-flax prepare --config=imdb\n"
        "next:\n  lstm-flax train --config=imdb --workdir=runs/imdb\n"
        "The folder it prints starts a training by itself, on another machine too:\n"
        "  lstm-flax train --config=imdb --workdir=DIR --config.data.token_cache=FOLDER",
    )
    parser.add_argument("--config", required=True, help="as for train")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Encodes every split; prints their sizes and the folder."""
    from lstm_flax.config import Config
    from lstm_flax.data.opening import open_dataset

    config = Config.from_config_dict(load_config(arguments.config, arguments.overrides))
    dataset = open_dataset(config.data, config.tokenizer)
    sizes = {name: len(dataset.split(name)) for name in dataset.splits}
    for name, size in sizes.items():
        print(f"  {name:<12} {size:>9,} texts")
    print(json.dumps({"folder": str(dataset.folder), "splits": sizes}))
    return 0
