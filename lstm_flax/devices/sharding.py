"""Places arrays on devices: the state everywhere, a batch's rows divided among them.

All devices of all processes take part, as far as they can share a batch evenly. Nothing here waits
for another process, so a thread may do it.
"""

import itertools
import logging
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lstm_flax.devices import processes
from lstm_flax.errors import UserError
from lstm_flax.types import Batch, StreamBatch

logger = logging.getLogger(__name__)

BatchType = TypeVar("BatchType", Batch, StreamBatch)


def data_mesh(batch_size: int, *extra_rows: int) -> Mesh:
    """Makes a mesh along one axis, `data`, of as many devices as can share a batch evenly.

    A run keeps its batches whatever the number of devices is today. With several processes, each
    contributes equally many devices and has one contiguous range of a batch's rows.

    Args:
        batch_size: B.
        extra_rows: rows that a recipe adds to each batch.

    Raises:
        UserError: the processes cannot share a batch evenly.
    """
    by_process = itertools.groupby(jax.devices(), lambda device: device.process_index)
    of_process = [list(devices) for _, devices in by_process]
    chosen = shared_evenly([len(devices) for devices in of_process], batch_size, *extra_rows)
    devices = [device for devices in of_process for device in devices[:chosen]]
    return Mesh(np.asarray(devices), ("data",))


def shared_evenly(devices: Sequence[int], batch_size: int, *extra_rows: int) -> int:
    """Returns the number of devices of each process that take part.

    >>> shared_evenly([8], 12), shared_evenly([4, 4], 16), shared_evenly([3, 4], 16)
    (4, 4, 1)

    Args:
        devices: number of devices of each process.
        batch_size: B.
        extra_rows: rows that a recipe adds to each batch.

    Raises:
        UserError: they cannot; the message names the nearest batch sizes that they can share.
    """
    number = len(devices)
    if math.gcd(batch_size, *extra_rows) % number:
        sizes = _nearest(batch_size, number)
        rows = "".join(f" and {extra} further rows" for extra in extra_rows)
        raise UserError(
            f"config.data.batch_size = {batch_size}{rows}: {number} processes cannot share a batch "
            f"evenly; start {math.gcd(number, batch_size, *extra_rows)} of them, or use a batch "
            f"size of {sizes}"
        )
    return math.gcd(*devices, *(rows // number for rows in (batch_size, *extra_rows)))


def _nearest(batch_size: int, parts: int) -> str:
    """Names the nearest sizes that so many parts can share."""
    below = batch_size // parts * parts
    return " or ".join(str(size) for size in (below, below + parts) if size)


def local_rows(rows: int, mesh: Mesh) -> slice:
    """Returns the rows of a batch that the devices of this process hold.

    Args:
        rows: rows of the whole batch, including extra ones.
        mesh: from `data_mesh`.
    """
    each = rows // mesh.size
    here = [i for i, d in enumerate(mesh.devices) if d.process_index == jax.process_index()]
    return slice(here[0] * each, (here[-1] + 1) * each)


def warn_of_idle_devices(batch_size: int, used: int) -> None:
    """Warns if devices are idle, and names the batch sizes that would use them all."""
    there = jax.device_count()
    if used < there:
        logger.warning(
            "config.data.batch_size = %d: %d devices cannot share it evenly, %d of them do; "
            "another run may take %s",
            batch_size,
            there,
            used,
            _nearest(batch_size, there),
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of parameters: a whole copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def place_batch(batch: BatchType, mesh: Mesh) -> BatchType:
    """Puts a host batch on the devices, with rows divided along `data`.

    With several processes, each has the whole batch's shape and puts only its `local_rows`.
    """
    return _place(batch, NamedSharding(mesh, PartitionSpec("data")))


def place_everywhere(tree: Any, mesh: Mesh) -> Any:
    """Puts a whole copy of host arrays, equal in every process, on each device."""
    return _place(tree, replicated(mesh))


def _place(tree: Any, sharding: NamedSharding) -> Any:
    if not processes.several():
        return jax.device_put(tree, sharding)

    def place(array: Any) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    return jax.tree.map(place, tree)


def results_everywhere(mesh: Mesh) -> NamedSharding | None:
    """Returns the sharding that lets each of several processes read results; None for one."""
    return replicated(mesh) if processes.several() else None


def abstract(tree: Any, mesh: Mesh) -> Any:
    """Returns the shapes and dtypes of a tree, with the replicated sharding to restore it into."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)), tree
    )
