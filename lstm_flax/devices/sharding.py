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


def data_mesh(batch_size: int, *extra_rows: int) -> Mesh:
    """A mesh of all devices along one axis, `data`, to share the rows of a batch.

    Args:
        batch_size: B.
        extra_rows: rows that a recipe adds to each batch.

    Raises:
        UserError: where the devices cannot share the batch evenly.
    """
    devices = jax.devices()
    for field, rows in [("data", batch_size), *(("recipes.unlabelled", n) for n in extra_rows)]:
        if rows % len(devices):
            raise UserError(
                f"config.{field}.batch_size = {rows}: {len(devices)} devices cannot share it "
                f"evenly; choose a multiple of {len(devices)}"
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
