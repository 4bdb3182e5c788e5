"""Files written whole or not at all, and the folder of caches."""

import errno
import os
import pwd
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lstm_flax import files
from lstm_flax.checkpoints.folder import require_plain_name
from lstm_flax.errors import UserError
from lstm_flax.exporting.export import check_export
from lstm_flax.files import cache_folder, expanded, write_bytes, write_output, write_text


@pytest.mark.smoke
def test_what_is_written_is_there_byte_for_byte(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"\r\n\xff")
    write_bytes(tmp_path / "a", b"\n\xff")
    write_text(tmp_path / "b", "ü\n")
    assert (tmp_path / "a").read_bytes() == b"\n\xff"
    assert (tmp_path / "b").read_bytes() == b"\xc3\xbc\n"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


@pytest.mark.parametrize("step", ["open_plain", "replace"])
def test_what_cannot_be_written_leaves_the_old_file(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, _: object) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(files if step == "open_plain" else Path, step, fail)
    for write in (lambda: write_bytes(path, b"new"), lambda: write_text(path, "new")):
        with pytest.raises(UserError, match=rf"^{path}: .*No space"):
            write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_cache_lies_where_xdg_says_or_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for relative in ("", "cache", "~/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", relative)
        assert cache_folder() == tmp_path / ".cache" / "lstm_flax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "lstm_flax"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "lstm_flax"
    assert list(tmp_path.iterdir()) == []


def test_no_home_is_a_mistake_that_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(UserError, match=r"XDG_CACHE_HOME.*config\.data\.cache_dir$"):
        cache_folder("config.data.cache_dir")
    with pytest.raises(UserError, match=r"XDG_CACHE_HOME"):
        cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lstm_flax"


def test_a_link_under_the_temporary_name_is_not_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    run = tmp_path / "run"
    run.mkdir()
    (run / f".a.{os.getpid()}-{threading.get_ident()}").symlink_to(outside)
    with pytest.raises(UserError, match="cannot be written"):
        write_text(run / "a", "new")
    assert outside.read_text() == "precious"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"there is no folder {tmp_path / 'none'}; make it first"):
        write_text(tmp_path / "none" / "a", "text")
    assert list(tmp_path.iterdir()) == []


def test_an_output_goes_where_a_link_leads_and_into_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    for text in ("made", "replaced"):
        write_output(tmp_path / "link", text)
        assert (tmp_path / "target").read_text() == text
    assert (tmp_path / "link").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_output(tmp_path / "pipe", "through")
    assert os.read(reader, 99) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 3


def test_an_output_that_is_a_link_in_a_circle_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("back")
    (tmp_path / "back").symlink_to("link")
    with pytest.raises(UserError, match=r"link: a link that leads in a circle; remove it"):
        write_output(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_home_that_nobody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a") == tmp_path / "a"
    with pytest.raises(UserError, match=r"^~nosuchuser/a: no home folder is known for ~nosuchuser"):
        expanded("~nosuchuser/a")


def test_names_that_are_not_utf_8_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"r\xff")
    with pytest.raises(UserError, match=r"a name that is not UTF-8; rename that folder"):
        require_plain_name(folder / "run")
    with pytest.raises(UserError, match=r"a name that is not UTF-8, which the exported program"):
        check_export("safetensors", "float32", folder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("allowed", [8, 40, 127])
def test_too_few_open_files_are_one_line(allowed: int) -> None:
    limited = ["sh", "-c", f"ulimit -n {allowed}; exec {sys.executable} -m lstm_flax predict good"]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"error: .*only {allowed} files .*ulimit -Hn 1024.*\n", done.stderr)


def test_the_soft_limit_of_open_files_is_raised() -> None:
    script = "import resource; from lstm_flax.files import allow_open_files; allow_open_files(); "
    script += "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    limited = ["sh", "-c", f"ulimit -S -n 20; exec {sys.executable} -c '{script}'"]
    assert int(subprocess.check_output(limited, text=True)) >= 1024
