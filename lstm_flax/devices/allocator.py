"""Keeps freed memory, for speed on CPUs, and sometimes returns it to the system.

XLA allocates a step's large temporaries anew each step. glibc returns such memory to the system
and fetches it again page by page, which takes a fifth of a training step's time on two cores
(docs/performance.md).
"""

import contextlib
import ctypes
import sys

# Parameters of mallopt(3), from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGEST = 2**31 - 1  # bytes; mallopt takes an int


def keep_freed_memory() -> None:
    """Makes the C allocator reuse freed memory; does nothing unless it is glibc's.

    It uses one arena for all threads, since only the first may grow past 64 MiB without `mmap`; no
    `mmap` for allocations below 2 GiB; and returns nothing to the system. Call it before using
    jax: arenas that other threads have already created stay. The process keeps its peak memory
    until `release_freed_memory`.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(AttributeError, OSError):  # a C library without mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST)
        mallopt(_M_TOP_PAD, 256 * 2**20)


def release_freed_memory() -> None:
    """Returns the C allocator's unused memory to the system; does nothing unless it is glibc's.

    Compilation leaves hundreds of megabytes behind, and small arrays that stay between large ones
    that are freed make the memory of a long run grow. Takes milliseconds, now and at the next use.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError, OSError):  # a C library without malloc_trim
            ctypes.CDLL(None).malloc_trim(0)
