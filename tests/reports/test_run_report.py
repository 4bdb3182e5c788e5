"""Reports: a page of a run, several side by side, figures, the card; whatever the labels hold."""

import base64
import dataclasses
import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.reports import figures
from lstm_flax.reports.model_card import model_card
from lstm_flax.reports.run_report import comparison, draw_figures, report_page
from lstm_flax.reports.scored_run import Answers, ScoredRun, score_run
from tests.reports.test_pages import EVIL, LABELS, check_closed

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
SVG = re.compile(r'src="data:image/svg\+xml;base64,([^"]+)"')


@pytest.fixture(scope="module")
def run(finished: tuple[Path, dict], tiny_config: Config) -> ScoredRun:
    return score_run(finished[0], load_trained_model(finished[0]), tiny_config.data, "test")


def test_the_scores_are_those_of_training(run: ScoredRun, finished: tuple[Path, dict]) -> None:
    _, results = finished
    assert run.metrics["confusion"] == results["confusion"]
    for name in ("accuracy", "macro_f1", "mcc", "auc", "temperature"):
        assert run.metrics[name] == pytest.approx(results[name], abs=1e-6)
    assert run.results["accuracy"] == results["accuracy"]
    assert len(run.answers.texts) == results["examples"]
    assert len(run.training_answers.texts) == results["train_examples"]


def test_a_page_of_a_run(run: ScoredRun) -> None:
    drawn = draw_figures(run)
    beside = {"tfidf": {"accuracy": 0.5}}
    content = report_page([run], [drawn], beside)
    parsed = check_closed(content)
    assert "tfidf" in parsed.text
    assert f"{run.metrics['macro_f1']:.4f}" in parsed.text
    assert "texts of the test part" in parsed.text
    pictures = SVG.findall(content)
    assert len(pictures) == len(drawn) == 7
    for picture in pictures:
        check_picture(base64.b64decode(picture))
    assert len(content.encode()) < 2e6


def check_picture(svg: bytes) -> None:
    """Makes sure that an SVG parses, holds text as text, and asks for nothing."""
    root = ET.fromstring(svg)
    tags = {element.tag.split("}")[-1] for element in root.iter()}
    assert "text" in tags
    assert not tags & {"script", "foreignObject", "a"}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            assert not name.endswith("href") or value.startswith(("#", "data:image/png"))


def evil_run(run: ScoredRun) -> ScoredRun:
    """The run with names and texts that try to be markup, all answered wrongly and surely."""
    texts = [text + " $x_$ <b>" for text in EVIL]
    labels = np.array([k % 2 for k in range(len(texts))], np.int32)
    logits = np.where(np.arange(2) == labels[:, None], -4.0, 4.0).astype(np.float32)
    answers = Answers(texts, labels, np.arange(1, len(texts) + 1), logits, 1.0)
    metadata = dataclasses.replace(run.trained.metadata, label_names=LABELS)
    trained = dataclasses.replace(run.trained, metadata=metadata)
    statistics = {
        name: dataclasses.replace(part, label_counts=dict(zip(LABELS, (3, 4), strict=True)))
        for name, part in run.audit.statistics.items()
    }
    audit = dataclasses.replace(run.audit, statistics=statistics, warnings=list(EVIL))
    return dataclasses.replace(
        run, trained=trained, answers=answers, training_answers=answers, audit=audit,
        workdir=Path("runs/<script>\u202e$a_b$"),
    )  # fmt: skip


def test_no_label_text_or_folder_can_become_markup(run: ScoredRun) -> None:
    evil = evil_run(run)
    drawn = draw_figures(evil)
    content = report_page([evil], [drawn])
    parsed = check_closed(content)
    assert "<script>alert(1)</script> superb" in parsed.text
    assert parsed.text.count("$x_$ <b>") == 2 * len(EVIL)
    for picture in SVG.findall(content):
        check_picture(base64.b64decode(picture))
    card = model_card(evil)
    assert not set(card) & set("\0\x1b\u202e")
    outside_code = re.sub(r"`[^`]*`", "", card)
    assert not re.search(r"(?<!\\)<", outside_code)


def test_seeds_have_a_mean_and_a_spread(run: ScoredRun) -> None:
    config = run.trained.metadata.config
    runs = []
    for seed, accuracy in enumerate((0.5, 0.7, 0.9)):
        training = dataclasses.replace(config.training, seed=seed)
        metadata = dataclasses.replace(
            run.trained.metadata, config=dataclasses.replace(config, training=training)
        )
        trained = dataclasses.replace(run.trained, metadata=metadata)
        metrics = run.metrics | {"accuracy": accuracy}
        runs.append(dataclasses.replace(run, trained=trained, metrics=metrics))
    shown = comparison(runs)
    assert "mean ± deviation of 3 seeds" in shown
    assert "0.7000 ± 0.2000" in shown
    other = dataclasses.replace(config, model=dataclasses.replace(config.model, hidden_size=99))
    metadata = dataclasses.replace(run.trained.metadata, config=other)
    stranger = dataclasses.replace(run, trained=dataclasses.replace(run.trained, metadata=metadata))
    assert "mean ±" not in comparison([run, stranger])


def test_the_command_writes_page_card_and_figures(
    finished: tuple[Path, dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    data = f"--config={workdir / 'config.json'}"
    assert main(["report", str(workdir), data, "--figures=png", "--baselines"]) == 0
    check_closed((workdir / "report.html").read_text(encoding="utf-8"))
    card = (workdir / "model_card.md").read_text(encoding="utf-8")
    assert f"**{finished[1]['accuracy']:.2%}**" in card
    assert "accuracy of nbsvm" in card
    pictures = sorted((workdir / "report" / "0").iterdir())
    assert len(pictures) == 7
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    capsys.readouterr()


def test_mistakes_are_one_line(
    finished_lm: tuple[Path, dict],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "is no run's folder" in capsys.readouterr().err
    assert main(["report", str(finished_lm[0]), f"--config={finished_lm[0] / 'config.json'}"]) == 2
    assert "holds a language model" in capsys.readouterr().err
    (tmp_path / "config.json").write_text(json.dumps({}))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", str(tmp_path)]) == 2
    assert "pip install 'lstm-flax[report]'" in capsys.readouterr().err


def test_groups_hold_each_text_once() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 300, 500)
    for groups in (figures.length_groups(lengths), figures.confidence_groups(rng.random(500))):
        assert (np.sum([chosen for _, chosen in groups], axis=0) == 1).all()
