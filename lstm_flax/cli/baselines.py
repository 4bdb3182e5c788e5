"""`lstm-flax baselines`."""

import argparse
import json

from lstm_flax.cli.arguments import Commands, add_command, add_overrides, given_path
from lstm_flax.cli.arguments.own_data import add_data, config_of_data
from lstm_flax.display import escaped_lines
from lstm_flax.errors import UserError
from lstm_flax.untrusted import read_json


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "baselines",
        run,
        help="score two linear models on the splits of a configuration: the baselines to beat",
        epilog="example:\n  lstm-flax baselines --config=imdb --workdir=runs/imdb\n"
        "next:\n  lstm-flax train with the same configuration",
    )
    add_data(parser)
    parser.add_argument(
        "--analyzer",
        choices=("word", "char"),
        help="unit of the n-grams; default: words, or characters if the script has no spaces",
    )
    parser.add_argument(
        "--workdir", type=given_path, help="a run to print results of for comparison"
    )
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the scores of the linear models, and of the given run."""
    from lstm_flax.data.loading import load_splits
    from lstm_flax.evaluation.linear_baselines import (
        analyzer_for,
        comparison_table,
        score_baselines,
    )

    config = config_of_data(arguments)
    beside = []
    if arguments.workdir is not None:
        path = arguments.workdir / "results.json"
        try:
            results = read_json(path)
            beside = [(f"{arguments.workdir}, {results['split']}", float(results["accuracy"]))]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path}: no accuracy to read; name a classifier's run whose training has ended"
            ) from error
    parts = load_splits(config.data)
    scores = score_baselines(*parts, arguments.analyzer or analyzer_for(parts[0].texts))
    print(escaped_lines(comparison_table(scores, beside)))
    print(json.dumps(scores))
    return 0
