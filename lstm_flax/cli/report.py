"""`lstm-flax report`."""

import argparse

from lstm_flax.cli.arguments import (
    Commands,
    add_checkpoint,
    add_command,
    add_place_of_data,
    given_path,
)
from lstm_flax.errors import UserError
from lstm_flax.untrusted import require_own_output


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "report",
        run,
        help="one page on how good a run is and where not, and its model card",
        epilog="examples:\n  lstm-flax report runs/quickstart\n"
        "  lstm-flax report runs/seed-0 runs/seed-1 --output=both.html\n"
        "  lstm-flax report runs/mine --config.data.train_path=mine.csv\n"
        "next:\n  lstm-flax explain --workdir=runs/quickstart 'Not bad at all.'",
    )
    parser.add_argument(
        "workdirs", nargs="+", type=given_path, metavar="DIR", help="runs; several side by side"
    )
    parser.add_argument(
        "--output", type=given_path, metavar="FILE", help="default: report.html in the first run"
    )
    parser.add_argument(
        "--split",
        choices=("development", "test"),
        default="test",
        help="the part to score; default: test",
    )
    add_checkpoint(parser)
    add_place_of_data(parser)
    parser.add_argument(
        "--baselines", action="store_true", help="also score two linear models on the same data"
    )
    parser.add_argument(
        "--figures", choices=("svg", "png"), help="also write each figure as a file beside the page"
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes the page, and a card into each run's folder."""
    folders = arguments.workdirs
    for folder in folders:
        if not (folder / "config.json").is_file():
            raise UserError(f"{folder}: is no run's folder (no config.json); name one")
    if arguments.output is not None:
        require_own_output(arguments.output, folders)

    # Imported only now, so a mistake in the arguments is reported at once.
    from lstm_flax.reports import figures

    figures.check_installed()
    from lstm_flax.checkpoints.restore import load_trained_model
    from lstm_flax.cli.arguments.data_of_model import config_of_model
    from lstm_flax.data.loading import load_splits
    from lstm_flax.devices.settings import prepare_jax
    from lstm_flax.evaluation.linear_baselines import score_baselines
    from lstm_flax.files import make_folder, write_bytes, write_output, write_text
    from lstm_flax.reports.model_card import model_card
    from lstm_flax.reports.run_report import draw_figures, report_page
    from lstm_flax.reports.scored_run import score_run

    prepare_jax()
    models = [load_trained_model(folder, arguments.checkpoint) for folder in folders]
    data = [
        config_of_model(
            model.metadata.config, arguments.config, arguments.overrides, str(folder)
        ).data
        for folder, model in zip(folders, models, strict=True)
    ]
    runs = [
        score_run(folder, model, its_data, arguments.split)
        for folder, model, its_data in zip(folders, models, data, strict=True)
    ]
    baselines = None
    if arguments.baselines:
        baselines = score_baselines(*load_splits(data[0]), "word")
    drawn = [draw_figures(run) for run in runs]
    output = arguments.output or folders[0] / "report.html"
    write = write_text if arguments.output is None else write_output
    write(output, report_page(runs, drawn, baselines))
    written = [output]
    for number, (scored, of_run) in enumerate(zip(runs, drawn, strict=True)):
        card = scored.workdir / "model_card.md"
        write_text(card, model_card(scored, baselines if number == 0 else None))
        written.append(card)
        if arguments.figures is not None:
            folder = output.with_suffix("") / str(number)
            make_folder(folder)
            for name, figure in of_run.items():
                path = folder / f"{name}.{arguments.figures}"
                write_bytes(path, figures.save(figure, arguments.figures))
            written.append(folder)
    print("\n".join(map(str, written)))
    return 0
