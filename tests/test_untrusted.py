"""Files of strangers: plain ones of bounded size, depth and numbers alone are read."""

import os
from pathlib import Path

import pytest

from lstm_flax.errors import UserError
from lstm_flax.untrusted import parse_json, read_plain, require_own_files, require_own_output


def test_only_plain_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"1234")
    (tmp_path / "link").symlink_to("plain")
    (tmp_path / "endless").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    assert read_plain(tmp_path / "plain") == b"1234"
    for path in (tmp_path / "link", tmp_path / "endless", tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match=str(path)):
            read_plain(path)
    with pytest.raises(OSError, match="more than the 3 bytes"):
        read_plain(tmp_path / "plain", largest=3)


def test_a_folder_of_links_or_pipes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "plain").touch()
    require_own_files(tmp_path)
    for make in (lambda path: path.symlink_to("/tmp"), os.mkfifo):
        make(tmp_path / "a" / "odd")
        with pytest.raises(UserError, match=r"a/odd: a link, pipe or device"):
            require_own_files(tmp_path)
        (tmp_path / "a" / "odd").unlink()


def test_an_output_in_a_run_leads_nowhere_else(tmp_path: Path) -> None:
    run, pipe, link = tmp_path / "run", tmp_path / "run" / "pipe", tmp_path / "run" / "link"
    run.mkdir()
    os.mkfifo(pipe)
    link.symlink_to("../outside")
    require_own_output(run / "new", [run])
    require_own_output(link, [tmp_path / "another"])
    for path in (pipe, link):
        with pytest.raises(UserError, match="a link, pipe or device"):
            require_own_output(path, [tmp_path / "another", run])


@pytest.mark.parametrize(
    "content",
    [b"[" * 200 + b"]" * 200, b"[" * 100_000, b"1" * 400, b"1e999", b"NaN", b"-Infinity", b"{"],
    ids=("deep", "very deep", "long", "infinite", "undefined", "named infinite", "cut"),
)
def test_json_that_no_program_here_writes_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(content)
