"""`lstm-flax inspect`."""

import argparse
import dataclasses

from lstm_flax.cli.arguments import Commands, add_command, add_overrides
from lstm_flax.cli.arguments.own_data import add_data, config_of_data
from lstm_flax.display import escaped, escaped_lines, to_json


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "inspect",
        run,
        help="sizes, lengths, duplicates and unknown tokens of the data, and what looks wrong in "
        "its labels, before training",
        epilog="example:\n  lstm-flax inspect mine.csv\n"
        "next:\n  lstm-flax train with the same flags, and --workdir=DIR",
    )
    add_data(parser)
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints one line per split, likely mistakes, and all statistics as JSON."""
    from lstm_flax.data.audit import (
        count_shared_texts,
        describe_split,
        find_doubts,
        find_leaks,
    )
    from lstm_flax.data.opening import open_dataset

    config = config_of_data(arguments)
    dataset = open_dataset(config.data, config.tokenizer)
    examples = {name: dataset.texts(name) for name in dataset.splits}
    texts = {name: part.texts for name, part in examples.items()}
    records = {}
    for name in dataset.splits:
        statistics = describe_split(
            dataset.split(name), texts[name], dataset.label_names, config.data.max_length
        )
        records[name] = dataclasses.asdict(statistics)
        print(escaped_lines(statistics.summary(name)))
    count = count_shared_texts(texts)
    shared = {f"{a} and {b}": n for (a, b), n in count.items()}
    print("shared texts: " + ", ".join(f"{pair} {n}" for pair, n in shared.items()))
    doubts = find_doubts(examples) + find_leaks(count)
    for doubt in doubts:
        print(escaped(f"warning: {doubt}"))
    record = {"splits": records, "shared_texts": shared, "warnings": doubts}
    print(to_json(record))
    return 0
