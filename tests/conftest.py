"""Fixtures that several test files share."""

import fcntl
import gc
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from lstm_flax.checkpoints.metadata import History, Metadata
from lstm_flax.checkpoints.restore import TrainedModel, build_model
from lstm_flax.config import Config, default_config
from lstm_flax.devices.sharding import data_mesh
from lstm_flax.inference.predictor import Predictor
from lstm_flax.models import init_params
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.training.train import train
from tests.training.step_cases import changed

GOOD = ("moving", "bright", "superb", "gentle", "warm", "lovely", "brave", "honest", "rich")
BAD = ("dull", "wooden", "awful", "tired", "cold", "grating", "silly", "hollow", "clumsy")
EITHER = ("the", "film", "a", "story", "with", "actors", "and", "music", "in", "this", "scene")


def templated_texts(count: int, seed: int) -> list[dict[str, str]]:
    """Made-up reviews of 3 to 60 words; the label decides a third of the words."""
    rng = random.Random(seed)
    records = []
    for index in range(count):
        label = ("neg", "pos")[index % 2]
        mood = GOOD if label == "pos" else BAD
        length = rng.randint(3, 60)
        words = [rng.choice(mood if rng.random() < 1 / 3 else EITHER) for _ in range(length)]
        words[0] = rng.choice(mood)
        records.append({"text": " ".join(words) + f" {index}", "label": label})
    return records


def write_jsonl(path: Path, records: list[dict[str, str]]) -> Path:
    """Writes one JSON object a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def write_small_texts(folder: Path) -> None:
    """Writes train.jsonl, development.jsonl and test.jsonl of templated texts."""
    for seed, (name, count) in enumerate({"train": 100, "development": 30, "test": 37}.items()):
        write_jsonl(folder / f"{name}.jsonl", templated_texts(count, seed))


def small_config(folder: Path) -> Any:
    """A run of seconds on those files: two buckets, a tiny BiLSTM, 7 batches an epoch."""
    config = default_config()
    config.data.source = "files"
    for name in ("train", "development", "test"):
        config.data[f"{name}_path"] = str(folder / f"{name}.jsonl")
    config.data.max_length = 64
    config.data.bucket_widths = (32, 64)
    config.data.batch_size = 16
    config.tokenizer.kind = "word"
    config.tokenizer.vocab_size = 64
    config.model.embedding_size = 8
    config.model.hidden_size = 8
    config.optimizer.learning_rate = 0.02
    config.training.log_interval = 3
    return config


def made_once(folder: Path, make: Callable[[Path], Any]) -> Any:
    """What `make(folder)` returned, as JSON keeps it, in the first worker that asked."""
    returned = folder.with_suffix(".json")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not returned.exists():
            returned.write_text(json.dumps(make(folder)), encoding="utf-8")
    return json.loads(returned.read_text(encoding="utf-8"))


def pytest_configure(config: pytest.Config) -> None:
    """Compiles without optimisations, which take most of the time of the quick tests.

    The slow tests run what users run.
    """
    if config.option.markexpr not in ("slow", "exhaustive"):
        fewer = ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
        if jax.__version_info__ < (0, 11):  # newer versions no longer have this flag
            fewer += ["--xla_cpu_use_fusion_emitters=false"]
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *fewer]).strip()


@pytest.fixture(scope="session", autouse=True)
def rare_collections() -> None:
    """Python looks for garbage seldom: JAX keeps millions of objects that it would walk through."""
    gc.set_threshold(20_000)


@pytest.fixture(autouse=True)
def handlers_of_signals_stay() -> Iterator[None]:
    """A test leaves the handlers of signals as they were."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, the same in every worker of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(shared_folder: Path) -> None:
    """Compiles each program once a session, though most tests build their functions anew."""
    folder = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(shared_folder / "xla"))
    jax.config.update("jax_compilation_cache_dir", folder)
    for name, value in {"MIN_COMPILE_TIME_SECS": 0, "MIN_ENTRY_SIZE_BYTES": -1}.items():
        os.environ[f"JAX_PERSISTENT_CACHE_{name}"] = str(value)  # for the processes tests start
        jax.config.update(f"jax_persistent_cache_{name.lower()}", value)


@pytest.fixture
def good_file(tmp_path: Path) -> Path:
    """A file of 60 templated texts."""
    return write_jsonl(tmp_path / "good.jsonl", templated_texts(60, seed=3))


@pytest.fixture(scope="session")
def tiny_files(shared_folder: Path) -> Path:
    """A folder with train.jsonl, development.jsonl and test.jsonl of templated texts."""

    def write(folder: Path) -> None:
        folder.mkdir()
        write_small_texts(folder)

    made_once(shared_folder / "tiny", write)
    return shared_folder / "tiny"


@pytest.fixture(scope="session")
def tiny_config(tiny_files: Path) -> Config:
    """The run of seconds, for three epochs."""
    config = small_config(tiny_files)
    config.data.cache_dir = str(tiny_files / "cache")
    config.training.epochs = 3
    config.training.checkpoint_interval = 4
    return Config.from_config_dict(config)


@pytest.fixture(scope="session")
def brief_config(tiny_config: Config) -> Config:
    """The tiny run for one epoch, in one bucket, at a constant rate.

    However many its texts and epochs, it is one program, compiled once a session.
    """
    config = changed(tiny_config, data={"bucket_widths": (64,)}, training={"epochs": 1})
    return changed(config, optimizer={"schedule": "constant"})


@pytest.fixture(scope="session")
def ngram_config(brief_config: Config) -> Config:
    """The brief run with n-gram features; one program as well."""
    return changed(brief_config, model={"ngram_order": 2})


@pytest.fixture(scope="session")
def ngram_predictor(ngram_config: Config) -> Predictor:
    """A tiny classifier of random weights, the ratios of templated texts, temperature 1.5."""
    records = templated_texts(100, seed=0)
    labels = [int(record["label"] == "pos") for record in records]
    encoder = TextEncoder.fit([record["text"] for record in records], labels, ngram_order=2)
    model = build_model(ngram_config, encoder, num_classes=2)
    params = init_params(model, jax.random.key(2))
    history, position = History(temperature=1.5), {"epoch": 0, "batch": 0}
    metadata = Metadata(ngram_config, ("neg", "pos"), encoder, "", position, history, {})
    return Predictor(TrainedModel(model, params, metadata, Path("0"), data_mesh(16)))


def train_once(config: Config, shared: Path, workdir: Path) -> tuple[Path, dict]:
    """Trains in a folder that the workers share; each gets a copy of the run, and its results."""
    results = made_once(shared, lambda folder: train(config, folder, show_progress=False))
    shutil.copytree(shared, workdir)
    return workdir, results


@pytest.fixture(scope="session")
def finished(
    tiny_config: Config, shared_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    """The folder and the results of a tiny run."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    return train_once(tiny_config, shared_folder / "finished", workdir)


@pytest.fixture(scope="session")
def lm_config(tiny_config: Config) -> Config:
    """A language model of seconds: 4 streams of 8 tokens, dropout of every kind."""
    values = tiny_config.to_dict() | {"task": "language_model"}
    values["data"] |= {"batch_size": 4}
    values["model"] |= {"embedding_dropout": 0.1, "word_dropout": 0.1, "head_dropout": 0.1}
    values["training"] |= {"epochs": 2, "max_steps": 150}
    values["training"] |= {"log_interval": 20, "checkpoint_interval": 30}
    values["language_model"] |= {"bptt_length": 8, "softmax_samples": 20, "weight_drop": 0.1}
    return Config.from_config_dict(values)


@pytest.fixture(scope="session")
def finished_lm(
    lm_config: Config, shared_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    """The folder and the results of a language model's run."""
    workdir = tmp_path_factory.mktemp("runs") / "lm"
    return train_once(lm_config, shared_folder / "lm", workdir)
