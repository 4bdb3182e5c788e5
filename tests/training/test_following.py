"""Following a run: the hook, and TensorBoard's events read back."""

import json
import struct
import sys
from pathlib import Path

import pytest

from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.training.run.tensorboard import TensorBoardLog
from lstm_flax.training.train import train


def test_the_hook_is_told_what_the_log_holds(brief_config: Config, tmp_path: Path) -> None:
    told = []
    train(brief_config, tmp_path, show_progress=False, on_log=lambda *line: told.append(line))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert told == [
        (line.pop("step"), {k: v for k, v in line.items() if k != "event"}) for line in lines
    ]
    assert any("development_accuracy" in metrics for _, metrics in told)


def read_events(folder: Path) -> list:
    """The events of all files of a folder: length, its checksum, event, its checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    events = []
    for path in sorted(folder.rglob("events.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack("<Q", content[at : at + 8])
            events.append(event_pb2.Event.FromString(content[at + 12 : at + 12 + size]))
            at += 16 + size
    return events


def test_tensorboard_reads_scalars_texts_and_hyperparameters(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    board = TensorBoardLog(tmp_path)
    board(3, {"epoch": 0, "loss": 0.5})
    board(6, {"epoch": 0, "loss": 0.25})
    config = {"model": {"hidden_size": 8, "cell": "lstm"}, "init_from": None}
    board.finish(config, {"split": "test", "accuracy": 0.75, "checkpoint_step": 6, "auc": None})
    scalars, tags, plugins = {}, set(), set()
    for event in read_events(tmp_path):
        for value in event.summary.value:
            tags.add(value.tag)
            plugins.add(value.metadata.plugin_data.plugin_name)
            if value.HasField("simple_value"):
                scalars[value.tag, event.step] = value.simple_value
    assert scalars["loss", 3] == 0.5
    assert scalars["loss", 6] == 0.25
    assert scalars["final/accuracy", 6] == 0.75
    assert {"text", "hparams"} <= plugins
    assert {"configuration/text_summary", "results/text_summary"} <= tags
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("events.*"))
    assert b"model.hidden_size" in content


def test_the_command_writes_events_beside_the_run(
    brief_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboardX")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(brief_config.to_dict()))
    assert (
        main(["train", f"--config={path}", f"--workdir={tmp_path / 'run'}", "--tensorboard"]) == 0
    )
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    values = [
        v for event in read_events(tmp_path / "run" / "tensorboard") for v in event.summary.value
    ]
    found = {value.tag: value.simple_value for value in values}
    assert found["final/accuracy"] == pytest.approx(results["accuracy"], abs=1e-6)
    assert "train_loss" in found


def test_without_tensorboardx_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"pip install 'lstm-flax\[tensorboard\]'"):
        TensorBoardLog(tmp_path)
