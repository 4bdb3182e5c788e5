"""Several processes that train one run: who is first, and how they agree; see `joining.py`.

Everything here does nothing, and touches no device, in a process that has not joined others. The
first process is the one that reads for all, writes and prints.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax._src.distributed import global_state  # the only door to JAX's key-value store
from jax.experimental import multihost_utils

from lstm_flax.errors import UserError

T = TypeVar("T")
_ANSWER = 7 * 24 * 3600 * 1000  # milliseconds that the first process may take; the watch is sooner
_LOST = ("gloo", "nccl", "coordination", "unavailable", "deadline_exceeded", "barrier")

_numbers = itertools.count()  # of the questions asked in `from_first`, the same in every process


def several() -> bool:
    """True if this process has joined others."""
    return jax.distributed.is_initialized() and global_state.num_processes > 1


def is_first() -> bool:
    """True in the process that reads for all, writes and prints; a process alone is the first."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def from_first(make: Callable[[], T]) -> T:
    """Calls a function in the first process alone and gives every process its result.

    >>> from_first(lambda: {"step": 7})
    {'step': 7}

    Args:
        make: returns plain values, as JSON has them.

    Raises:
        UserError: in every process, where the function raises it.
    """
    if not several():
        return make()
    key = f"lstm_flax/answer/{next(_numbers)}"
    if not is_first():
        answer = json.loads(store().blocking_key_value_get(key, _ANSWER))
        if "error" in answer:
            raise UserError(answer["error"])
        return answer["value"]
    try:
        value = make()
    except UserError as error:
        store().key_value_set(key, json.dumps({"error": str(error)}))
        raise
    store().key_value_set(key, json.dumps({"value": value}))
    return value


def store() -> Any:
    """JAX's key-value store, which every process reads and writes through the first."""
    return global_state.client


def first_then_others(make: Callable[[], T]) -> T:
    """Calls a function in every process, in the first before the others.

    What the first leaves on disk the others find, where they share it.

    >>> first_then_others(lambda: "opened")
    'opened'
    """
    made: list[T] = []
    from_first(lambda: made.append(make()))
    return made[0] if made else make()


def anywhere(here: bool) -> bool:
    """True in every process, where it is True in one; all must ask."""
    return bool(multihost_utils.process_allgather(here).any()) if several() else here


def require_same(value: str, message: str) -> None:
    """Makes sure that every process has what the first one has; `UserError` with `message` if not.

    All must ask.
    """
    if anywhere(from_first(lambda: value) != value):
        raise UserError(message)


def stop_agreed(step: int) -> bool:
    """True, in every process after the same step, once SIGTERM has reached one of them."""
    return several() and multihost_utils.reached_preemption_sync_point(step)


def is_loss(error: BaseException | None) -> bool:
    """True for what JAX, gloo or Orbax raise when another process does not answer."""
    while several() and error is not None:
        message = str(error).lower()
        if not isinstance(error, UserError) and any(word in message for word in _LOST):
            return True
        error = error.__cause__ or error.__context__
    return False
