"""The GPU's accuracy recipe: what it runs, that it stops and goes on, all of it in small."""

import dataclasses
import json
import lzma
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gpu_accuracy import check_cache, on_test, table, trainings
from resumable import STOPPED, Command, Driver, log_lines, progress
from reviews import read_texts, write_unlabelled

from lstm_flax.config import Config
from lstm_flax.config.files import load_config
from lstm_flax.data.sources.imdb_films import film_table
from lstm_flax.errors import UserError
from lstm_flax.text.hashing import text_hashes
from lstm_flax.training.run.interruption import StopRequest

ROOT = Path(__file__).parents[2]
NAMES = ["language_model", "classifier-0", "classifier-7", "pseudo_labels", "student"]
SCORED = ["classifier-0", "classifier-7", "student"]


def driver_of(folder: Path, deadline: float = math.inf) -> Driver:
    return Driver(folder, StopRequest(), deadline)


def config_of(command: Command) -> Config:
    (config,) = (w.removeprefix("--config=") for w in command.words if w.startswith("--config="))
    overrides = [word for word in command.words if word.startswith("--config.")]
    return Config.from_config_dict(load_config(config, overrides))


@pytest.mark.parametrize("small", [False, True])
def test_each_training_starts_from_those_before_it_and_none_opens_test(small: bool) -> None:
    commands = trainings(Path("runs"), [0, 7], [], Path("texts.txt"), small)
    assert [command.name for command in commands] == NAMES
    trained = [command for command in commands if command.words[0] == "train"]
    assert all("--split=development" in command.words for command in trained)
    (labels,) = (command for command in commands if command not in trained)
    assert labels.words[0] == "predict"
    assert labels.words[1:3] == ("--workdir=runs/classifier-0", "--workdir=runs/classifier-7")
    assert labels.words[3:] == ("--file=texts.txt",)
    assert str(labels).endswith(" > runs/pseudo_labels.jsonl")
    reader, *classifiers, student = (config_of(command) for command in trained)
    assert reader.task == "language_model"
    assert [c.training.seed for c in classifiers] == [0, 7]
    for config in (*classifiers, student):
        assert config.init_from == "runs/language_model"
        assert config.model.hidden_size == reader.model.hidden_size
        assert config.recipes.adversarial is not None
        assert config.recipes.adversarial.virtual_weight > 0
    assert all(config.recipes.unlabelled is not None for config in classifiers)
    assert student.data.extra_train_path == str(labels.output)
    assert student.recipes.unlabelled is None
    before = dataclasses.replace(classifiers[0].training, seed=7)
    assert dataclasses.replace(classifiers[0], training=before) == classifiers[1]


def test_without_unlabelled_texts_there_is_no_student() -> None:
    everything = trainings(Path("runs"), [0, 7], [], Path("texts.txt"))
    assert trainings(Path("runs"), [0, 7], []) == everything[:-2]


def test_classifiers_and_student_are_scored_on_test() -> None:
    trained = trainings(Path("runs"), [0, 7], [], Path("texts.txt"))
    commands = on_test(trained, Path("cache"))
    assert [command.name for command in commands] == [f"test-{name}" for name in SCORED]
    place = "--config.data.token_cache=cache"
    expected = ("evaluate", "--workdir=runs/student", "--split=test", place)
    assert commands[-1].words == expected


def test_a_cache_without_a_split_is_refused_at_once(tmp_path: Path) -> None:
    for name in ("train", "development", "test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "split.json").touch()
    with pytest.raises(UserError, match="holds no unsupervised split"):
        check_cache(tmp_path)


def test_texts_are_read_from_lines_and_records_compressed_or_not(tmp_path: Path) -> None:
    plain = tmp_path / "texts.txt"
    plain.write_text("one film\r\n\n two\u2028films \x85\n \nthe last", encoding="utf-8")
    expected = ["one film", "two\u2028films \x85", "the last"]
    assert read_texts(plain) == expected
    records = [{"text": text, "label": "pos"} for text in [*expected, "a\nb", " "]]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "texts.jsonl").write_text(lines, encoding="utf-8")
    assert read_texts(tmp_path / "texts.jsonl") == [*expected, "a b"]
    for path in (plain, tmp_path / "texts.jsonl"):
        packed = path.with_name(f"{path.name}.xz")
        packed.write_bytes(lzma.compress(path.read_bytes()))
        assert read_texts(packed) == read_texts(path)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("texts.jsonl", b'{"text": "fine"}\n{"txt": "no"}\n', r"texts\.jsonl:2: .*'text'"),
        ("texts.jsonl", b'{"text": "fine"}\n[1]\n', r"texts\.jsonl:2: .*'text'"),
        ("texts.txt.xz", b"not compressed", r"texts\.txt\.xz: cannot be read"),
        ("texts.txt", b"\xff\xfe", r"texts\.txt: cannot be read"),
        ("texts.txt", b"\n \n", r"texts\.txt: holds no text"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=problem):
        write_unlabelled(tmp_path / name, tmp_path)


def test_reviews_that_equal_a_test_review_are_not_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("a fine film\nOf  Test <br />\na dull film\n", encoding="utf-8")
    table = film_table()._replace(unsupervised_in_test=text_hashes(["of test"]))
    monkeypatch.setattr("reviews.film_table", lambda: table)
    written = write_unlabelled(path, tmp_path)
    assert written.read_text(encoding="utf-8") == "a fine film\na dull film\n"
    assert write_unlabelled(path, tmp_path) == written
    path.write_text("a fine film\n", encoding="utf-8")
    assert write_unlabelled(path, tmp_path) != written


def test_what_is_done_stays_done_until_something_before_it_changes(tmp_path: Path) -> None:
    first = driver_of(tmp_path)
    for name in ("a", "b"):
        first.note(name, {"command": name, "results": {}})
    driver = driver_of(tmp_path)
    assert driver.is_done("a", "a")
    assert driver.is_done("b", "b")
    assert not driver.is_done("b", "another")
    assert not driver.is_done("c", "c")
    driver.note("a", {"command": "a, changed", "results": {}})
    assert not driver_of(tmp_path).is_done("b", "b")


def test_a_finished_command_whose_run_is_gone_is_run_again(tmp_path: Path) -> None:
    command = Command("a", tmp_path / "a", ("predict", "--nonsense"))
    driver = driver_of(tmp_path)
    driver.note("a", {"command": str(command), "attempts": [], "results": {}})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "results.json").write_text("{}")
    assert driver.run(command) == 0
    (tmp_path / "a" / "results.json").unlink()
    with driver.locked() as free:
        assert free
        assert driver.run(command) == 2
    (attempt,) = driver.report["commands"]["a"]["attempts"]
    assert attempt["status"] == 2
    assert "unknown argument '--nonsense'" in (tmp_path / "a.log").read_text()


def test_nothing_starts_when_the_time_is_up_or_another_is_at_work(tmp_path: Path) -> None:
    late = driver_of(tmp_path, deadline=time.monotonic())
    with late.locked() as free:
        assert free
        assert late.run(Command("a", tmp_path / "a", ("predict",))) == STOPPED
        assert not (tmp_path / "a.log").exists()
        with driver_of(tmp_path, deadline=time.monotonic()).locked() as other:
            assert not other
    with late.locked() as free:
        assert free


def test_progress_is_that_of_the_last_whole_line(tmp_path: Path) -> None:
    assert progress(tmp_path) == "no step logged yet"
    lines = [
        {"event": "train", "step": 5, "seconds_left": 9},
        {"event": "epoch", "step": 6},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "log.jsonl").write_text(text + '{"event": "train", "st')
    assert log_lines(tmp_path) == lines
    assert progress(tmp_path) == "step 5, 9 s of training left"


def test_a_command_s_output_is_a_file_once_it_has_ended_well(tmp_path: Path) -> None:
    driver = driver_of(tmp_path)
    path = tmp_path / "fields.txt"
    with driver.locked() as free:
        assert free
        failing = Command("fields", tmp_path, ("fields", "no such field"), output=path)
        assert driver.run(failing) == 2
        assert not path.exists()
        assert "no such field" in (tmp_path / "fields.log").read_text()
        good = Command("fields", tmp_path, ("fields", "training.seed"), output=path)
        assert driver.run(good) == 0
    assert path.read_text().startswith("--config.training.seed=0 ")
    results = driver.report["commands"]["fields"]["results"]
    assert results["lines"] == len(path.read_text().splitlines())
    assert "2 labels" in table(driver.report)
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.slow
def test_all_of_it_in_small_stopped_once_and_continued(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_accuracy.py"), "--small"]
    command.append(f"--folder={tmp_path}")
    values = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=values, stdout=subprocess.PIPE, text=True) as started:
        for _ in range(3000):
            if log_lines(tmp_path / "classifier-0"):
                break
            assert started.poll() is None
            time.sleep(0.1)
        started.send_signal(signal.SIGTERM)
        printed, _ = started.communicate(timeout=100)
    assert started.returncode == STOPPED, printed
    assert printed.endswith("stopped; the same command goes on\n")
    report = json.loads((tmp_path / "report.json").read_text())
    assert "results" in report["commands"]["language_model"]
    assert "student" not in report["commands"]

    done = subprocess.run(command, env=values, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["starts"]) == 2
    trained = ["language_model", "classifier-0", "classifier-1", "classifier-2", "student"]
    scored = [f"test-{name}" for name in (*trained[1:], "ensemble")]
    commands = dict(report["commands"])
    assert list(commands) == [*trained[:-1], "pseudo_labels", "student", "ensemble", *scored]
    lines = commands.pop("pseudo_labels")["results"]["lines"]
    sizes = [commands[name]["results"]["train_examples"] for name in ("classifier-0", "student")]
    assert lines == len((tmp_path / "pseudo_labels.jsonl").read_text("utf-8").splitlines()) > 0
    assert sizes[1] == sizes[0] + lines
    assert len(commands["language_model"]["attempts"]) == 1
    assert len(commands["test-student"]["attempts"]) == 1
    for name, known in commands.items():
        assert known["results"]["split"] == ("test" if name in scored else "development")
    for name in trained:
        steps = [line["step"] for line in log_lines(tmp_path / name)]
        assert steps == sorted(steps)
        assert len(commands[name]["epochs"]) == 2
    assert commands["test-student"]["results"]["accuracy"] > 0.8
    assert commands["test-ensemble"]["results"]["accuracy"] > 0.8
    assert table(report) in done.stdout
