r"""The accuracy recipe for a GPU, from the encoded reviews to the test scores. Not run yet.

    python benchmarks/gpu_accuracy.py --token-cache=FOLDER --unlabelled=FILE  # all of it
    python benchmarks/gpu_accuracy.py --token-cache=FOLDER --minutes=9        # some; again for more
    python benchmarks/gpu_accuracy.py --small                                 # a trial anywhere

In order: `language_model` (configs/imdb_gpu_pretrain.py); from it `classifier-0`, `-1`, `-2`
(configs/imdb_gpu.py, with virtual adversarial training on unlabelled reviews too); `pseudo_labels`,
a file of the labels that these together predict for the texts of --unlabelled; and, from the
language model and that file, `student` (configs/imdb_gpu_student.py). Without --unlabelled, the
last two are left out. All models are selected on the development part. When all are trained, the
test split is scored once: each classifier, the student, and the classifiers' ensemble, the mean of
their probabilities. `--no-test` leaves it unopened.

The texts of --unlabelled are one per line, or the field `text` of a .jsonl file; .xz after the name
means that it is compressed. Reviews that equal a test review are left out.

Each step is an ordinary command, shown as it starts, in a folder of its name under --folder, with
its output beside it as NAME.log. You can stop this at any moment, by Ctrl-C, SIGTERM or a time
limit that kills: the same command continues. `--minutes` stops in time for such a limit: a training
in progress saves its state, and the exit status is 130. Finished commands are not run again as long
as they stay the same; to change a size, edit the configuration and choose another --folder. The
report, FOLDER/report.json, is written after every command, with versions, device and seconds; a
line per minute says how long the current command has yet to train.

A machine without network needs what gpu.py lists, and also the unlabelled reviews and their
tokenizer: a folder of 55 MB, 36 MB as a .tar.gz, made by

    lstm-flax prepare --config=configs/imdb.py --config.data.cache_dir=runs/gpu

and, for the student, their texts:

    lstm-flax predict --split=unsupervised | xz > runs/gpu/unlabelled.jsonl.xz
"""

import argparse
import dataclasses
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu import device_environment
from resumable import STOPPED, Command, Driver
from reviews import cache_flags, write_made_up_cache, write_unlabelled

from lstm_flax.config import read_config
from lstm_flax.errors import UserError
from lstm_flax.training.run.interruption import StopRequest

_CONFIGS = Path(__file__).parents[1] / "configs"
_SPLITS = ("train", "development", "test", "unsupervised")
_SMALL = (
    "--config.data.batch_size=16",
    "--config.data.max_length=64",
    "--config.data.bucket_widths=(64,)",
    "--config.model.embedding_size=8",
    "--config.model.hidden_size=8",
    "--config.model.embedding_dropout=0.1",
    "--config.model.head_dropout=0.1",
    "--config.language_model.softmax_samples=0",
    "--config.optimizer.learning_rate=0.02",
    "--config.training.epochs=2",
    "--config.training.log_interval=5",
)


def trainings(
    folder: Path,
    seeds: Sequence[int],
    flags: Sequence[str],
    unlabelled: Path | None = None,
    small: bool = False,
) -> list[Command]:
    """Returns the commands for language models, classifiers, pseudo-labels and student.

    None of them opens the test split.

    Args:
        folder: folder of all runs.
        seeds: one classifier per seed.
        flags: where the reviews are, see `cache_flags`.
        unlabelled: plain text, one text per line, to predict labels for; None for no student.
        small: True replaces the configurations' sizes with tiny ones.
    """

    def training(name: str, config: str, *more: str) -> Command:
        workdir = folder / name
        words = ("train", f"--config={_CONFIGS / config}.py", f"--workdir={workdir}")
        sizes = _SMALL if small else ()
        return Command(name, workdir, (*words, "--split=development", *flags, *sizes, *more))

    reader = training("language_model", "imdb_gpu_pretrain")
    start = f"--config.init_from={reader.workdir}"
    rows = ["--config.recipes.unlabelled.batch_size=16"] if small else []
    classifiers = [
        training(f"classifier-{n}", "imdb_gpu", start, f"--config.training.seed={n}", *rows)
        for n in seeds
    ]
    if unlabelled is None:
        return [reader, *classifiers]
    runs = [f"--workdir={command.workdir}" for command in classifiers]
    file = folder / "pseudo_labels.jsonl"
    words = ("predict", *runs, f"--file={unlabelled}")
    labels = Command("pseudo_labels", folder, words, output=file)
    extra = f"--config.data.extra_train_path={file}"
    student = training("student", "imdb_gpu_student", start, extra)
    return [reader, *classifiers, labels, student]


def on_test(commands: Sequence[Command], token_cache: Path) -> list[Command]:
    """Returns the commands that score the trained classifiers on the test split."""
    place = f"--config.data.token_cache={token_cache}"
    return [
        Command(
            f"test-{command.name}",
            command.workdir,
            ("evaluate", f"--workdir={command.workdir}", "--split=test", place),
        )
        for command in commands
        if command.words[0] == "train" and command.name != "language_model"
    ]


def score_ensemble(
    driver: Driver, members: Sequence[Command], split: str, token_cache: Path
) -> int:
    """Scores the mean of the members' probabilities in this process, unless already done."""
    name = "ensemble" if split == "development" else f"{split}-ensemble"
    command = f"the mean of {', '.join(member.name for member in members)} on {split}"
    if driver.is_done(name, command):
        return 0
    if driver.must_stop:
        return STOPPED
    # Imported only now: earlier trainings had the GPU to themselves.
    from lstm_flax.checkpoints.restore import load_trained_model
    from lstm_flax.evaluation.evaluate import evaluate_ensemble

    print(f"\n{name}: {command}", flush=True)
    start = time.monotonic()
    config = read_config(members[0].workdir / "config.json")
    data = dataclasses.replace(config.data, token_cache=str(token_cache))
    models = [load_trained_model(member.workdir) for member in members]
    results = evaluate_ensemble(models, data, split, False)
    results["seconds"] = round(time.monotonic() - start, 1)
    driver.note(name, {"command": command, "results": results})
    return 0


def check_cache(folder: Path) -> None:
    """Checks that all splits exist before hours of work; raises `UserError` if not."""
    missing = [name for name in _SPLITS if not (folder / name / "split.json").exists()]
    if missing:
        raise UserError(
            f"--token-cache={folder}: holds no {', '.join(missing)} split; make it where the texts "
            "are, by `lstm-flax prepare --config=imdb`"
        )


def table(report: dict[str, Any]) -> str:
    """Formats the score and seconds of everything that has results."""
    rows = [f"  {'':22}{'split':12}{'score':>18}{'seconds':>10}"]
    for name, known in report["commands"].items():
        if "results" in known:
            found = known["results"]
            if "lines" in found:
                score = f"{found['lines']:,} labels"
            elif "perplexity" in found:
                score = f"perplexity {found['perplexity']:.1f}"
            else:
                score = f"{found['accuracy']:.2%}"
            seconds = found.get("training_seconds", found["seconds"])
            split = found.get("split", "")
            rows.append(f"  {name:22}{split:12}{score:>18}{seconds:>10.1f}")
    return "\n".join(rows)


def work(driver: Driver, arguments: argparse.Namespace) -> int:
    """Runs everything and returns the exit status."""
    cache: Path | None = arguments.token_cache
    texts: Path | None = arguments.unlabelled
    if cache is None:
        cache = write_made_up_cache(arguments.folder / "reviews")
        texts = texts or arguments.folder / "reviews" / "unlabelled.jsonl"
    check_cache(cache)
    if texts is not None:
        texts = write_unlabelled(texts, arguments.folder)
    try:
        where = device_environment()
    except subprocess.CalledProcessError:
        if driver.must_stop:  # a signal to the whole process group
            return STOPPED
        raise
    driver.note_start(where)
    print(f"{where['device']}, {where['card']}, {where['versions']}", flush=True)
    if not arguments.small and not where["device"].startswith("gpu"):
        raise UserError(f"no GPU here, only {where['device']}; --small tries it all anywhere")
    commands = trainings(
        arguments.folder, arguments.seeds, cache_flags(cache), texts, arguments.small
    )
    classifiers = [command for command in commands if command.name.startswith("classifier-")]
    if texts is None:
        print("no --unlabelled=FILE: self-training is left out, pseudo_labels and student")
    for command in commands:
        if status := driver.run(command):
            return status
    if status := score_ensemble(driver, classifiers, "development", cache):
        return status
    if arguments.test:
        for command in on_test(commands, cache):
            if status := driver.run(command):
                return status
        if status := score_ensemble(driver, classifiers, "test", cache):
            return status
    print(f"\n{table(driver.report)}")
    return 0


def main() -> int:
    """Reads the command line and returns the exit status."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--token-cache", type=Path, help="folder of encoded splits")
    what.add_argument("--small", action="store_true", help="tiny sizes, made-up reviews")
    parser.add_argument("--unlabelled", type=Path, help="texts for self-training; without, none")
    parser.add_argument("--folder", type=Path, default=Path("runs/gpu_accuracy"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of classifiers")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after them")
    parser.add_argument("--no-test", dest="test", action="store_false", help="leave test unopened")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        with StopRequest() as stop:
            driver = Driver(arguments.folder, stop, began + 60 * arguments.minutes)
            with driver.locked() as free:
                status = work(driver, arguments) if free else STOPPED
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # the second Ctrl-C
        return STOPPED
    if status == STOPPED:
        print("stopped; the same command goes on")
    return status


if __name__ == "__main__":
    sys.exit(main())
