"""Exported programs, in processes without this package, answer as the predictor does."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lstm_flax.cli import main
from lstm_flax.data.batching import Batcher
from lstm_flax.errors import UserError
from lstm_flax.exporting import export as export_module
from lstm_flax.exporting.examples import EXAMPLE_TEXTS
from lstm_flax.exporting.export import FORMATS
from lstm_flax.inference.predictor import Predictor
from lstm_flax.text.normalization import normalize
from tests.exporting.export_cases import (
    DEEP_KINDS,
    KINDS,
    PYTHONS,
    STABLEHLO_KINDS,
    make_predictor,
    mixed_texts,
    run_alone,
)
from tests.exporting.strange_texts import STRANGE

RUNNERS = Path(export_module.__file__).parent / "runners"
SIZES = (1, 3, 64)
TEXTS = mixed_texts()
NEEDS = {"onnx": ("onnx", "onnxruntime"), "safetensors": ("safetensors",), "torch": ("torch",)}
NEEDS["stablehlo"] = ("flatbuffers",)
BLOCKED = {"onnx": "jax flax", "safetensors": "jax flax", "torch": "jax flax", "stablehlo": "flax"}


def skip_without(format: str) -> None:
    for package in NEEDS[format]:
        if format not in PYTHONS and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.fixture(scope="module")
def sides() -> dict[str, tuple[Predictor, np.ndarray]]:
    """A predictor of each kind, and its probabilities of `TEXTS`."""
    found = {}
    for kind in KINDS:
        predictor = make_predictor(kind)
        found[kind] = predictor, probabilities(predictor)
    return found


def swap_labels(path: Path) -> None:
    other = {"neg": "pos", "pos": "neg"}
    path.write_text(re.sub("neg|pos", lambda match: other[match.group()], path.read_text()))


def without_the_weights(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "model.safetensors" not in line))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.json", swap_labels),
        ("model.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-1])),
        ("tokenizer.model", Path.unlink),
        ("SHA256SUMS", Path.unlink),
        ("SHA256SUMS", lambda path: path.write_text("")),
        ("SHA256SUMS", lambda path: path.write_bytes(path.read_bytes()[:200])),
        ("SHA256SUMS", without_the_weights),
        ("ngram_ratios.npz", lambda path: (path.unlink(), os.mkfifo(path))),
    ],
)
def test_an_export_that_is_not_whole_answers_nothing(
    name: str, damage: Callable[[Path], object], tmp_path: Path
) -> None:
    skip_without("safetensors")
    make_predictor("bilstm_ngrams").export(tmp_path / "export", "safetensors", texts=TEXTS[:2])
    damage(tmp_path / "export" / name)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "export" / "run.py"), "good film"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert name in line


def test_closed_standard_input_is_one_line(tmp_path: Path) -> None:
    skip_without("safetensors")
    make_predictor("bilstm_ngrams").export(tmp_path / "export", "safetensors", texts=TEXTS[:2])
    command = f"exec {sys.executable} {tmp_path / 'export' / 'run.py'} <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("error: standard input is closed.*\n", done.stderr)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", ["onnx", "safetensors", "torch"])
def test_every_kind_answers_alike_elsewhere(
    kind: str, format: str, sides: dict, tmp_path: Path
) -> None:
    check_alike(kind, format, sides, tmp_path)


def test_jax_alone_runs_the_stablehlo_program(sides: dict, tmp_path: Path) -> None:
    check_alike("bilstm_ngrams", "stablehlo", sides, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", STABLEHLO_KINDS)
def test_jax_alone_runs_what_other_formats_have_not(kind: str, tmp_path: Path) -> None:
    predictor = make_predictor(kind)
    check_alike(kind, "stablehlo", {kind: (predictor, probabilities(predictor))}, tmp_path)


@pytest.mark.parametrize("kind", STABLEHLO_KINDS)
@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"stablehlo"}))
def test_other_formats_refuse_what_they_have_not(kind: str, format: str, tmp_path: Path) -> None:
    skip_without(format)
    with pytest.raises(UserError, match=rf"'{format}': has no model\..*stablehlo"):
        make_predictor(kind).export(tmp_path / "export", format)
    assert not (tmp_path / "export").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"bilstm_ngrams"}))
def test_jax_alone_runs_every_kind(kind: str, sides: dict, tmp_path: Path) -> None:
    check_alike(kind, "stablehlo", sides, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DEEP_KINDS)
@pytest.mark.parametrize("format", FORMATS)
def test_three_layers_of_two_directions(kind: str, format: str, tmp_path: Path) -> None:
    predictor = make_predictor(kind)
    check_alike(kind, format, {kind: (predictor, probabilities(predictor))}, tmp_path)


def probabilities(predictor: Predictor) -> np.ndarray:
    answers = predictor.predict(TEXTS)
    return np.array([list(answer.probabilities.values()) for answer in answers])


def check_alike(kind: str, format: str, sides: dict, tmp_path: Path) -> None:
    skip_without(format)
    predictor, expected = sides[kind]
    assert expected[:, 0].std() > 0.02  # else any constant would pass
    write(predictor, tmp_path / "out", format)
    python = PYTHONS.get(format, sys.executable)
    answers = run_alone(tmp_path / "out", TEXTS, SIZES, BLOCKED[format], python)
    for size, found in zip(SIZES, answers, strict=True):
        np.testing.assert_allclose(found, expected[:size], atol=1e-5)


def write(predictor: Predictor, folder: Path, format: str, weights: str = "float32") -> None:
    """Exports without the comparison, which would start one more process."""
    export_module.export_model(
        predictor.trained, folder, format, weights, {"texts": [], "probabilities": []}
    )


@pytest.fixture(scope="module")
def exported(sides: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Path]:
    """A predictor with n-gram features, and its export for numpy."""
    skip_without("safetensors")
    folder = tmp_path_factory.mktemp("exported") / "out"
    predictor = sides["bilstm_ngrams"][0]
    write(predictor, folder, "safetensors")
    return predictor, folder


def import_encoder(folder: Path) -> ModuleType:
    """The module `encode` of an export."""
    spec = importlib.util.spec_from_file_location("exported_encode", folder / "encode.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_described_normalisation_is_ours(exported: tuple[Predictor, Path]) -> None:
    predictor, folder = exported
    encoder = import_encoder(folder).Encoder()
    tokenizer = predictor.trained.metadata.encoder.tokenizer
    for text in STRANGE:
        encoder.about["word_pattern"] = None
        assert encoder.normalize(text) == normalize(text, lowercase=True)
        encoder.about["word_pattern"] = tokenizer.word_pattern
        assert encoder.encode(text)[0].tolist() == tokenizer.encode_batch([text])[0].tolist()


@pytest.mark.parametrize("truncation", ["head", "head_tail"])
def test_long_texts_are_cut_alike_features_too(truncation: str, tmp_path: Path) -> None:
    skip_without("safetensors")
    predictor = make_predictor("bilstm_ngrams", max_length=7, truncation=truncation)
    write(predictor, tmp_path / "out", "safetensors")
    encoder, ours = import_encoder(tmp_path / "out").Encoder(), predictor.trained.metadata
    texts = ["superb and warm", " ".join(TEXTS[0].split()[:8]), TEXTS[2]]
    split = ours.encoder.encode_split(texts)
    batch = Batcher.from_config(split, ours.encoder, ours.config.data).make([0, 1, 2], 7)
    assert batch.token_features is not None
    assert np.abs(batch.token_features).max() > 0.5
    for row, text in enumerate(texts):
        ids, features = encoder.encode(text)
        assert ids.tolist() == batch.token_ids[row, : batch.lengths[row]].tolist()
        np.testing.assert_array_equal(features, batch.token_features[row, : len(ids)])


@pytest.mark.parametrize(("weights", "most"), [("float16", 2e-3), ("int8", 2e-2)])
def test_smaller_weights_cost_little(
    weights: str, most: float, sides: dict, tmp_path: Path
) -> None:
    skip_without("onnx")
    predictor, expected = sides["bilstm_ngrams"]
    write(predictor, tmp_path / "out", "onnx", weights)
    (found,) = run_alone(tmp_path / "out", TEXTS, (64,), "jax")
    difference = np.abs(np.array(found) - expected).max()
    assert 0 < difference < most


def test_smaller_weights_make_smaller_files() -> None:
    skip_without("onnx")
    from lstm_flax.exporting.onnx_graph import build_onnx
    from lstm_flax.exporting.state_dict import to_state_dict
    from lstm_flax.models import TextClassifier

    predictor = make_predictor("bilstm_ngrams")
    arrays = to_state_dict(predictor.trained.params)
    arrays["embedding.weight"] = np.zeros((20_000, 6), np.float32)
    assert isinstance(predictor.trained.model, TextClassifier)
    sizes = [len(build_onnx(predictor.trained.model, arrays, w)) for w in export_module.WEIGHTS]
    assert sizes[1] / sizes[0] == pytest.approx(1 / 2, abs=0.02)
    assert sizes[2] / sizes[0] == pytest.approx(10 / 24, abs=0.02)  # with a scale for each row of 6


@pytest.mark.parametrize("format", FORMATS)
def test_runners_are_short_and_import_their_runtime_alone(format: str) -> None:
    allowed = {"numpy", "sentencepiece", "classifier", "encode", *FORMATS[format].runtime}
    names = ("run.py", "encode.py", f"{format}_classifier.py")
    for name in names:
        source = (RUNNERS / name).read_text(encoding="utf-8")
        assert len(source.splitlines()) <= 80
        lines = [
            line.split() for line in source.splitlines() if line.startswith(("import", "from"))
        ]
        packages = {words[1].split(".")[0] for words in lines}
        assert packages <= allowed | sys.stdlib_module_names


def test_the_command_writes_compares_and_refuses(
    finished: tuple[Path, dict], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    skip_without("safetensors")
    out = tmp_path / "out"
    words = ["export", f"--workdir={finished[0]}", str(out), "--format=safetensors"]
    assert main([*words, f"--config={finished[0] / 'config.json'}"]) == 0
    printed = capsys.readouterr().out
    assert "compared on 30 texts" in printed  # of the development part
    assert "labels that differ                   0" in printed
    difference = float(printed.split("of a probability")[1].split()[0])
    assert difference < 1e-6
    assert 'labels": [\n  "neg"' in (out / "model.json").read_text()
    examples = json.loads((out / "examples.json").read_text())
    assert len(examples["texts"]) == len(EXAMPLE_TEXTS) == len(examples["probabilities"])
    assert main(words) == 2
    assert f"{out}: is there already" in capsys.readouterr().err


def test_mistakes_are_one_line(
    sides: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = sides["rnn"][0]
    with pytest.raises(UserError, match="choose onnx, safetensors, torch, stablehlo"):
        predictor.export(tmp_path / "out", "tflite")
    with pytest.raises(UserError, match="torch has float32 alone"):
        predictor.export(tmp_path / "out", "torch", "int8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'lstm-flax\[export\]'"):
        predictor.export(tmp_path / "out", "onnx")
    both = Predictor(predictor.trained, predictor.trained)
    with pytest.raises(UserError, match="export each by itself"):
        both.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()
