"""`lstm-flax serve`."""

import argparse
import dataclasses
import importlib.util
import logging

from lstm_flax.cli.arguments import Commands, add_checkpoint, add_command, add_model, chosen_model
from lstm_flax.errors import UserError

_MOST = {int: 10**9, float: 86_400}  # bytes or texts; seconds, a day


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "serve",
        run,
        help="answer over HTTP",
        epilog="examples:\n  lstm-flax serve --workdir=runs/imdb\n"
        "  curl -H 'Content-Type: application/json' -d '{\"text\": \"What a film!\"}' "
        "http://127.0.0.1:8000/predict\n"
        "next:\n  http://127.0.0.1:8000 in a browser is a page to try it",
        log_level=logging.WARNING,
    )
    add_model(parser)
    add_checkpoint(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="0 for any free port (8000)")
    for name, kind, meaning in (
        ("body", int, "bytes in a request (1,000,000)"),
        ("texts", int, "texts in a request (256)"),
        ("queue", int, "texts that may wait (2,048)"),
        ("explained", int, "texts to explain, both in a request and waiting (8)"),
        ("seconds", float, "to send a body, and to wait for its answer (30)"),
    ):
        parser.add_argument(f"--max_{name}", type=kind, help=f"limit: {meaning}")


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is stopped."""
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"serve needs the package {package}: pip install 'lstm-flax[serve]'")

    from lstm_flax.devices.settings import prepare_jax
    from lstm_flax.inference.predictor import Predictor
    from lstm_flax.serving.requests import Limits
    from lstm_flax.serving.server import serve

    given = {
        field.name: getattr(arguments, f"max_{field.name}") for field in dataclasses.fields(Limits)
    }
    for name, value in given.items():
        if value is not None and not 0 < value <= _MOST[type(value)]:
            raise UserError(
                f"--max_{name}={value}: must be above 0 and at most {_MOST[type(value)]:,}"
            )
    prepare_jax()
    workdir = chosen_model(arguments.workdir)
    predictor = Predictor.from_checkpoint(workdir, checkpoint=arguments.checkpoint)
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    serve(predictor, arguments.host, arguments.port, limits)
    return 0
