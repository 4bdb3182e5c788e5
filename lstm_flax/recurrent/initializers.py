"""Initial values of recurrent kernels.

>>> orthogonal(jax.random.key(0), (3, 3)).shape
(3, 3)
"""

from typing import Any

import jax
import jax.numpy as jnp


def orthogonal(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Draws an orthogonal matrix, uniformly over the orthogonal group.

    The matrix is a product of Householder reflections of normal vectors (Stewart 1980, "The
    efficient generation of random orthogonal matrices", section 3), computed with products and sums
    alone: a QR factorisation needs a solver library that fails on some accelerators (jax#23616).

    >>> q = orthogonal(jax.random.key(0), (4, 4))
    >>> bool(jnp.allclose(q @ q.T, jnp.eye(4), atol=1e-6))
    True

    Args:
        key: random key.
        shape: (H, H).
        dtype: dtype of the result; the arithmetic is float32.

    Returns:
        [H, H].

    Raises:
        ValueError: the shape is not square.
    """
    size = shape[0]
    if shape != (size, size):
        raise ValueError(f"an orthogonal kernel is square, not {shape}")
    normals = jax.random.normal(key, shape, jnp.float32)
    indices = jnp.arange(size)

    def reflect(matrix: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        # Reflection `index` acts on the coordinates from `index` on and maps their normal vector
        # onto axis `index`; the sign chosen to avoid cancellation is undone in that column.
        index, normal = step
        normal = jnp.where(indices >= index, normal, 0.0)
        sign = jnp.where(normal[index] >= 0, 1.0, -1.0)
        length = jnp.sqrt(jnp.sum(normal**2))
        axis = (indices == index).astype(jnp.float32)
        mirror = normal + sign * length * axis
        mirror = mirror / jnp.sqrt(jnp.sum(mirror**2))
        product = jnp.dot(matrix, mirror, precision=jax.lax.Precision.HIGHEST)
        matrix = matrix - 2.0 * product[:, None] * mirror[None, :]
        return jnp.where(axis[None, :] > 0, -sign * matrix, matrix), None

    matrix, _ = jax.lax.scan(reflect, jnp.eye(size, dtype=jnp.float32), (indices, normals))
    return matrix.astype(dtype)
