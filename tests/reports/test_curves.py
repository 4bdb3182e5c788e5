"""The learning curves of a log, whatever its lines are."""

import json
from pathlib import Path

import numpy as np

from lstm_flax.reports.curves import read_curves


def test_numbers_of_whole_lines_are_read_and_all_else_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    epoch = {"event": "epoch", "step": 7, "train_accuracy": 0.5}
    lines = [
        {"event": "train", "step": 3, "loss": 0.7},
        {"event": "train", "step": 6},  # no loss
        {"event": "train", "step": "6", "loss": 0.6},
        {"event": "train", "step": 2**70, "loss": 0.6},
        {"event": "train", "step": True, "loss": 0.6},
        {"event": "train", "step": 6, "loss": float("inf")},
        {"event": "train", "step": float("-inf"), "loss": float("nan")},
        {"event": "train", "step": 1e308, "loss": -1e308},
        epoch,
        {**epoch, "step": 14, "development_loss": 0.4, "development_accuracy": 0.8},
        {"event": "stop", "step": 14},
        [1, 2],
        7,
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text + "[" * 100_000 + "\nnot JSON\n" + '{"event": "train", "step": 9, "lo')
    curves = read_curves(path)
    np.testing.assert_array_equal(curves.loss, [[3, 0.7]])
    np.testing.assert_array_equal(curves.training, [[7, 0.5], [14, 0.5]])
    np.testing.assert_array_equal(curves.development, [[14, 0.4, 0.8]])


def test_without_a_log_there_are_no_curves(tmp_path: Path) -> None:
    curves = read_curves(tmp_path / "log.jsonl")
    assert curves.loss.shape == curves.training.shape == (0, 2)
    assert curves.development.shape == (0, 3)
