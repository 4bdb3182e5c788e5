"""`lstm-flax evaluate`."""

import argparse
import json

from lstm_flax.cli.arguments import (
    Commands,
    add_checkpoint,
    add_command,
    add_model,
    add_overrides,
    add_split,
)
from lstm_flax.config_files import load_config


def add_to(commands: Commands) -> None:
    """Adds the command to the program's."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        help="score a checkpoint on a split",
        epilog="example:\n  lstm-flax evaluate --workdir=runs/imdb --split=development\n"
        "next:\n  lstm-flax predict --workdir=runs/imdb 'What a film!'",
    )
    parser.add_argument("--config", help="the run's configuration, to say where its data lies")
    add_model(parser)
    add_split(parser)
    add_checkpoint(parser)
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the scores; of a run, keeps them in its folder too."""
    from lstm_flax.config import Config, as_config_dict, data_places, refuse_changes
    from lstm_flax.inference.shipped import model_folder
    from lstm_flax.training.compilation import keep_compiled_programs
    from lstm_flax.training.progress import result_table, write_text
    from lstm_flax.training.scoring import default_split, evaluate_trained_model
    from lstm_flax.training.trained_model import load_trained_model

    keep_compiled_programs()
    workdir = model_folder(arguments.workdir)
    trained = load_trained_model(workdir, arguments.checkpoint)
    saved = trained.metadata.config
    given = load_config(arguments.config, arguments.overrides, base=as_config_dict(saved))
    config = Config.from_config_dict(given)
    advice = (
        "a model is evaluated as it was trained: leave that field out; what may differ is where "
        f"the data lies, config.data.{', '.join(data_places())}"
    )
    refuse_changes(saved, config, str(workdir), advice)
    split = arguments.split or default_split(config)
    results = evaluate_trained_model(trained, config, split, show_progress=True)
    print(result_table(results))
    print(json.dumps(results))
    if (workdir / "config.json").exists():  # a run, not a copied checkpoint
        write_text(workdir / "evaluation.json", json.dumps(results) + "\n")
    return 0
