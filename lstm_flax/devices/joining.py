"""Joins the other processes of a run, and exits when one of them is lost.

A process that joins no others is not affected.
"""

import contextlib
import ctypes
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import jax
from jax._src.distributed import global_state  # the process's number, without touching a device

from lstm_flax.devices.processes import is_loss, store
from lstm_flax.errors import UserError, one_line

logger = logging.getLogger(__name__)

LOST_STATUS = 75  # sysexits.h's EX_TEMPFAIL: start all processes again
_BEAT = 5.0  # seconds between heartbeats
_SILENCE = 30.0  # seconds without a heartbeat until a process counts as lost
_HEARTBEAT = 50  # seconds of JAX's own heartbeat, which aborts; a fallback for ours
_JOINING, _PARTING = 300, 20  # seconds to wait for the others at the start and at the end


def launched_together(environment: Mapping[str, str] = os.environ) -> bool:
    """Returns True if a launcher's variables say that it started several processes as one.

    >>> launched_together({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://a:1"})
    True
    >>> launched_together({"SLURM_NTASKS": "4"})  # of a batch script, not of srun
    False
    """

    def several(size: str, *others: str) -> bool:
        there = all(name in environment for name in (size, *others))
        return there and environment[size].isdecimal() and int(environment[size]) > 1

    hosts = environment.get("TPU_PROCESS_ADDRESSES", environment.get("TPU_WORKER_HOSTNAMES", ""))
    return (
        several("SLURM_NTASKS", "SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID")
        or several("OMPI_COMM_WORLD_SIZE", "OMPI_MCA_orte_hnp_uri")
        or "," in hosts
    )


@contextlib.contextmanager
def joined(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> Iterator[None]:
    """Joins the other processes of a run, if there are any, and leaves them at the end.

    Only for programs: if another process is lost, this one exits with `LOST_STATUS`. JAX must not
    have looked for devices yet.

    Args:
        coordinator: `HOST:PORT` of the first process; `auto` for what
            `jax.distributed.initialize()` finds; None to find out from the launcher's variables
            whether there are others.
        num_processes: number of processes; 1 for this one alone, whatever the variables say.
        process_id: number of this process, from 0.

    Raises:
        UserError: the numbers do not fit, or the other processes cannot be found.
    """
    if num_processes == 1 or (coordinator is None and not launched_together()):
        if process_id or (coordinator is None and num_processes not in (None, 1)):
            raise UserError(
                "--num_processes and --process_id: are not enough; add "
                "--coordinator=HOST:PORT of the first one"
            )
        yield
        return
    logger.info("waiting for the other processes, at most %d s", _JOINING)
    with _leaving_at_abort(f"the others have not joined within {_JOINING} s (see above)"):
        _initialise(coordinator, num_processes, process_id)
    watch = _Watch()
    with _leaving_at_abort("JAX has given up, as it does when another process is lost (see above)"):
        try:
            yield
        except Exception as error:
            if is_loss(error):
                _leave(f"another process is lost ({one_line(error)[:200]})")
            raise
        watch.stop()
    with contextlib.suppress(RuntimeError):  # another has already left, so nothing is left to do
        jax.distributed.shutdown()


@contextlib.contextmanager
def _leaving_at_abort(what: str) -> Iterator[None]:
    """Exits with our message and status where JAX would abort this process.

    JAX aborts if the others do not join in time. Later, its thread that listens to the first
    process aborts as soon as the connection closes, often before the watch or a failed sum has
    reported the loss. JAX's Python callback for that cannot be used (jaxlib 0.10.2 ends in
    std::bad_cast), and Python's own handlers run too late, so this uses the C library's call.
    """
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: _leave(what))
    before = _set_handler(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
    try:
        yield
    finally:
        _set_handler(signal.SIGABRT, before)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Lets SIGINT and SIGTERM end this process; Python's handlers run only after JAX's wait."""
    before = {number: _set_handler(number, None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if (since := _set_handler(number, handler)) is not None:
                _set_handler(number, since)  # JAX's own, which informs the others


def _set_handler(number: int, handler: Any) -> Any:
    """Calls the C library's `signal`; None is the default handler."""
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    return set_handler(number, handler)


def _initialise(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    address = None if coordinator in (None, "auto") else coordinator
    if address is not None and not _is_address(address):
        raise UserError(f"--coordinator={address}: not HOST:PORT; name the first process's")
    local = address is not None and address.rsplit(":", 1)[0] in ("127.0.0.1", "localhost")
    try:
        with _ended_by_signals():
            jax.distributed.initialize(
                address,
                num_processes,
                process_id,
                initialization_timeout=_JOINING,
                heartbeat_timeout_seconds=_HEARTBEAT,
                shutdown_timeout_seconds=_PARTING,
                coordinator_bind_address=address if local else None,  # else all interfaces
            )
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"the other processes cannot be joined ({one_line(error)}); give every process "
            "--coordinator=HOST:PORT of the first one, --num_processes and its own --process_id"
        ) from error
    if global_state.process_id:
        logging.getLogger("lstm_flax").setLevel(logging.ERROR)


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and re.fullmatch(r"[0-9]{1,5}", port) is not None and 0 < int(port) < 2**16


class _Watch:
    """A thread that sends heartbeats, and ends this process when another process stops."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Ends the watch."""
        self._stopped.set()

    def _run(self) -> None:
        heard: dict[str, tuple[str, float]] = {}
        number = 0
        with ThreadPoolExecutor(1) as asking:  # the first process may be the stuck one
            while not self._stopped.wait(_BEAT):
                number += 1
                try:
                    beats = asking.submit(_exchange_beats, number).result(_SILENCE)
                except TimeoutError:
                    self._lose("the first process has not answered", _SILENCE)
                except Exception as error:
                    self._lose(f"the first process has ended ({one_line(error)[:200]})")
                now = time.monotonic()
                for name, beat in beats:
                    if heard.get(name, ("", now))[0] != beat:
                        heard[name] = (beat, now)
                    elif now - heard[name][1] > _SILENCE:
                        process = name.rsplit("/", 1)[-1]
                        self._lose(f"process {process} has not given a sign of life", _SILENCE)

    def _lose(self, what: str, seconds: float = 0.0) -> None:
        if not self._stopped.is_set():
            _leave(what + (f" for {seconds:.0f} s" if seconds else ""))


def _exchange_beats(number: int) -> list[tuple[str, str]]:
    own = f"lstm_flax/beat/{global_state.process_id}"
    store().key_value_set(own, str(number), allow_overwrite=True)
    beats: list[tuple[str, str]] = store().key_value_dir_get("lstm_flax/beat/")
    return beats


def _leave(what: str) -> NoReturn:
    """Ends this process at once, because anything that waits for the others would never finish."""
    line = f"error: {what}; start all processes again, and the run continues\n"
    os.write(2, line.encode(errors="replace"))
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # it may be in mid-write
        sys.stdout.flush()
    os._exit(LOST_STATUS)


def end_program(status: int) -> NoReturn:
    """Ends a failed process while others may still run; the first process exits last.

    The others' connections end with the first process, and they should report their own errors.
    """
    if global_state.process_id == 0:
        time.sleep(2)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
