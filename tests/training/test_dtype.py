"""A run's dtype: chosen once, kept whatever processor it goes on with."""

from pathlib import Path

import pytest

from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config, read_config
from lstm_flax.errors import UserError
from lstm_flax.recurrent import processor
from lstm_flax.training.train import train
from tests.training.step_cases import changed


@pytest.mark.parametrize("fast", [True, False], ids=["bfloat16", "float32"])
def test_a_run_keeps_the_dtype_that_it_began_with(
    fast: bool, brief_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, other = ("bfloat16", "float32") if fast else ("float32", "bfloat16")
    config = changed(
        brief_config,
        model={"dtype": "auto"},
        training={"epochs": 2},
        optimizer={"schedule": "constant"},
    )
    first = changed(config, training={"epochs": 1})
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: fast)
    train(first, tmp_path / "run", show_progress=False)
    assert read_config(tmp_path / "run" / "config.json").model.dtype == began
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: not fast)
    with pytest.raises(UserError, match=rf"config\.model\.dtype = '{began}'"):
        train(changed(config, model={"dtype": other}), tmp_path / "run", show_progress=False)
    results = train(config, tmp_path / "run", show_progress=False)
    assert results["train_steps"] == 14
    assert load_trained_model(tmp_path / "run", "last").model.dtype == began
