"""Draws the pictures of `docs/explanations.md`: an explanation, and a report's figures.

    lstm-flax train --config=quickstart --workdir=runs/quickstart
    lstm-flax report runs/quickstart --figures=svg
    python scripts/draw_report.py runs/quickstart    # without a run: only the explanation

They are written to docs/pictures: the terminal's view of an explanation by the packaged model
(`explain.svg`), and the figures of the run's report (`report_*.svg`).
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME

from lstm_flax.cli.explain import print_explanations
from lstm_flax.inference.predictor import Predictor

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SHOWN = (
    "learning_curves",
    "confusion",
    "rankings",
    "reliability",
    "accuracy_by_length",
    "accuracy_by_confidence",
)
TEXTS = ["I expected to hate it, but it won me over.", "Great cast, great music, terrible film."]


def main() -> None:
    """Writes the pictures."""
    console = Console(record=True, width=78, file=io.StringIO(), force_terminal=True)
    print_explanations(Predictor.from_checkpoint().explain(TEXTS), console)
    svg = console.export_svg(title="lstm-flax explain", theme=DEFAULT_TERMINAL_THEME)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # no font from elsewhere
    (PICTURES / "explain.svg").write_text(svg, encoding="utf-8")
    for run in sys.argv[1:2]:
        folder = Path(run) / "report" / "0"
        for name in SHOWN:
            (PICTURES / f"report_{name}.svg").write_bytes((folder / f"{name}.svg").read_bytes())


if __name__ == "__main__":
    main()
