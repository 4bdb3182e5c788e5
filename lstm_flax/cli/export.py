"""`lstm-flax export`."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_flax.cli.arguments import (
    Commands,
    add_checkpoint,
    add_command,
    add_model,
    add_place_of_data,
    chosen_model,
    given_path,
)
from lstm_flax.errors import UserError

if TYPE_CHECKING:
    from lstm_flax.data.examples import Examples
    from lstm_flax.inference.predictor import Predictor

_TEXTS = 500  # compared when float32 weights can differ only by rounding


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "export",
        run,
        help="write a classifier as a folder that onnxruntime, torch, numpy or jax can run",
        epilog="examples:\n  lstm-flax export --workdir=runs/imdb exported\n"
        "  lstm-flax export --workdir=runs/imdb small --weights=int8 --split=development\n"
        "next:\n  python exported/run.py 'What a film!'",
        log_level=logging.WARNING,
    )
    parser.add_argument("folder", type=given_path, metavar="OUT", help="folder to create")
    parser.add_argument(
        "--format",
        choices=("onnx", "safetensors", "torch", "stablehlo"),
        default="onnx",
        help="what runs it: onnxruntime (default), numpy, torch, or jax alone",
    )
    parser.add_argument(
        "--weights",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="how an onnx file stores matrices; smaller ones cost accuracy, which is measured",
    )
    parser.add_argument(
        "--split",
        choices=("development", "test"),
        help="compare both sides on this part of the run's data; default: on texts of the "
        "development part if available, else on a few that come with the program",
    )
    add_model(parser)
    add_checkpoint(parser)
    add_place_of_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the folder and prints the comparison of both sides."""
    from lstm_flax.devices.settings import prepare_jax
    from lstm_flax.exporting.examples import EXAMPLE_TEXTS
    from lstm_flax.exporting.export import check_export, missing_runtime
    from lstm_flax.inference.predictor import Predictor

    folder: Path = arguments.folder
    check_export(arguments.format, arguments.weights, folder)
    prepare_jax()
    workdir = chosen_model(arguments.workdir)
    predictor = Predictor.from_checkpoint(workdir, checkpoint=arguments.checkpoint)
    examples = _examples(predictor, arguments)
    texts = EXAMPLE_TEXTS if examples is None else examples.texts
    both = predictor.export(folder, arguments.format, arguments.weights, texts)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {arguments.format}, weights in {arguments.weights}, {size / 1e6:.1f} MB")
    if both is None:
        print(
            f"not compared: {missing_runtime(arguments.format)} is not installed here; to "
            "compare elsewhere, run `python run.py --check` in that folder"
        )
        return 0
    print(f"compared on {len(texts):,} texts with `lstm-flax predict`:")
    print(f"  largest difference of a probability  {both.largest_difference:.1e}")
    print(f"  labels that differ                   {both.changed_labels}")
    if examples is not None:
        before, after = both.accuracies(examples.labels)
        print(f"  accuracy, before and after           {before:.2%} {after:.2%}")
    return 0


def _examples(predictor: "Predictor", arguments: argparse.Namespace) -> "Examples | None":
    """Returns labelled texts of one part of the run's data; None if unnamed or not available."""
    import numpy as np

    from lstm_flax.cli.arguments.data_of_model import config_of_model
    from lstm_flax.data.loading import at_hand, load_examples

    trained, split = predictor.trained, arguments.split
    given = (arguments.config, arguments.overrides)
    try:
        config = config_of_model(trained.metadata.config, *given, str(trained.path)).data
        if split is None and not any(given) and not at_hand(config):
            return None
        examples = load_examples(config, split or "development")
    except UserError:
        if split is not None or any(given):
            raise
        return None
    few = arguments.weights == "float32"
    if split is not None or not few or len(examples) <= _TEXTS:
        return examples
    return examples.select(np.linspace(0, len(examples) - 1, _TEXTS).astype(int))
