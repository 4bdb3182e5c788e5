"""Compiled programs are kept on disk for the next process, which checks them first."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
import sys
import jax, jax.numpy as jnp
from lstm_flax.devices import program_cache
program_cache._WORTH_KEEPING = 0.0
program_cache.keep_compiled_programs()
print(f"{jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((4, 4)))[0, 0]:.4f}")
print(f"{jax.jit(lambda x, y: jnp.cos(x) @ y)(jnp.ones((4, 4)), jnp.ones((4, 5)))[0, 0]:.4f}")
"""
# Compiled ahead of its use, by a process that is then killed.
KILLED = """
import os, signal, typing
from lstm_flax.devices.compilation import BucketedFunction
class Tokens(typing.NamedTuple):
    token_ids: jax.Array
tokens = Tokens(jnp.ones((2, 3), int))
BucketedFunction(lambda tree, batch: tree * batch.token_ids).compile(2.0, [tokens])
os.kill(os.getpid(), signal.SIGKILL)
"""
ANSWERS = "3.3659\n2.1612\n"


def run_program(home: Path, program: str = PROGRAM, **variables: str) -> tuple[str, str]:
    """Runs a program in a fresh process; returns what it printed, and its warnings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XDG_"))}
    environment |= {"HOME": str(home), "JAX_PLATFORMS": "cpu", **variables}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=99
    )
    assert done.returncode == (-9 if program.endswith(KILLED) else 0), done.stderr
    return done.stdout, done.stderr


def kept(home: Path) -> dict[str, int]:
    """Returns the programs that are kept, and when each was written."""
    folder = home / ".cache" / "lstm_flax" / "compiled"
    return {str(path): path.stat().st_mtime_ns for path in folder.glob("*-cache")}


def test_the_next_process_finds_what_was_compiled(tmp_path: Path) -> None:
    assert run_program(tmp_path) == (ANSWERS, "")
    before = kept(tmp_path)
    assert len(before) >= 2
    assert run_program(tmp_path) == (ANSWERS, "")
    assert kept(tmp_path) == before


def test_what_a_killed_process_had_compiled_is_kept(tmp_path: Path) -> None:
    run_program(tmp_path, PROGRAM + KILLED)
    before = kept(tmp_path)
    run_program(tmp_path, PROGRAM + KILLED)
    assert before
    assert kept(tmp_path) == before


def half(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def flipped(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def swapped(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)


def swapped_with_its_checksum(path: Path, other: Path) -> None:
    swapped(path, other)
    swapped(checksum(path), checksum(other))


def checksum(program: Path) -> Path:
    return Path(str(program).removesuffix("-cache") + "-sha256")


@pytest.mark.parametrize("damage", [half, flipped, swapped, swapped_with_its_checksum])
def test_a_program_that_has_changed_is_compiled_again(
    tmp_path: Path, damage: Callable[[Path, Path], None]
) -> None:
    run_program(tmp_path)
    programs = sorted(map(Path, kept(tmp_path)))
    for path, other in zip(programs, programs[1:] + programs[:1], strict=True):
        damage(path, other)
    out, err = run_program(tmp_path)
    assert out == ANSWERS
    assert f"{programs[0].parent}: compiled programs that have changed: {len(programs)};" in err
    assert err.count("\n") == 1
    assert kept(tmp_path).keys() == set(map(str, programs))


def test_programs_without_a_checksum_are_compiled_again_in_silence(tmp_path: Path) -> None:
    run_program(tmp_path)
    before = kept(tmp_path)
    for path in map(Path, before):
        checksum(path).unlink()
        path.write_bytes(b"cut off")
    assert run_program(tmp_path) == (ANSWERS, "")
    assert kept(tmp_path).keys() == before.keys()
    assert kept(tmp_path) != before


def test_what_another_process_left_half_written_gets_no_checksum(tmp_path: Path) -> None:
    run_program(tmp_path)
    programs = [Path(path) for path in kept(tmp_path)]
    half_written = f"""
import pathlib
for path in {[str(path) for path in programs]}:
    pathlib.Path(path).write_bytes(pathlib.Path(path).read_bytes()[:200])
    pathlib.Path(path.removesuffix("-cache") + "-sha256").unlink()
program_cache.record_checksums()
"""
    run_program(tmp_path, PROGRAM + half_written)
    assert not any(checksum(path).exists() for path in programs)
    assert run_program(tmp_path) == (ANSWERS, "")
    assert all(checksum(path).exists() for path in programs)


def test_a_folder_in_a_program_s_place_is_one_line_and_stays(tmp_path: Path) -> None:
    run_program(tmp_path)
    for path in map(Path, kept(tmp_path)):
        path.unlink()
        path.mkdir()
    out, err = run_program(tmp_path)
    assert out == ANSWERS
    assert err.count("cannot be used") == err.count("\n") == len(kept(tmp_path))


def test_a_changed_program_whose_checksum_is_a_folder_is_not_run(tmp_path: Path) -> None:
    run_program(tmp_path)
    programs = [Path(path) for path in kept(tmp_path)]
    for path, other in zip(programs, programs[1:] + programs[:1], strict=True):
        swapped(path, other)
        checksum(path).unlink()
        checksum(path).mkdir()
    out, err = run_program(tmp_path)
    assert out == ANSWERS
    assert err.count("cannot be used") == err.count("\n") == len(programs)


def test_a_changed_program_that_cannot_be_removed_is_not_run(tmp_path: Path) -> None:
    run_program(tmp_path)
    programs = [Path(path) for path in kept(tmp_path)]
    for path, other in zip(programs, programs[1:] + programs[:1], strict=True):
        swapped(path, other)
    keeping = PROGRAM.replace(
        "program_cache.keep", "program_cache._remove = id\nprogram_cache.keep"
    )
    out, err = run_program(tmp_path, keeping)
    assert out == ANSWERS
    assert "cannot be used; each process compiles its programs again" in err


def test_a_file_in_the_folder_s_place_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "lstm_flax"
    folder.mkdir(parents=True)
    (folder / "compiled").write_text("in the way")
    out, err = run_program(tmp_path)
    assert out == ANSWERS
    assert err.count("cannot be used") == err.count("\n") == 1


def test_a_deleted_program_is_compiled_again_in_silence(tmp_path: Path) -> None:
    run_program(tmp_path)
    for path in map(Path, kept(tmp_path)):
        path.unlink()
    for _ in range(2):
        assert run_program(tmp_path) == (ANSWERS, "")


def test_the_cache_lies_where_xdg_says(tmp_path: Path) -> None:
    run_program(tmp_path, XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert any((tmp_path / "xdg" / "lstm_flax" / "compiled").iterdir())
    assert not (tmp_path / ".cache").exists()


def test_a_folder_the_user_has_chosen_is_left_alone(tmp_path: Path) -> None:
    run_program(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
    assert not (tmp_path / ".cache").exists()
    assert not list((tmp_path / "mine").glob("*-sha256"))
