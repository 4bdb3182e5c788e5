"""Errors in one line: what an exception says, what cannot be written, the traceback on demand."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from lstm_flax.cli import main
from lstm_flax.errors import UserError, one_line
from lstm_flax.files import make_folder, write_text
from lstm_flax.training.run.progress import RunLog


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("no such file\n  or\tfolder \n"), "no such file or folder"),
        (EOFError(), "EOFError"),
        (OSError(" \n "), "OSError"),
        (KeyError("x" * 300), "'" + "x" * 199),
    ],
)
@pytest.mark.smoke
def test_one_line_of_an_exception(error: Exception, expected: str) -> None:
    assert one_line(error) == expected


def test_what_a_run_cannot_write_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results.json").mkdir()  # root may write in any folder, but not in a file's place
    (tmp_path / "file").touch()
    for path in (tmp_path / "results.json", tmp_path / "file" / "results.json"):
        with pytest.raises(UserError, match=rf"^{path}: cannot be written \([^\n]*\); give the"):
            write_text(path, "{}")
        with pytest.raises(UserError, match=rf"^{path}: cannot be written \([^\n]*\); give the"):
            RunLog(path, 0)
    with pytest.raises(UserError, match="file/run: cannot be made the folder of a run"):
        make_folder(tmp_path / "file" / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "file"}


def test_a_log_on_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log = RunLog(tmp_path / "log.jsonl", 0)
    log.close()
    monkeypatch.setattr(log, "_file", SimpleNamespace(write=write))
    with pytest.raises(UserError, match=r"No space.*make room"):
        log.write("train", 1)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        main(["predict", "--debug", f"--workdir={tmp_path}", "text"])
