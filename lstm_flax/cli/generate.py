"""`lstm-flax generate`."""

import argparse
import logging

from lstm_flax.cli.arguments import Commands, add_checkpoint, add_command, given_path
from lstm_flax.display import escaped
from lstm_flax.errors import UserError


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "generate",
        run,
        help="write texts with a language model, one per line",
        epilog="examples:\n  lstm-flax generate runs/imdb_pretrain --prompt='This film' --count=3\n"
        "  lstm-flax generate runs/imdb_pretrain --temperature=0.8 --top_p=0.95 --seed=1\n"
        "next:\n  lstm-flax train --config=imdb_finetune --config.init_from=runs/imdb_pretrain "
        "--workdir=DIR\n  trains a classifier from the same weights",
        log_level=logging.WARNING,
    )
    parser.add_argument(
        "folder",
        type=given_path,
        nargs="?",
        metavar="DIR",
        help="a language model's run, or a checkpoint of it",
    )
    parser.add_argument("--workdir", type=given_path, help="another way to give DIR")
    parser.add_argument("--prompt", default="", help="beginning of each text")
    parser.add_argument("--count", type=int, default=1, help="number of texts (1)")
    parser.add_argument(
        "--max_tokens", type=int, default=200, help="longest continuation of the prompt (200)"
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 for more probable tokens (1)"
    )
    parser.add_argument(
        "--top_p", type=float, default=1.0, help="draw only from the most probable tokens (1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random draws (0)")
    add_checkpoint(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the texts."""
    if (arguments.folder is None) == (arguments.workdir is None):
        raise UserError(
            "name one run, as DIR or as --workdir=DIR; `lstm-flax generate --help` shows an example"
        )

    from lstm_flax.devices.settings import prepare_jax
    from lstm_flax.inference.generator import Generator

    prepare_jax()
    generator = Generator.from_checkpoint(
        arguments.folder or arguments.workdir, arguments.checkpoint
    )
    texts = generator.generate(
        arguments.prompt,
        arguments.count,
        arguments.max_tokens,
        arguments.temperature,
        arguments.top_p,
        arguments.seed,
    )
    for text in texts:
        print(escaped(text))
    return 0
