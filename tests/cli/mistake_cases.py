"""A command that must fail, and what it says."""

from pathlib import Path

import pytest

from lstm_flax.cli import main


def mistake(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """Runs a command that must fail; its one line on standard error."""
    status = main(list(arguments))
    captured = capsys.readouterr()
    assert status == 2
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    assert captured.out == ""
    return lines[0]


def train_arguments(tmp_path: Path, **data: object) -> list[str]:
    fields = {"source": "files", "cache_dir": tmp_path / "cache"} | data
    flags = [f"--config.data.{name}={value}" for name, value in fields.items()]
    small = ["--config.tokenizer.kind=word", "--config.tokenizer.vocab_size=40"]
    return ["train", "--config=imdb", f"--workdir={tmp_path / 'run'}", *small, *flags]
