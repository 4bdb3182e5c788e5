"""`lstm-flax explain`."""

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

from lstm_flax.cli.arguments import (
    Commands,
    add_checkpoint,
    add_command,
    add_model,
    chosen_model,
    given_path,
)
from lstm_flax.display import to_json
from lstm_flax.errors import UserError
from lstm_flax.files import write_output
from lstm_flax.untrusted import require_own_output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from lstm_flax.inference.explanation import Explanation

_WITH_STATES = 200  # texts on a page whose gates and states are drawn


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "explain",
        run,
        help="show what each word of a text contributed to its answer",
        epilog="examples:\n  lstm-flax explain --workdir=runs/imdb 'Not bad at all.'\n"
        "  lstm-flax explain --file=reviews.txt --html=why.html\n"
        "next:\n  docs/explanations.md says how far to believe it",
        log_level=logging.WARNING,
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="or --file")
    parser.add_argument("--file", type=given_path, help="plain text in UTF-8, one text per line")
    add_model(parser)
    add_checkpoint(parser)
    parser.add_argument("--label", help="the label to explain; default: each text's answer")
    parser.add_argument("--steps", type=int, help="points on the path; default: 64")
    parser.add_argument(
        "--html", type=given_path, metavar="FILE", help="write a page, with gates and states"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a text")


def run(arguments: argparse.Namespace) -> int:
    """Prints the explanations, or writes them as a page."""
    if bool(arguments.texts) == (arguments.file is not None):
        raise UserError("give texts, or --file with one a line; one of the two")
    texts = _texts(arguments)
    if arguments.html is not None and arguments.workdir is not None:
        require_own_output(arguments.html, [arguments.workdir])

    # Imported only now, so a mistake in the arguments is reported at once.
    from lstm_flax.devices.settings import prepare_jax
    from lstm_flax.inference.explainer import DEFAULT_STEPS, MOST_STEPS
    from lstm_flax.inference.predictor import Predictor

    steps = DEFAULT_STEPS if arguments.steps is None else arguments.steps
    if not 1 <= steps <= MOST_STEPS:
        raise UserError(f"--steps={steps}: must be at least 1 and at most {MOST_STEPS:,}")
    prepare_jax()
    workdir = chosen_model(arguments.workdir)
    predictor = Predictor.from_checkpoint(workdir, checkpoint=arguments.checkpoint)
    explanations = predictor.explain(texts, arguments.label, steps)
    if arguments.html is not None:
        from lstm_flax.reports.explanation_page import explanation_page

        hierarchical = predictor.trained.metadata.config.model.hierarchy != "none"
        shown = [] if hierarchical else texts[:_WITH_STATES]
        states = [predictor.states(text) for text in shown]
        write_output(arguments.html, explanation_page(explanations, states))
        count = "1 text" if len(texts) == 1 else f"{len(texts)} texts"
        print(f"{arguments.html}: {count}", file=sys.stderr)
    if arguments.json:
        for explanation in explanations:
            print(to_json(explanation.to_dict()))
    elif arguments.html is None:
        from rich.console import Console

        print_explanations(explanations, Console(highlight=False))
    return 0


def coloured(explanation: "Explanation") -> "Text":
    """Returns the text with a background for each word: blue for the label, orange against it."""
    from rich.text import Text

    from lstm_flax.reports.heat_map import mixed_colour
    from lstm_flax.reports.page import visible

    largest = max(abs(word.contribution) for word in explanation.words) or 1.0
    text, done = Text(), 0
    for word in explanation.words:
        text.append(visible(explanation.text[done : word.start]))
        red, green, blue = mixed_colour(word.contribution / largest)
        # Not "white", which many terminals show as light grey.
        ink = "rgb(255,255,255)" if abs(word.contribution) > 0.8 * largest else "rgb(0,0,0)"
        text.append(visible(word.text), f"{ink} on rgb({red},{green},{blue})")
        done = word.end
    return text.append(visible(explanation.text[done:]))


def print_explanations(explanations: "list[Explanation]", console: "Console") -> None:
    """Prints coloured words if the terminal has colours, and always a table of the strongest."""
    from rich.table import Table
    from rich.text import Text

    from lstm_flax.reports.page import visible

    for explanation in explanations:
        console.print(coloured(explanation))
        summary = (
            f"{visible(explanation.label)} {explanation.probability:.1%}; log-odds "
            f"{explanation.log_odds:+.2f}, of no input {explanation.empty_log_odds:+.2f}; "
            f"completeness error {explanation.completeness_error:.2%}; "
            f"{explanation.ngram_part:.0%} through n-grams"
        )
        console.print(Text(summary))
        for warning in explanation.warnings:
            console.print(Text(f"warning: {warning}"))
        table = Table("strongest words", box=None, pad_edge=False)
        for name in ("contribution", "through n-grams", "deleted"):
            table.add_column(name, justify="right")
        for word in explanation.strongest():
            numbers = (word.contribution, word.from_ngrams, word.occlusion)
            shown = ("" if number is None else f"{number:+.2f}" for number in numbers)
            table.add_row(Text(visible(word.text)), *shown)
        console.print(table)
        console.print()


def _texts(arguments: argparse.Namespace) -> list[str]:
    """Returns the given texts, or those of a file, one per line without empty lines."""
    from lstm_flax.cli.predicting.lines import open_lines, reading

    if arguments.texts:
        return [_text(os.fsencode(text), f"text {i}") for i, text in enumerate(arguments.texts, 1)]
    path = arguments.file
    with open_lines(path) as file:
        lines = enumerate(reading(file, str(path)), start=1)
        texts = [_text(line, f"{path}: line {i}").strip() for i, line in lines if line.strip()]
    if not texts:
        raise UserError(f"{path}: holds no text; write one a line")
    return texts


def _text(line: bytes, where: str) -> str:
    """Decodes a line by the rules of `predict`."""
    from lstm_flax.cli.predicting.lines import read_line

    record = read_line(line, where)
    if "error" in record:
        raise UserError(record["error"])
    text: str = record["text"]
    return text
