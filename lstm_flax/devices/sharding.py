"""Placing arrays on devices: the state everywhere, a batch's rows divided among them.

One process: all devices that it sees take part.
"""

import math
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lstm_flax.errors import UserError
from lstm_flax.types import Batch, StreamBatch

BatchType = TypeVar("BatchType", Batch, StreamBatch)


def data_mesh(batch_size: int, unlabelled_batch_size: int = 0) -> Mesh:
    """A mesh of all devices along one axis, `data`, to share the rows of a batch.

    Raises:
        UserError: where the devices cannot share the batch evenly.
    """
    devices = jax.devices()
    rows_of = {"batch_size": batch_size, "unlabelled_batch_size": unlabelled_batch_size}
    for field, rows in rows_of.items():
        if rows % len(devices):
            raise UserError(
                f"config.data.{field} = {rows}: {len(devices)} devices cannot share it evenly; "
                f"choose a multiple of {len(devices)}"
            )
    return Mesh(np.asarray(devices), ("data",))


def evaluation_mesh(batch_size: int) -> Mesh:
    """A mesh of as many devices as can share a batch evenly, at least one."""
    devices = jax.devices()
    return Mesh(np.asarray(devices[: math.gcd(batch_size, len(devices))]), ("data",))


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
