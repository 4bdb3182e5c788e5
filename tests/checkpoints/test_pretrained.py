"""The model that comes with the package: how a run becomes it, and what it answers."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import ship_model

from lstm_flax.checkpoints import pretrained
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.inference.predictor import Predictor
from lstm_flax.training.train import train
from tests.conftest import templated_texts

TEXTS = [record["text"] for record in templated_texts(30, seed=8)]


@pytest.fixture(scope="module")
def run(ngram_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Wide enough that the weights, not the names of the files, are what fills the folder.
    model = dataclasses.replace(ngram_config.model, hidden_size=128)
    folder = tmp_path_factory.mktemp("runs") / "with_ngrams"
    train(dataclasses.replace(ngram_config, model=model), folder, show_progress=False)
    return folder


def test_it_answers_as_the_run_and_knows_nothing_of_this_machine(run: Path, tmp_path: Path) -> None:
    ship_model.ship(run, tmp_path / "model")
    ours, theirs = load_trained_model(run), load_trained_model(tmp_path / "model")
    for a, b in zip(Predictor(ours).predict(TEXTS), Predictor(theirs).predict(TEXTS), strict=True):
        assert a.label == b.label
        assert a.probabilities["pos"] == pytest.approx(b.probabilities["pos"], abs=2e-2)
    data = theirs.metadata.config.data
    assert (data.data_dir, data.archive, data.cache_dir, data.token_cache) == (None,) * 4
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert [path for path in files if str(tmp_path).encode() in path.read_bytes()] == []
    sizes = [
        sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in (run / "best", tmp_path / "model")
    ]
    assert sizes[1] < 0.6 * sizes[0]
    with pytest.raises(SystemExit, match="remove it first"):
        ship_model.ship(run, tmp_path / "model")


def test_only_weak_ratios_are_left_out(run: Path) -> None:
    whole = load_trained_model(run).metadata.encoder.ngrams
    assert whole is not None
    strong = ship_model.without_weak_ratios(whole)
    kept = np.isin(whole.keys, strong.keys)
    values = np.abs(whole.tables[0, :-1, 0].astype(np.float32))
    assert 0 < len(strong.keys) < len(whole.keys)
    assert values[kept].min() >= ship_model.NEGLIGIBLE > values[~kept].max()
    np.testing.assert_array_equal(strong.tables[0, :-1], whole.tables[0, :-1][kept])
    np.testing.assert_array_equal(strong.tables[:, -1], whole.tables[:, -1])


def test_predict_says_whose_answers_they_are_where_no_run_is_named(
    capsys: pytest.CaptureFixture[str], run: Path
) -> None:
    assert main(["predict", "Qwrty zxcvb good"]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"{pretrained.SHIPPED_DESCRIPTION}\n"
    assert json.loads(printed.out)["warning"] == "71% of the text is unknown to the model"
    assert main(["predict", f"--workdir={run}", "A warm film."]) == 0
    assert capsys.readouterr().err == ""


def test_without_a_model_a_run_must_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "SHIPPED", tmp_path / "none")
    assert pretrained.model_folder(tmp_path) == tmp_path
    with pytest.raises(UserError, match="--workdir"):
        pretrained.model_folder(None)


def test_the_model_that_comes_along_is_small_and_answers() -> None:
    folder = pretrained.model_folder(None)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size <= 20_000_000
    praise, scorn = Predictor.from_checkpoint().predict(
        ["One of the best films I have seen in years.", "A dull, badly written waste of time."]
    )
    assert praise.label == "pos"
    assert scorn.label == "neg"
    assert min(praise.probabilities["pos"], scorn.probabilities["neg"]) > 0.9
