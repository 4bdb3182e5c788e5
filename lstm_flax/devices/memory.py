"""Compares the least memory that a configuration needs with what the machine has."""

import os
from pathlib import Path

import jax

from lstm_flax.config import Config
from lstm_flax.errors import UserError

_FLOAT = 4  # bytes
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def least_memory(config: Config, vocab_size: int, training: bool) -> dict[str, int]:
    """Computes the bytes that a configuration needs at least, by purpose.

    Counts the weights (in training with gradients, two moments and an average, if any) and one
    batch's embeddings and outputs. It is a lower bound, so no feasible configuration is rejected.

    >>> least_memory(Config(), vocab_size=1000, training=False)
    {'weights': 1560576, 'a batch': 40894464}

    Args:
        config: the run's configuration.
        vocab_size: V; 0 if not known yet.
        training: False for evaluation alone.
    """
    model, data = config.model, config.data
    directions = 2 if model.bidirectional else 1
    inner = model.hidden_size * (directions if model.direction_merge == "concat" else 1)
    inputs = model.embedding_size + (model.num_layers - 1) * inner
    cells = directions * _GATES[model.cell] * model.hidden_size
    weights = vocab_size * model.embedding_size + cells * (
        inputs + model.num_layers * model.hidden_size
    )
    copies = (4 + (config.training.ema_decay > 0)) if training else 1
    width = min(w for w in data.bucket_widths if w >= data.max_length)
    tokens = data.batch_size * width
    if config.task == "language_model":
        tokens = data.batch_size * directions * config.language_model.bptt_length
    return {
        "weights": _FLOAT * weights * copies,
        "a batch": _FLOAT * tokens * (model.embedding_size + inner),
    }


def require_memory(config: Config, vocab_size: int = 0, training: bool = True) -> None:
    """Checks, before allocating anything, that a configuration can fit this machine at all.

    Raises:
        UserError: it cannot; the message says what it needs, what there is, and which fields to
            change.
    """
    needed, there = least_memory(config, vocab_size, training), machine_memory()
    if sum(needed.values()) <= there:
        return
    parts = " and ".join(f"{size / 1e9:,.1f} GB for {name}" for name, size in needed.items())
    model, data = config.model, config.data
    raise UserError(
        f"config.model.hidden_size = {model.hidden_size}, embedding_size = {model.embedding_size}, "
        f"num_layers = {model.num_layers}, config.data.batch_size = {data.batch_size}, max_length "
        f"= {data.max_length}: need at least {parts}, but this machine has {there / 1e9:,.1f} GB; "
        "lower them"
    )


def machine_memory() -> int:
    """Returns the bytes of memory for this process: the host's, or the devices' if larger.

    >>> machine_memory() > 10**8
    True
    """
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, _CGROUP_LIMITS):
        try:
            host = min(host, int(path.read_text()))
        except (OSError, ValueError):  # no such limit, or the word "max"
            continue
    limits = [(device.memory_stats() or {}).get("bytes_limit", 0) for device in jax.local_devices()]
    return int(max(host, sum(limits)))
