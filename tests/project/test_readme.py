"""Every code block of README.md and of the guides in docs/ is run, in order, a folder a document.

The rule: a block is run as it stands, with these exceptions and no others.

- `python -m venv`, `pip install` and `pytest` are not run: they need the network, or would run this
  test again. What `pip` is to install must exist: the extras in pyproject.toml, the constraints.
- A command with `--config`, or with data (`train mine.csv`), gets the flags `SMALL` after its own:
  a model and a vocabulary of seconds. One that names no files of its own gets `TEXTS` too, so that
  nothing is downloaded. Flags are still read in full: a wrong name or value fails.
- `--split=unsupervised` becomes `--split=development`: `TEXTS` has no unlabelled texts.
- `evaluate`, `report` and a command with `--split`, of a run get `--config=WORKDIR/config.json` if
  they name neither: after `TEXTS` the run's data are files, which a checkpoint cannot open.
- `glove-50d`, a package, becomes `vectors.txt`, with as many numbers a word as `SMALL` has.
- `> FILE` writes what the command prints to the file, as the shell would.
- The Python blocks of a tutorial share one session, and a text block is what the block before it
  printed: words to the letter, numbers within 2%, powers of ten within one. Its blocks that import
  torch are run where torch is installed.
"""

import contextlib
import importlib.util
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from lstm_flax.cli import main
from tests.conftest import templated_texts, write_jsonl

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(bash|python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SMALL = [
    "--config.data.cache_dir=cache",
    "--config.tokenizer.kind=word",
    "--config.tokenizer.vocab_size=64",
    "--config.data.max_length=32",
    "--config.language_model.bptt_length=4",
    "--config.model.embedding_size=8",
    "--config.model.hidden_size=8",
    "--config.training.epochs=1",
]
TEXTS = ["--config.data.source=files", "--config.data.train_path=texts.jsonl"]


class Expected(NamedTuple):
    """How many blocks a document has at least, how many answers `predict` prints, and a line.

    `tutorial`: its Python blocks share one session.
    """

    blocks: int
    answers: int
    line: str | None = None
    tutorial: bool = False


DOCUMENTS = {
    "README.md": Expected(blocks=7, answers=3, line="accuracy: 1.0"),
    "docs/command_line.md": Expected(blocks=12, answers=3),
    "docs/export.md": Expected(blocks=2, answers=0),
    "docs/your_data.md": Expected(blocks=4, answers=1),
    "docs/language_model.md": Expected(blocks=2, answers=0),
    "docs/explanations.md": Expected(blocks=3, answers=1),
    "docs/tutorial.md": Expected(blocks=33, answers=0, tutorial=True),
}


def read_blocks(document: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))


def commands(block: str) -> list[list[str]]:
    """The words of each command; a line that ends in a backslash goes on."""
    lines = block.replace("\\\n", " ").splitlines()
    parts = (part for line in lines for part in line.split(" && "))
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def check_installation(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in re.findall(r"\.\[([\w,]+)\]", " ".join(words)):
        assert set(extra.split(",")) <= set(project["optional-dependencies"])
    if "-c" in words:
        assert (ROOT / words[words.index("-c") + 1]).is_file()


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program, arguments = Path(words[0]).name, words[1:]
    if program == "pip" or arguments[:2] in (["-m", "venv"], ["-m", "pytest"]):
        check_installation(words)
        return
    reads_data = arguments[0] in ("train", "inspect", "baselines")
    has_data = reads_data and not arguments[1].startswith("-")
    if has_data or any(word.startswith("--config=") for word in arguments):
        own_data = has_data or "--config.data.source=files" in arguments
        arguments += SMALL if own_data else SMALL + TEXTS
    elif arguments[0] == "report":
        arguments.append(f"--config={arguments[1]}/config.json")
    elif arguments[0] == "evaluate" or any(word.startswith("--split=") for word in arguments):
        places = [w.removeprefix("--workdir=") for w in arguments if w.startswith("--workdir=")]
        at = next((i for i, w in enumerate(arguments) if w == ">"), len(arguments))
        if places and not any(word.startswith("--file=") for word in arguments):
            arguments.insert(at, f"--config={places[0]}/config.json")
    arguments = [word.replace("=glove-50d", "=vectors.txt") for word in arguments]
    arguments = ["--split=development" if w == "--split=unsupervised" else w for w in arguments]
    if program == "lstm-flax":
        with contextlib.ExitStack() as stack:
            if arguments[-2:-1] == [">"]:
                file = stack.enter_context(open(arguments[-1], "w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(file))
                arguments = arguments[:-2]
            assert main(arguments) == 0
        return
    assert program.startswith("python"), f"no rule for {program}"
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(arguments[0], run_name="__main__")
    assert ended.value.code == 0


NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d*)?(?:e[+-]?\d+)?")


def check_printed(printed: str, shown: str) -> None:
    """A block printed what the document shows below it."""
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (printed, shown)]
    assert words[0] == words[1]
    for ours, theirs in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        if "e" in theirs:
            assert abs(int(ours.split("e")[1]) - int(theirs.split("e")[1])) <= 1
        else:
            assert float(ours) == pytest.approx(float(theirs), rel=0.02, abs=0.011)


@pytest.mark.parametrize("other", ["a 0.3 1e-10", "a 0.5 1e-12", "b 0.5 1e-10", "a 0.5"])
def test_what_a_block_prints_is_compared(other: str) -> None:
    check_printed("a  0.5 1e-10\n", "a 0.505 9e-11")
    with pytest.raises(AssertionError):
        check_printed("a 0.5 1e-10", other)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_runs(
    document: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    for name in ("configs", "train.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    records = templated_texts(80, seed=1)
    write_jsonl(tmp_path / "texts.jsonl", records)
    rows = "".join(f"{record['text']},{record['label']}\n" for record in records)
    for name in ("mine.csv", "more.csv"):
        (tmp_path / name).write_text("text,label\n" + rows, encoding="utf-8")
    for name in ("tickets.csv", "more_tickets.csv"):
        (tmp_path / name).write_text("body,mood\n" + rows, encoding="utf-8")
    words = sorted({word for record in records for word in record["text"].split()})
    vectors = "".join(f"{word}{' 0.5' * 8}\n" for word in words)
    (tmp_path / "vectors.txt").write_text(vectors, encoding="utf-8")
    (tmp_path / "new.txt").write_text("a superb film\ndull and hollow\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    blocks = read_blocks(document)
    expected = DOCUMENTS[document]
    assert len(blocks) >= expected.blocks
    has_torch = importlib.util.find_spec("torch") is not None
    session: dict = {}
    outputs: list[str] = []
    for index, (language, block) in enumerate(blocks):
        if "import torch\n" in blocks[index - (language == "text")][1] and not has_torch:
            assert expected.tutorial
        elif language == "python":
            exec(compile(block, document, "exec"), session if expected.tutorial else {})
            outputs.append(capsys.readouterr().out)
        elif language == "text":
            check_printed(outputs[-1], block)
        else:
            for words in commands(block):
                run_command(words, monkeypatch)
            outputs.append(capsys.readouterr().out)
    printed = "".join(outputs).splitlines()
    assert sum(line.startswith('{"text"') for line in printed) == expected.answers
    assert expected.line is None or expected.line in printed


def test_every_document_with_commands_is_run() -> None:
    guides = [
        path
        for path in (ROOT / "docs").glob("*.md")
        if "```bash\nlstm-flax" in path.read_text("utf-8")
    ]
    assert {f"docs/{path.name}" for path in guides} <= set(DOCUMENTS)


@pytest.mark.parametrize(
    "line",
    [
        "lstm-flax train --config=quickstart --config.model.hiden_size=9 --workdir=x",
        "lstm-flax train --config=quickstrat --workdir=x",
        "python train.py --config=configs/quickstart.py --wordir=x",
        "pip install -e '.[cudda]'",
        "lstm_flax predict --workdir=x text",
    ],
)
def test_the_rule_lets_no_misspelling_through(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(ROOT / "train.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    (words,) = commands(line)
    with pytest.raises(AssertionError):
        run_command(words, monkeypatch)
