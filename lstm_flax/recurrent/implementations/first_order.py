"""A gradient that cannot be differentiated again: it raises a clear error.

>>> jax.grad(jax.grad(forbid_more_derivatives))(1.0)  # doctest: +ELLIPSIS
Traceback (most recent call last):
lstm_flax.errors.UserError: implementation='fused' has first derivatives in reverse mode only...
"""

from typing import Any

import jax

from lstm_flax.errors import UserError

FIRST_ORDER_ONLY = (
    "implementation='fused' has first derivatives in reverse mode only: choose "
    "implementation='scan' for higher ones and for forward mode"
)


@jax.custom_jvp
def forbid_more_derivatives(tree: Any) -> Any:
    """Returns arrays unchanged; raises `UserError` if they are differentiated again.

    The loops of `fused.py` carry whole sequences, and automatic differentiation would store a copy
    at every step, so an error is better.

    >>> float(forbid_more_derivatives(1.0))
    1.0
    >>> jax.grad(forbid_more_derivatives)(1.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    lstm_flax.errors.UserError: implementation='fused' has first derivatives in reverse mode only...
    """
    return tree


@forbid_more_derivatives.defjvp
def _no_more_derivatives(primals: Any, tangents: Any) -> Any:
    raise UserError(FIRST_ORDER_ONLY)
