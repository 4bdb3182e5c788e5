"""Compiles a function once for each batch shape, several shapes at a time."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from tqdm.auto import tqdm

from lstm_flax.devices.program_cache import record_checksums


class BucketedFunction:
    """A function of `(tree, batch)`, compiled ahead of its first use for each batch shape.

    Threads may share it, unless it donates.
    """

    def __init__(
        self,
        function: Callable[[Any, Any], Any],
        donate: bool = False,
        results: jax.sharding.Sharding | None = None,
    ) -> None:
        """Wraps a pure function.

        Args:
            function: a function of `(tree, batch)`.
            donate: True reuses its first argument's buffers.
            results: where its results are placed; None leaves it to the compiler.
        """
        self._jitted = jax.jit(
            function, donate_argnums=(0,) if donate else (), out_shardings=results
        )
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._compiling = threading.Lock()

    @property
    def compilations(self) -> int:
        """Counts the batch shapes compiled so far."""
        return len(self._compiled)

    def compile(self, tree: Any, batches: Sequence[Any], show_progress: bool = False) -> None:
        """Compiles the function for the shapes of all these batches, several at a time."""
        shapes = {_shape(batch): batch for batch in batches if _shape(batch) not in self._compiled}
        bar = tqdm(
            total=len(shapes),
            desc="compiling",
            unit="bucket",
            leave=False,
            file=sys.stderr,
            disable=not show_progress,
        )

        def compile_one(batch: Any) -> Any:
            compiled = self._jitted.lower(tree, batch).compile()
            record_checksums()
            bar.update()
            return compiled

        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            with bar:
                compiled = pool.map(compile_one, shapes.values())
                self._compiled.update(zip(shapes, compiled, strict=True))
        finally:  # an interrupt does not wait for buckets still being compiled
            pool.shutdown(wait=False, cancel_futures=True)

    def __call__(self, tree: Any, batch: Any) -> Any:
        """Calls the function, compiling it first if the batch's shape is new."""
        if _shape(batch) not in self._compiled:
            with self._compiling:  # another thread may have waited for the same shape
                self.compile(tree, [batch])
        return self._compiled[_shape(batch)](tree, batch)


def _shape(batch: Any) -> tuple[int, ...]:
    return tuple(batch.token_ids.shape)
