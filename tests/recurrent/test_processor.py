"""The choice of a model's dtype."""

import logging
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import pytest

from lstm_flax.recurrent import processor


@pytest.fixture(params=["flags : fma avx512_bf16 sse", "flags : fma avx2", None])
def cpu(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[bool]:
    """A CPU's description, or none; True if it multiplies bfloat16."""
    described = tmp_path / "cpuinfo"
    if request.param is not None:
        described.write_text(f"processor : 0\n{request.param}\n")
    monkeypatch.setattr(processor, "_CPU_INFO", described)
    processor.multiplies_bfloat16.cache_clear()
    yield "avx512_bf16" in (request.param or "")
    processor.multiplies_bfloat16.cache_clear()


def test_auto_takes_what_the_processor_multiplies(cpu: bool) -> None:
    assert processor.products_dtype("auto") == (jnp.bfloat16 if cpu else jnp.float32)
    assert processor.products_dtype("bfloat16") == jnp.bfloat16
    assert processor.products_dtype("float32") == jnp.float32


def test_warns_of_bfloat16_that_does_not_pay(cpu: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        processor.warn_of_slow_dtype("float32")
        assert not caplog.records
        processor.warn_of_slow_dtype("bfloat16")
    assert len(caplog.records) == (not cpu)
