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

from lstm_flax.errors import UserError, one_line
from lstm_flax.files import cache_folder, replace_file
from lstm_flax.untrusted import read_plain, require_own_files

logger = logging.getLogger(__name__)

_WORTH_KEEPING = 0.3  # seconds of compilation above which a program is kept on disk
_LARGEST = 2_000_000_000  # bytes of a program
_PROGRAM, _CHECKSUM = "-cache", "-sha256"  # JAX's ending, and that of the checksum beside it
_SETTING = "jax_compilation_cache_dir"
_CHOSEN = _SETTING.upper()  # the same setting in the environment


def keep_compiled_programs() -> None:
    """Keeps compiled programs in `cache_folder()`, after removing any that have changed.

    JAX's own setting takes precedence: if JAX_COMPILATION_CACHE_DIR is set, nothing changes.

    Raises:
        UserError: no cache folder is known, or it holds links, pipes or devices.
    """
    if _CHOSEN in os.environ:
        return
    folder = _folder()
    require_own_files(folder)  # JAX would wait for a pipe
    record_checksums()  # of an earlier call in this process
    if (folder.exists() and not folder.is_dir()) or not _drop_changed(folder):
        logger.warning("%s: cannot be used; each process compiles its programs again", folder)
        return
    # A program that cannot be read has been reported, and a full disk will be noticed elsewhere.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    jax.config.update(_SETTING, str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)
    atexit.unregister(record_checksums)
    atexit.register(record_checksums)


def record_checksums() -> None:
    """Records the checksums of programs that have none yet, if this cache is in use."""
    kept_in = getattr(jax.config, _SETTING)
    try:
        folder = _folder()
    except UserError:  # a user may have set another folder in JAX
        return
    if _CHOSEN in os.environ or kept_in is None or Path(kept_in) != folder:
        return
    for program in folder.glob(f"*{_PROGRAM}"):
        path = _checksum_path(program)
        if not path.exists():
            # Without a checksum, the program is compiled again by the next process.
            with contextlib.suppress(OSError):
                content = read_plain(program, _LARGEST)
                if _is_whole(content):  # another process may be writing it
                    replace_file(path, _checksum(program.name, content))


def _drop_changed(folder: Path) -> bool:
    """Removes programs that differ from their checksums, and those without one.

    A process that was killed leaves programs without checksums, and so, for a moment, does one that
    is compiling.

    Returns:
        False if one of them is still there, so JAX would run it.
    """
    programs = set(folder.glob(f"*{_PROGRAM}"))
    orphans = set(folder.glob(f"*{_CHECKSUM}")) - {_checksum_path(path) for path in programs}
    for path in orphans:  # the checksum of a program that was deleted, and may be compiled again
        _remove(path)
    changed, removed = 0, True
    for program in programs:
        path, intact = _checksum_path(program), False
        try:
            content = read_plain(program, _LARGEST)
            intact = path.exists() and read_plain(path) == _checksum(program.name, content)
            changed += path.exists() and not intact
        except FileNotFoundError:  # another process has removed it
            continue
        except OSError as error:
            logger.warning("%s: cannot be used (%s); compiling it again", program, one_line(error))
        if not intact:
            _remove(program)
            _remove(path)
            removed = removed and not program.is_file()
    if changed:
        message = "%s: compiled programs that have changed: %d; compiling them again"
        logger.warning(message, folder, changed)
    return removed


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
