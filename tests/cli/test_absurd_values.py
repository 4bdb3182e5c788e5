"""Values beyond every machine: one line, before anything is read, allocated or compiled."""

import time
from pathlib import Path
from typing import Any

import pytest

from lstm_flax.config import Config
from lstm_flax.devices import memory
from lstm_flax.devices.memory import least_memory, require_memory
from lstm_flax.errors import UserError
from tests.cli.mistake_cases import mistake, train_arguments


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("training.seed=9223372036854775808", "must be at least"),
        ("training.seed=-9223372036854775809", "must be at least"),
        ("data.split_seed=99999999999999999999", "must be at least"),
        ("model.hidden_size=1000000000", "this machine has"),
        ("model.hidden_size=1000000000000000000", "this machine has"),
        ("model.num_layers=1000000", "must be at least 1 and at most 1000"),
        ("model.embedding_size=1000000000", "this machine has"),
        ("model.ngram_order=1000000", "at most 16"),
        ("data.batch_size=1000000000000", "this machine has"),
        ("tokenizer.vocab_size=1000000000000", "at most"),
    ],
)
def test_a_value_beyond_every_machine(
    flag: str, message: str, capsys: Any, tmp_path: Path, good_file: Path
) -> None:
    start = time.process_time()
    arguments = train_arguments(tmp_path, train_path=good_file)
    line = mistake(capsys, *arguments, f"--config.{flag}")
    assert message in line
    assert line.startswith(f"error: config.{flag.split('.')[0]}.") or "config." in line
    assert time.process_time() - start < 10
    assert list(tmp_path.iterdir()) == [good_file]


def test_the_least_memory_is_that_of_weights_and_a_batch() -> None:
    data = {"batch_size": 2, "max_length": 32, "bucket_widths": (32,)}
    model = {"embedding_size": 3, "hidden_size": 5, "num_layers": 2, "bidirectional": True}
    config = Config.from_config_dict({"data": data, "model": model})
    cells = 2 * 4 * (5 * (3 + 5) + 5 * (10 + 5))
    needed = least_memory(config, vocab_size=7, training=False)
    assert needed == {"weights": 4 * (7 * 3 + cells), "a batch": 4 * 2 * 32 * (3 + 10)}
    trained = least_memory(config, vocab_size=7, training=True)
    assert trained["weights"] == 5 * needed["weights"]  # gradients, two moments, the average


def test_what_just_fits_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = sum(least_memory(Config(), 1000, training=True).values())
    monkeypatch.setattr(memory, "machine_memory", lambda: needed)
    require_memory(Config(), 1000)
    monkeypatch.setattr(memory, "machine_memory", lambda: needed - 1)
    with pytest.raises(UserError, match="lower them"):
        require_memory(Config(), 1000)
