"""Keeps compiled programs on disk for the next process, with a checksum for each.

JAX runs whatever its cache holds under the right name, so a file that was cut off, altered or
copied over another would crash a later process or, worse, compute something else.
"""

import atexit
import contextlib
import hashlib
import importlib
import logging
import os
import warnings
from pathlib import Path

import jax

from lstm_flax.errors import one_line
from lstm_flax.files import cache_folder, replace_file
from lstm_flax.untrusted import read_plain, require_own_files

logger = logging.getLogger(__name__)

_WORTH_KEEPING = 0.3  # seconds of compilation above which a program is kept on disk
_LARGEST = 2_000_000_000  # bytes of a program
_PROGRAM, _CHECKSUM = "-cache", "-sha256"  # JAX's ending, and that of the checksum beside it
_SETTING = "jax_compilation_cache_dir"
_CHOSEN = _SETTING.upper()  # the same setting in the environment


def keep_compiled_programs() -> None:
    """Keeps compiled programs in `cache_folder()`, without those that have changed there.

    JAX's own setting takes precedence: if JAX_COMPILATION_CACHE_DIR is set, nothing changes.

    Raises:
        UserError: no cache folder is known, or it holds links, pipes or devices.
    """
    if _CHOSEN in os.environ:
        return
    folder = _folder()
    require_own_files(folder)  # JAX would wait for a pipe
    if folder.exists() and not folder.is_dir():
        logger.warning("%s: not a folder; programs are compiled anew by each process", folder)
        return
    _drop_changed(folder)
    # A program that cannot be read has had its line, and a full disk will be noticed elsewhere.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    jax.config.update(_SETTING, str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)
    atexit.register(record_checksums)


def record_checksums() -> None:
    """Records checksums of the programs kept since the last call, if they are kept here."""
    kept_in = getattr(jax.config, _SETTING)
    if _CHOSEN in os.environ or kept_in is None or Path(kept_in) != _folder():
        return
    for program in Path(kept_in).glob(f"*{_PROGRAM}"):
        path = _checksum_path(program)
        if not path.exists():
            # Without a checksum, the program is compiled again by the next process.
            with contextlib.suppress(OSError):
                content = read_plain(program, _LARGEST)
                if _is_whole(content):  # another process may be writing it
                    replace_file(path, _checksum(program.name, content))


def _drop_changed(folder: Path) -> None:
    """Removes programs that differ from their checksum or, their process killed, have none."""
    programs = set(folder.glob(f"*{_PROGRAM}"))
    orphans = set(folder.glob(f"*{_CHECKSUM}")) - {_checksum_path(path) for path in programs}
    for path in orphans:  # the checksum of a program that was deleted, and may be compiled again
        _remove(path)
    changed = 0
    for program in programs:
        path = _checksum_path(program)
        try:
            content = read_plain(program, _LARGEST)
            intact = path.exists() and read_plain(path) == _checksum(program.name, content)
        except FileNotFoundError:  # another process has removed it
            continue
        except OSError as error:
            logger.warning("%s: cannot be used (%s); compiling it again", program, one_line(error))
            continue
        if not intact:
            changed += path.exists()
            _remove(program)
            _remove(path)
    if changed:
        logger.warning("%s: %d programs have changed; compiling them again", folder, changed)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # another process has removed it
        path.unlink()


def _checksum(name: str, content: bytes) -> bytes:
    """Returns a checksum of name and content, since each name is right for one program only."""
    return hashlib.sha256(name.encode() + b"\0" + content).hexdigest().encode()


def _is_whole(content: bytes) -> bool:
    """Returns True if a program can be decompressed by one of the modules that JAX uses."""
    for module in ("zlib", "compression.zstd", "zstandard"):
        with contextlib.suppress(Exception):  # not installed, or each module's own error
            importlib.import_module(module).decompress(content)
            return True
    return False


def _checksum_path(program: Path) -> Path:
    return program.with_name(program.name.removesuffix(_PROGRAM) + _CHECKSUM)


def _folder() -> Path:
    return cache_folder(_CHOSEN) / "compiled"
