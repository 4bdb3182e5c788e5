"""Arrays made inside `jax.shard_map`, where each has a set of mesh axes that it varies along.

>>> import jax.numpy as jnp
>>> vary_like(jnp.zeros(2), jnp.ones(3))  # outside of it nothing varies
Array([0., 0.], dtype=float32)

What a loop carries must vary alike before and after a step, so that zeros to start from must vary
as the inputs do; and what a function with its own gradient is given must vary as the cotangent that
it returns. Weights made to vary have their gradients summed over the devices by JAX.
"""

from typing import Any

import jax


def vary_like(tree: Any, like: jax.Array) -> Any:
    """The arrays of a tree, varying along the mesh axes of another array too.

    >>> import jax.numpy as jnp
    >>> vary_like({"w": jnp.ones(2)}, jnp.ones(3))["w"].shape
    (2,)

    Args:
        tree: any; None stays None.
        like: for example the inputs of a layer.
    """
    axes = _axes(like)

    def vary(leaf: jax.Array) -> jax.Array:
        missing = tuple(sorted(axes - _axes(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(vary, tree) if axes else tree


def _axes(array: jax.Array) -> frozenset[str]:
    """The mesh axes that an array varies along; releases of JAX name them differently."""
    kind: Any = jax.typeof(array)
    return frozenset(kind.mat.varying if hasattr(kind, "mat") else kind.vma)
