"""Compares the arrays of a checkpoint with those that a program expects."""

from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp

from lstm_flax.errors import UserError, some


def library_versions() -> dict[str, str]:
    """Returns the versions of the packages that determine shapes and names of saved arrays."""
    return {name: version(name) for name in ("jax", "flax", "optax", "orbax-checkpoint")}


def require_same_arrays(where: str, stored: Any, wanted: Any, saved_by: Any = None) -> None:
    """Checks that a checkpoint's arrays are the expected ones.

    Args:
        where: the item of the checkpoint, for the error.
        stored: a tree of leaves with a shape and a dtype.
        wanted: another such tree; floating dtypes may differ, as weights may be in half precision.
        saved_by: see `library_versions`; None if unknown.

    Raises:
        UserError: an array is missing, superfluous, or has another shape or kind of number.

    >>> require_same_arrays("runs/a/last/4/params", {"w": jnp.ones(2)}, {"w": jnp.ones(3)})
    ... # doctest: +ELLIPSIS
    Traceback (most recent call last):
    lstm_flax.errors.UserError: runs/a/last/4/params: not the arrays wanted here: w is float32[2]...
    """
    there, here = by_name(stored), by_name(wanted)
    differing = [
        f"{name} is {_describe(there.get(name))} there and {_describe(here.get(name))} here"
        for name in sorted(there.keys() | here.keys())
        if not _fits(there.get(name), here.get(name))
    ]
    if not differing:
        return
    now = library_versions()
    was = {name: number for name, number in (saved_by or {}).items() if now.get(name) != number}
    cause = "the model, its optimizer or a package has changed"
    if was:
        cause = "it was saved with " + ", ".join(
            f"{n} {v} (here {now.get(n)})" for n, v in was.items()
        )
    raise UserError(
        f"{where}: not the arrays wanted here: {some(differing, limit=2)}; the file is intact and "
        f"stays where it is; {cause}; use the versions that saved it, or start another run"
    )


def by_name(tree: Any) -> dict[str, Any]:
    """Returns a tree's leaves by path, the names of all levels joined by slashes.

    >>> by_name({"head": {"bias": 1.0}})
    {'head/bias': 1.0}
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _fits(stored: Any, wanted: Any) -> bool:
    if stored is None or wanted is None or tuple(stored.shape) != tuple(wanted.shape):
        return False
    floating = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in (stored, wanted)]
    return all(floating) or stored.dtype == wanted.dtype


def _describe(leaf: Any) -> str:
    if leaf is None:
        return "absent"
    return f"{jnp.dtype(leaf.dtype).name}[{','.join(map(str, leaf.shape))}]"
