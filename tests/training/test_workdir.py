"""A run's folder: locked, of one run only, and its secondary files."""

import errno
import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lstm_flax.config import Config, read_config
from lstm_flax.errors import UserError
from lstm_flax.training.run import workdir as workdir_module
from lstm_flax.training.run.workdir import only_one
from lstm_flax.training.train import train
from tests.training.step_cases import changed


@pytest.fixture
def two_epochs(brief_config: Config) -> Config:
    return changed(brief_config, training={"epochs": 2})


def test_another_configuration_in_the_same_folder_is_refused(
    tiny_config: Config, finished: tuple[Path, dict]
) -> None:
    with pytest.raises(UserError, match=r"model\.hidden_size"):
        train(changed(tiny_config, model={"hidden_size": 9}), finished[0], show_progress=False)


def test_what_failed_before_its_first_checkpoint_leaves_the_folder_free(
    brief_config: Config, tmp_path: Path
) -> None:
    wild = changed(
        brief_config, optimizer={"name": "sgd", "weight_decay": 0.0, "learning_rate": 1e38}
    )
    with pytest.raises(UserError, match="not finite"):
        train(changed(wild, optimizer={"clip_norm": 0.0}), tmp_path, show_progress=False)
    train(brief_config, tmp_path, show_progress=False)
    assert read_config(tmp_path / "config.json") == brief_config
    with pytest.raises(UserError, match="holds a run with"):
        train(wild, tmp_path, show_progress=False)


def test_a_folder_where_another_process_trains_is_left_alone(
    brief_config: Config, tmp_path: Path
) -> None:
    with only_one(tmp_path):
        with pytest.raises(UserError, match="another process trains here; wait"):
            train(brief_config, tmp_path, show_progress=False)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        (tmp_path / ".lock").unlink()
        with pytest.raises(UserError, match="another process trains here; wait"):
            train(brief_config, tmp_path, show_progress=False)
    train(brief_config, tmp_path, show_progress=False)


def test_a_file_system_without_locks_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with only_one(tmp_path):
        assert tmp_path.is_dir()


def test_the_best_checkpoint_of_another_run_is_not_scored_as_this_ones(
    brief_config: Config, tmp_path: Path
) -> None:
    for seed in (0, 1):
        config = changed(brief_config, training={"seed": seed})
        train(config, tmp_path / str(seed), show_progress=False)
    (tmp_path / "fresh").mkdir()
    shutil.copytree(tmp_path / "0" / "best", tmp_path / "fresh" / "best")
    with pytest.raises(UserError, match=r"best/.*config\.training\.seed = 0, not 1"):
        train(config, tmp_path / "fresh", show_progress=False)
    for name in ("best", "results.json"):
        (tmp_path / "1" / name).rename(tmp_path / name)
        (tmp_path / "0" / name).rename(tmp_path / "1" / name)
    # Results of the other run are not shown as this one's, nor is its checkpoint scored.
    with pytest.raises(UserError, match=r"best/.*config\.training\.seed = 0, not 1"):
        train(config, tmp_path / "1", show_progress=False)
    (tmp_path / "1" / "best").rename(tmp_path / "other")
    (tmp_path / "best").rename(tmp_path / "1" / "best")
    right = json.loads((tmp_path / "results.json").read_text())
    found = train(config, tmp_path / "1", show_progress=False)
    assert found["loss"] == right["loss"]


def test_results_that_cannot_be_read_now_stay(
    tiny_config: Config, finished: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished[0] / "results.json"
    before, read = path.read_bytes(), workdir_module.read_json

    def refuse(file: Path) -> Any:
        if file == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return read(file)

    monkeypatch.setattr(workdir_module, "read_json", refuse)
    with pytest.raises(UserError, match=r"results\.json: cannot be read .*Permission denied"):
        train(tiny_config, finished[0], show_progress=False)
    assert path.read_bytes() == before


STRANGE_RESULTS: list[dict[str, object]] = [
    {"accuracy": 0.1},  # as a hand may write it
    {"accuracy": "x"},
    {"accuracy": "gone"},
    {"accuracy": 10**400},
    {"loss": float("nan")},
    {"confusion": 5},
    {"confusion": [[1, 2], [3]]},
    {"label_names": ["neg"]},
]


def test_secondary_files_that_are_strange_do_not_stop_a_run(
    tiny_config: Config, finished: tuple[Path, dict], tmp_path: Path, caplog: Any
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    log = (workdir / "log.jsonl").read_bytes()
    (workdir / "log.jsonl").write_bytes(b'\xff\n[1]\n{"step": "x"}\n' + log + b'{"event": "tra')
    for content in ("[1]", "{", "[" * 100_000, '{"split": "test"}'):
        for name in ("results.json", "config.json"):
            (workdir / name).write_text(content)
            results = train(tiny_config, workdir, show_progress=False)
            assert results["accuracy"] == finished[1]["accuracy"]
    for strange in STRANGE_RESULTS:
        values = {name: strange.get(name, value) for name, value in finished[1].items()}
        kept = {name: value for name, value in values.items() if value != "gone"}
        (workdir / "results.json").write_text(json.dumps(kept))
        results = train(tiny_config, workdir, show_progress=False)
        assert results["confusion"] == finished[1]["confusion"]
    warnings = caplog.text.count("results.json: damaged, altered, or of another")
    assert warnings == 3 + len(STRANGE_RESULTS)  # the fourth of the four above is of another run
    assert "config.json" in caplog.text
    assert "log.jsonl:1: not a line of this log; it is dropped" in caplog.text
    assert (workdir / "log.jsonl").read_bytes() == log
    assert read_config(workdir / "config.json") == tiny_config


def test_a_damaged_best_checkpoint_makes_room_for_the_next(
    two_epochs: Config, tmp_path: Path, caplog: Any
) -> None:
    """Orbax would save none of an earlier step beside it, and nothing would be left to score."""
    (tmp_path / "best" / "999").mkdir(parents=True)
    right = train(two_epochs, tmp_path, show_progress=False)
    assert "the checkpoint of step 999 is damaged" in caplog.text
    assert (tmp_path / "best-unreadable" / "999").is_dir()
    # The state after the first epoch, with a best checkpoint of a later step that is damaged.
    for name in ("last", "best"):
        *_, newest = sorted((tmp_path / name).iterdir(), key=lambda path: int(path.name))
        if name == "last":
            shutil.rmtree(newest)
    (newest / "encoder" / "tokenizer.model").write_bytes(b"cut off")
    (tmp_path / "results.json").unlink()
    again = train(two_epochs, tmp_path, show_progress=False)
    clocks = ("seconds", "training_seconds", "checksum")
    assert {k: v for k, v in again.items() if k not in clocks} == {
        k: v for k, v in right.items() if k not in clocks
    }


def test_a_best_checkpoint_that_is_gone_is_replaced_by_the_next(
    two_epochs: Config, tmp_path: Path, caplog: Any
) -> None:
    train(two_epochs, tmp_path, show_progress=False)
    steps = sorted(int(path.name) for path in (tmp_path / "last").iterdir())
    shutil.rmtree(tmp_path / "last" / str(steps[-1]))
    shutil.rmtree(tmp_path / "best")
    (tmp_path / "results.json").unlink()
    assert train(two_epochs, tmp_path, show_progress=False)["train_steps"] == steps[-1]
    assert "the best checkpoint, of step" in caplog.text
