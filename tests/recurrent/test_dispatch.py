"""The choice of an implementation."""

import logging

import jax
import jax.numpy as jnp
import pytest

from lstm_flax import GRU, LSTM
from lstm_flax.errors import UserError
from lstm_flax.recurrent.implementations import dispatch
from lstm_flax.recurrent.implementations.dispatch import choose_implementation


def test_auto_chooses_and_logs_once(caplog: pytest.LogCaptureFixture) -> None:
    dispatch._log_choice.cache_clear()
    inputs = jnp.ones((2, 3, 4))
    with caplog.at_level(logging.INFO, logger="lstm_flax"):
        for _ in range(2):
            LSTM(5, implementation="auto").init(jax.random.key(0), inputs)
            GRU(5, implementation="auto").init(jax.random.key(0), inputs)
    lstm = (
        "fused"
        if jax.default_backend() == "cpu"
        else choose_implementation("auto", "LSTM", jnp.float32, False)
    )
    messages = [record.getMessage() for record in caplog.records]
    assert [m.split(" in ")[0] for m in messages] == ["LSTM", "GRU"]
    assert repr(lstm) in messages[0]
    assert "'scan'" in messages[1]


def test_an_impossible_choice_says_why() -> None:
    inputs = jnp.ones((2, 3, 4))
    with pytest.raises(UserError, match="for the LSTM, not for the GRU"):
        GRU(5, implementation="fused").init(jax.random.key(0), inputs)
    for implementation in ("fused", "cudnn"):
        with pytest.raises(UserError, match=f"'{implementation}'.*proj_size"):
            LSTM(5, proj_size=2, implementation=implementation).init(jax.random.key(0), inputs)


def test_auto_computes_a_projected_lstm_by_the_scan() -> None:
    assert choose_implementation("auto", "LSTM", jnp.float32, False, projected=True) == "scan"
    layer = LSTM(5, proj_size=2, implementation="auto")
    (outputs, _), _ = layer.init_with_output(jax.random.key(0), jnp.ones((2, 3, 4)))
    assert outputs.shape == (2, 3, 2)
