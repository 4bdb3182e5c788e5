"""`lstm-flax predict`."""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_flax.checkpoints.pretrained import SHIPPED
from lstm_flax.cli.arguments import (
    DEFAULT_MODEL,
    Commands,
    add_checkpoint,
    add_command,
    add_overrides,
    chosen_model,
    given_path,
)
from lstm_flax.display import escaped, to_json
from lstm_flax.errors import UserError
from lstm_flax.files import expanded
from lstm_flax.untrusted import require_own_output

if TYPE_CHECKING:
    from lstm_flax.inference.predictor import Predictor


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "predict",
        run,
        help="classify texts: one JSON object a text",
        epilog="examples:\n  lstm-flax predict --workdir=runs/imdb 'What a film!'\n"
        "  lstm-flax predict --workdir=runs/imdb --file=reviews.txt\n"
        "  lstm-flax predict --workdir=runs/imdb --file=t.csv --text_column=body --output=out.csv\n"
        "  cat reviews.txt | lstm-flax predict --workdir=runs/imdb\n"
        "next:\n  lstm-flax train ... --config.init_from=runs/imdb continues from this run with\n"
        "  texts of your own",
        log_level=logging.WARNING,
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="default: standard input, by line")
    parser.add_argument(
        "--file",
        help="a table (.csv, .tsv, .jsonl, .json, .parquet; .gz may follow), or plain text in "
        "UTF-8, one text per line; - for standard input",
    )
    parser.add_argument("--text_column", help="in a table; default: as in the run's data, or found")
    parser.add_argument(
        "--output",
        type=given_path,
        help="write a table (.csv, .tsv, .jsonl or .parquet): every column of the texts' "
        "table, and label, probability and warning",
    )
    parser.add_argument(
        "--split",
        choices=("train", "development", "test", "unsupervised"),
        help="the texts of a split of the run's own data; to label unlabelled texts, for example",
    )
    parser.add_argument(
        "--workdir",
        type=given_path,
        action="append",
        default=[],
        help="a run, or a checkpoint of it; several answer with the mean of their probabilities"
        + (DEFAULT_MODEL if SHIPPED.is_dir() else ""),
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--config", help="with --split: the run's config.json, to say where its data is"
    )
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints or writes one row per text; status 2 if any could not be classified."""
    if (bool(arguments.texts) + (arguments.file is not None) + (arguments.split is not None)) > 1:
        raise UserError("give texts, --file or --split, only one of them")
    if arguments.split is None and (arguments.config or arguments.overrides):
        raise UserError("--config and its fields say where a split's texts are; add --split=NAME")
    if arguments.text_column is not None and (arguments.texts or arguments.split):
        raise UserError("--text_column: names a column of a table; name the table with --file=PATH")
    if arguments.output is not None:
        from lstm_flax.data.tables.writing import check_output

        check_output(arguments.output)
        require_own_output(arguments.output, arguments.workdir)
    with contextlib.ExitStack() as stack:
        source = _open_texts(arguments, stack)

        # Imported only now, so a mistake in the arguments is reported at once.
        from lstm_flax.devices.settings import prepare_jax
        from lstm_flax.inference.predictor import Predictor

        prepare_jax()
        folders = arguments.workdir or [chosen_model(None)]
        predictor = Predictor.from_checkpoint(*folders, checkpoint=arguments.checkpoint)
        return _answer(predictor, source, arguments)


def _answer(
    predictor: "Predictor", source: Path | Iterable[bytes] | None, arguments: argparse.Namespace
) -> int:
    """Answers a split, a table or plain lines and returns the exit status."""
    from lstm_flax.cli.predicting import tables
    from lstm_flax.cli.predicting.lines import predict_lines

    output, column = arguments.output, arguments.text_column
    found: tables.TextTable | Iterable[bytes]
    if source is None:
        answers = predictor.predict_stream(_texts_of(predictor, arguments))
        return _put(output, ([{"text": a.text} | a.to_dict()] for a in answers))
    if isinstance(source, Path):
        found = tables.open_text_table(source, column, _usual_column(predictor))
    elif arguments.texts:
        found = source
    else:
        name = "standard input" if arguments.file in (None, "-") else arguments.file
        found = tables.table_in_lines(iter(source), name, column, _usual_column(predictor))
    if not isinstance(found, tables.TextTable):
        return _put(output, predict_lines(predictor, found, "text" if arguments.texts else "line"))
    groups = tables.answer_rows(predictor, found)
    if output is None:
        return _print([(tables.printed(row), bool(row.error)) for row in rows] for rows in groups)
    return _status(tables.write_answers(output, found, groups), output)


def _put(output: Path | None, groups: Iterable[list[dict[str, Any]]]) -> int:
    """Prints answers as they come or writes them as a table, and returns the exit status."""
    if output is not None:
        from lstm_flax.cli.predicting.tables import write_lines

        return _status(write_lines(output, groups), output)
    return _print([(record, "error" in record) for record in records] for records in groups)


def _print(groups: Iterable[list[tuple[dict[str, Any], bool]]]) -> int:
    """Prints records as they come; the exit status depends on whether any text failed."""
    any_failed = False
    for records in groups:
        for record, failed in records:
            any_failed |= failed
            print(to_json(record))
        sys.stdout.flush()
    return 2 if any_failed else 0


def _status(failed: int, output: Path) -> int:
    if failed:
        line = f"{output}: texts that could not be classified: {failed:,}; their warnings say why"
        print(escaped(line), file=sys.stderr)
    return 2 if failed else 0


def _usual_column(predictor: "Predictor") -> str:
    """Returns the name of the text column in the model's training data."""
    return predictor.trained.metadata.config.data.text_column


def _open_texts(
    arguments: argparse.Namespace, stack: contextlib.ExitStack
) -> Path | Iterable[bytes] | None:
    """Returns a table's path, lines of text, or None for the texts of a split."""
    if arguments.split is not None:
        return None
    if arguments.file not in (None, "-"):
        from lstm_flax.data.tables.reading import is_table

        path = expanded(arguments.file)
        if is_table(path):
            if not path.exists():
                raise UserError(f"{path}: No such file or directory; name a readable file")
            if not path.is_file():
                raise UserError(
                    f"{path}: is a folder, pipe or device; name a plain file, or give the table on "
                    "standard input, with --file=-"
                )
            return path
    return _open_lines(arguments, stack)


def _open_lines(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> Iterable[bytes]:
    """Returns the given texts, one per line."""
    from lstm_flax.cli.predicting.lines import open_lines, reading

    if arguments.texts:
        return map(os.fsencode, arguments.texts)
    if arguments.file not in (None, "-"):
        path = expanded(arguments.file)
        return reading(stack.enter_context(open_lines(path)), str(path))
    if sys.stdin is None:
        raise UserError("no texts, no --file, and standard input is closed; give one of them")
    if sys.stdin.isatty():
        print("enter one text per line; Ctrl-D ends", file=sys.stderr)
    # Not sys.stdin.buffer, whose lock the reading thread would hold when Python exits; and no
    # `with` (SIM115), because closing would wait for that thread's read.
    return reading(open(sys.stdin.fileno(), "rb", closefd=False), "standard input")


def _texts_of(predictor: "Predictor", arguments: argparse.Namespace) -> Sequence[str]:
    """Returns the raw texts of a split of the data that the first model was trained on."""
    from lstm_flax.cli.arguments.data_of_model import config_of_model
    from lstm_flax.data.opening import open_dataset

    metadata = predictor.trained.metadata
    where = str(predictor.trained.path)
    config = config_of_model(metadata.config, arguments.config, arguments.overrides, where)
    dataset = open_dataset(config.data, config.tokenizer, metadata.encoder.tokenizer)
    return dataset.texts(arguments.split).texts
