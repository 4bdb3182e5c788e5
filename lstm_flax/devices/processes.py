"""Several processes that train one run: which is first, and how they agree; see `joining.py`.

In a process that has not joined others, nothing here has any effect or touches a device. The first
process reads for all, writes and prints.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax._src.distributed import global_state  # the only access to JAX's key-value store
from jax.experimental import multihost_utils

from lstm_flax.errors import UserError

T = TypeVar("T")
_ANSWER = 7 * 24 * 3600 * 1000  # milliseconds for the first process; the watch reacts sooner
_LOST = ("gloo", "nccl", "coordination", "unavailable", "deadline_exceeded", "barrier")

_numbers = itertools.count()  # numbers the questions in `from_first`, equally in every process


def several() -> bool:
    """Returns True if this process has joined others."""
    return jax.distributed.is_initialized() and global_state.num_processes > 1


def is_first() -> bool:
    """Returns True in the process that reads for all, writes and prints, and in a single one."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def from_first(make: Callable[[], T]) -> T:
    """Calls a function only in the first process and gives every process its result.

    >>> from_first(lambda: {"step": 7})
    {'step': 7}

    Args:
        make: returns plain values that JSON can hold.

    Raises:
        UserError: in every process, if the function raises it.
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
    """Returns JAX's key-value store, which every process reads and writes through the first."""
    return global_state.client


def first_then_others(make: Callable[[], T]) -> T:
    """Calls a function in every process, in the first before the others.

    The others then find on a shared disk what the first one wrote.

    >>> first_then_others(lambda: "opened")
    'opened'
    """
    made: list[T] = []
    from_first(lambda: made.append(make()))
    return made[0] if made else make()


def anywhere(here: bool) -> bool:
    """Returns True in every process if it is True in any; all must call it."""
    return bool(multihost_utils.process_allgather(here).any()) if several() else here


def require_same(value: str, message: str) -> None:
    """Raises `UserError` with `message` unless every process has the first one's value.

    All must call it.
    """
    if anywhere(from_first(lambda: value) != value):
        raise UserError(message)


def stop_agreed(step: int) -> bool:
    """Returns True, in every process after the same step, once SIGTERM has reached one of them."""
    return several() and multihost_utils.reached_preemption_sync_point(step)


def is_loss(error: BaseException | None) -> bool:
    """Returns True for errors of JAX, gloo or Orbax when another process does not answer."""
    while several() and error is not None:
        message = str(error).lower()
        if not isinstance(error, UserError) and any(word in message for word in _LOST):
            return True
        error = error.__cause__ or error.__context__
    return False
