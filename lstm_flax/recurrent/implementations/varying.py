"""Arrays created inside `jax.shard_map`, where each has a set of mesh axes that it varies along.

>>> import jax.numpy as jnp
>>> vary_like(jnp.zeros(2), jnp.ones(3))  # outside of it nothing varies
Array([0., 0.], dtype=float32)

A loop's carry must vary along the same axes before and after a step, so initial zeros must vary as
the inputs do; and the arguments of a function with a custom gradient must vary as the cotangents it
returns. JAX sums the gradients of weights made to vary over the devices.
"""

from typing import Any

import jax


def vary_like(tree: Any, like: jax.Array) -> Any:
    """Makes the arrays of a tree vary along the mesh axes of another array too.

    >>> import jax.numpy as jnp
    >>> vary_like({"w": jnp.ones(2)}, jnp.ones(3))["w"].shape
    (2,)

    Args:
        tree: any tree; None stays None.
        like: the array to follow, for example a layer's inputs.
    """
    axes = _axes(like)

    def vary(leaf: jax.Array) -> jax.Array:
        missing = tuple(sorted(axes - _axes(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(vary, tree) if axes else tree


def _axes(array: jax.Array) -> frozenset[str]:
    """Returns the mesh axes that an array varies along; JAX releases name the field differently."""
    kind: Any = jax.typeof(array)
    return frozenset(kind.mat.varying if hasattr(kind, "mat") else kind.vma)
