"""Damage of every kind to every file of a checkpoint: found before anything else is read."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lstm_flax.checkpoints.manifest import MANIFEST, DamagedCheckpoint, Manifest, verify
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.errors import UserError
from tests.checkpoints.resealing import reseal


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


def link(path: Path) -> None:
    """The same bytes, elsewhere."""
    path.replace(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def swap(path: Path) -> None:
    """Another file of the same checkpoint under this one's name."""
    (checkpoint,) = (parent for parent in path.parents if (parent / MANIFEST).is_dir())
    others = [
        p for p in checkpoint.rglob("*") if p.is_file() and p.read_bytes() != path.read_bytes()
    ]
    shutil.copyfile(others[0], path)


def replace(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "swapped": swap,
    "folder": replace(Path.mkdir),
    "link": link,
    "fifo": replace(os.mkfifo),
    "endless": replace(lambda path: path.symlink_to("/dev/zero")),
}


@pytest.fixture
def checkpoint(finished: tuple[Path, dict], tmp_path: Path) -> Path:
    (path,) = (path for path in (finished[0] / "best").iterdir() if path.name.isdigit())
    return Path(shutil.copytree(path, tmp_path / "best" / path.name))


def files(checkpoint: Path) -> list[Path]:
    """Every file but the marks of Orbax."""
    marks = ("commit_success.txt", "_CHECKPOINT_METADATA")
    return sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name not in marks)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
@pytest.mark.parametrize("reader", ["scandir", "open"])
def test_a_file_that_cannot_be_read_now_is_not_damaged(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, reader: str, number: int
) -> None:
    """A missing right or a lost disk says nothing of what is stored."""
    owner = os if reader == "scandir" else Path
    whole = getattr(owner, reader)

    def refuse(path: Path, *arguments: object) -> object:
        if "params" in str(Path(path).relative_to(checkpoint.parent)):
            raise OSError(number, os.strerror(number), str(path))
        return whole(path, *arguments)

    monkeypatch.setattr(owner, reader, refuse)
    with pytest.raises(UserError, match=rf"{checkpoint.name}: cannot be read .*params"):
        verify(checkpoint)


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_file_is_watched(checkpoint: Path, tmp_path: Path, kind: str) -> None:
    assert verify(checkpoint).step == int(checkpoint.name)
    assert len(files(checkpoint)) > 8
    for number, path in enumerate(files(checkpoint)):
        copy = shutil.copytree(checkpoint, tmp_path / str(number) / checkpoint.name)
        name = path.relative_to(checkpoint)
        DAMAGES[kind](copy / name)
        # A flipped bit of the manifest may lie in another file's name, which is then missing.
        named = "." if name.parts[0] == MANIFEST else str(name.parts[0])
        with pytest.raises(DamagedCheckpoint, match=named):
            verify(copy)


@pytest.mark.parametrize("kind", ["flipped", "fifo"])
def test_a_damaged_model_is_not_loaded(checkpoint: Path, kind: str) -> None:
    DAMAGES[kind](checkpoint / "encoder" / "tokenizer.model")
    with pytest.raises(UserError, match="best: no whole checkpoint can be read"):
        load_trained_model(checkpoint)


def test_what_is_not_the_checkpoint_s_own_is_not_read(checkpoint: Path) -> None:
    for mark in [p for p in checkpoint.rglob("*") if p.is_file() and p not in files(checkpoint)]:
        mark.write_bytes(b"\xff{")
    (checkpoint / "encoder" / ".DS_Store").write_bytes(b"\0")
    assert load_trained_model(checkpoint).step == int(checkpoint.name)
    (checkpoint / "_CHECKPOINT_METADATA").unlink()
    assert load_trained_model(checkpoint).step == int(checkpoint.name)


def test_a_checkpoint_replaced_while_it_is_read_gives_way_to_the_next(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lstm_flax.checkpoints import folder

    def replace_then_verify(path: Path) -> Manifest:
        if path == checkpoint:
            shutil.copytree(path, path.with_name("99"))
            reseal(path.with_name("99"))
            shutil.rmtree(path)
        return verify(path)

    monkeypatch.setattr(folder, "verify", replace_then_verify)
    assert load_trained_model(checkpoint.parent).step == 99
