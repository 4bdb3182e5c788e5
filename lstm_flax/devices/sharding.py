"""Placing arrays on devices: the state everywhere, a batch's rows divided among them.

One process: all devices that it sees take part.
"""

import logging
import math
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lstm_flax.types import Batch, StreamBatch

logger = logging.getLogger(__name__)

BatchType = TypeVar("BatchType", Batch, StreamBatch)


def data_mesh(batch_size: int, *extra_rows: int) -> Mesh:
    """A mesh along one axis, `data`, of as many devices as can share a batch evenly, at least one.

    A run goes on with its batches whatever the number of devices is today.

    Args:
        batch_size: B.
        extra_rows: rows that a recipe adds to each batch.
    """
    devices = jax.devices()
    return Mesh(np.asarray(devices[: math.gcd(len(devices), batch_size, *extra_rows)]), ("data",))


def warn_of_idle_devices(batch_size: int, used: int) -> None:
    """Warns where devices stand idle, and names the batch sizes that would use them all."""
    there = jax.device_count()
    if used < there:
        below = batch_size // there * there
        sizes = " or ".join(str(size) for size in (below, below + there) if size)
        logger.warning(
            "config.data.batch_size = %d: %d devices cannot share it evenly, %d of them do; "
            "another run may take %s",
            batch_size,
            there,
            used,
            sizes,
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of parameters: a whole copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def place_batch(batch: BatchType, mesh: Mesh) -> BatchType:
    """Puts a host batch on the devices, rows divided along `data`."""
    return jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))


def abstract(tree: Any, mesh: Mesh) -> Any:
    """Shapes and dtypes of a tree, with the replicated sharding to restore it into."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)), tree
    )
