"""Keeps TensorStore's memory and threads from growing in a long run.

TensorStore (0.1.86) never frees the keys and strings of its JSON answers. Orbax asks for JSON twice
per save: for counters, before and after each write, to log the speed (15 kB a save); and, for each
array, for the specification of the folder that it has just specified (40 kB a save of a small
state).

Orbax also allows TensorStore 128 file threads; on a busy machine it starts a few more after each
delay, for as long as a run lasts.
"""

import types
from typing import Any

import tensorstore
from orbax.checkpoint._src.serialization import tensorstore_utils

_FILE_THREADS = 8
_CONTEXTS = ("_BASE_TS_CONTEXT", "_DEFAULT_OCDBT_TS_CONTEXT")  # Orbax makes contexts from these


def prepare_for_long_runs() -> None:
    """Makes Orbax save without asking TensorStore for JSON, and with few file threads.

    It changes the whole process, so only programs should call it.
    """
    for name in _CONTEXTS:
        few = {"file_io_concurrency": {"limit": _FILE_THREADS}}
        setattr(tensorstore_utils, name, getattr(tensorstore_utils, name) | few)
    stores = types.SimpleNamespace(open=tensorstore.KvStore.open, Spec=_specify)
    tensorstore_utils.get_tensorstore_raw_bytes = _nothing_counted
    tensorstore_utils.ts = types.SimpleNamespace(**{**vars(tensorstore), "KvStore": stores})


def _nothing_counted(*_: Any, **__: Any) -> int:
    return 0


def _specify(values: dict[str, Any]) -> Any:
    """Returns the specification of a key-value store; for a plain folder, the given values."""
    if values.get("driver") == "file" and values.keys() == {"driver", "path"}:
        return types.SimpleNamespace(to_json=lambda: dict(values))
    return tensorstore.KvStore.Spec(values)
