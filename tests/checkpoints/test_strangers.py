"""Checkpoints and run folders that someone else made: what they say is no instruction."""

import hashlib
import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from lstm_flax.checkpoints.folder import AVERAGED_PARAMS, CheckpointFolder
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.checkpoints.sizes import require_honest
from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.exporting.examples import EXAMPLE_TEXTS
from lstm_flax.inference.predictor import Predictor
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.training.train import train
from tests.checkpoints.resealing import reseal
from tests.cli.mistake_cases import mistake

Values = dict[str, Any]


@pytest.fixture
def best(finished: tuple[Path, dict], tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished[0] / "best", tmp_path / "best"))


def change(best: Path, edit: Callable[[Values], object]) -> None:
    (path,) = best.glob("*/metadata/metadata")
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))
    reseal(path.parent.parent)


def data(**places: object) -> Callable[[Values], object]:
    return lambda values: values["config"]["data"].update(places)


def test_paths_in_a_checkpoint_are_neither_read_nor_written(
    best: Path, tiny_config: Config, tmp_path: Path, capsys: Any
) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text("my password\n")
    theirs = {"cache_dir": str(tmp_path / "theirs"), "token_cache": None}
    places = {f"{name}_path": str(secret) for name in ("train", "development", "test")}
    change(best, data(**theirs, **places, extra_train_path=str(secret)))
    for command in (["evaluate"], ["predict", "--split=test"]):
        line = mistake(capsys, *command, f"--workdir={best}")
        assert "what a checkpoint names is not read" in line
        assert "password" not in line
    mine = {name: getattr(tiny_config.data, name) for name in (*places, "cache_dir")}
    flags = [f"--config.data.{name}={value}" for name, value in mine.items()]
    assert main(["evaluate", f"--workdir={best}", *flags]) == 0
    assert main(["predict", "--split=test", f"--workdir={best}", *flags]) == 0
    assert not (tmp_path / "theirs").exists()


def put(*path: str, value: object) -> Callable[[Values], object]:
    def edit(values: Values) -> None:
        *parents, last = path
        for name in parents:
            values = values[name]
        values[last] = value

    return edit


def test_a_report_or_an_export_reads_no_path_of_a_checkpoint(
    finished: tuple[Path, dict], tiny_config: Config, tmp_path: Path, capsys: Any
) -> None:
    for module in ("matplotlib", "sklearn", "safetensors"):
        pytest.importorskip(module)
    run, theirs = Path(shutil.copytree(finished[0], tmp_path / "run")), tmp_path / "theirs"
    change(run / "best", data(cache_dir=str(theirs)))
    report, export = ["report", str(run)], ["export", f"--workdir={run}", "--format=safetensors"]
    for command in (report, [*export, str(tmp_path / "a"), "--split=test"]):
        assert "what a checkpoint names is not read" in mistake(capsys, *command)
    assert main([*export, str(tmp_path / "b")]) == 0
    assert f"compared on {len(EXAMPLE_TEXTS)} texts" in capsys.readouterr().out
    places = ("train_path", "development_path", "test_path", "cache_dir")
    mine = [f"--config.data.{name}={getattr(tiny_config.data, name)}" for name in places]
    assert main([*report, *mine]) == 0
    assert main([*export, str(tmp_path / "c"), "--split=test", *mine]) == 0
    assert "compared on 37 texts" in capsys.readouterr().out
    assert not theirs.exists()


def test_a_folder_that_a_checkpoint_names_as_its_source_is_not_read(
    finished: tuple[Path, dict], tmp_path: Path, capsys: Any
) -> None:
    run, theirs = Path(shutil.copytree(finished[0], tmp_path / "run")), tmp_path / "theirs"
    theirs.mkdir()
    change(run / "best", data(source=f"hf:{theirs}"))
    line = mistake(capsys, "evaluate", f"--workdir={run}")
    assert f"hf:{theirs}" in line
    assert "what a checkpoint names is not read" in line


NAN, DEEP = float("nan"), json.loads("[" * 900 + "]" * 900)
HUGE = 10**400
ODD_VALUES = {
    "temperature 0": put("history", "temperature", value=0),
    "temperature NaN": put("history", "temperature", value=NAN),
    "temperature negative": put("history", "temperature", value=-1.0),
    "temperature text": put("history", "temperature", value="1"),
    "history": put("history", value=[]),
    "history field": put("history", "more", value=1),
    "logged": put("history", "logged", value=[1, 2]),
    "labels": put("label_names", value="ab"),
    "no labels": put("label_names", value=[]),
    "labels alike": put("label_names", value=["a", "a"]),
    "label number": put("label_names", value=["a", 1]),
    "label of a page": put("label_names", value=["a", "b" * 1001]),
    "config": put("config", value=[1]),
    "section": put("config", "data", value="x"),
    "position": put("position", "epoch", value=-1),
    "version": put("format_version", value=[2]),
    "fingerprint": put("tokenizer_fingerprint", value=None),
    "temperature huge": put("history", "temperature", value=HUGE),
    "logged huge": put("history", "logged", value=[HUGE, 0, 0, 0]),
    "logged beyond a float32": put("history", "logged", value=[1e39, 0, 0, 0]),
    "logged beyond 32 bits": put("history", "logged", value=[0, 0, 0, 10**299]),
    "logged infinite": put("history", "logged", value=[float("inf"), 0, 0, 0]),
    "rate huge": put("config", "optimizer", "learning_rate", value=HUGE),
    "size huge": put("config", "model", "hidden_size", value=HUGE),
    "machine deep": put("machine", value={"device": DEEP}),
    "config deep": put("config", value={"model": DEEP}),
    "path NUL": data(cache_dir="a\0b"),
}


@pytest.mark.parametrize("name", ODD_VALUES)
def test_metadata_of_wrong_types_or_impossible_values(name: str, best: Path) -> None:
    change(best, ODD_VALUES[name])
    with pytest.raises(UserError) as raised:
        load_trained_model(best)
    assert len(str(raised.value).splitlines()) == 1


SIZES = {
    "hidden": put("config", "model", "hidden_size", value=10**9),
    "layers": put("config", "model", "num_layers", value=900),
    "million layers": put("config", "model", "num_layers", value=10**6),
    "embedding": put("config", "model", "embedding_size", value=10**18),
    "batch": data(batch_size=10**12),
    "width": data(bucket_widths=[2**45], max_length=2**45),
    "n-grams": put("config", "model", "ngram_order", value=10**9),
    "n-grams of nothing": put("config", "model", "ngram_order", value=3),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_compared_before_anything_is_allocated(name: str, best: Path) -> None:
    change(best, SIZES[name])
    start = time.process_time()
    with pytest.raises(UserError):
        load_trained_model(best)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("number", ["1e999", "Infinity", "NaN", "1" + "0" * 400])
def test_numbers_beyond_a_float_in_a_manifest_or_a_configuration(
    number: str, best: Path, tmp_path: Path, capsys: Any
) -> None:
    (manifest,) = best.glob("*/verification/manifest.json")
    manifest.write_text(f'{{"step": {number}, "files": {{}}}}')
    line = mistake(capsys, "predict", f"--workdir={best}", "text")
    assert "no whole checkpoint can be read" in line
    (tmp_path / "c.json").write_text(f'{{"optimizer": {{"learning_rate": {number}}}}}')
    line = mistake(capsys, "train", f"--config={tmp_path / 'c.json'}", f"--workdir={tmp_path}")
    assert f"({number[:20]} is not a finite number)" in line


def test_deep_metadata_are_damage_not_a_crash(best: Path, capsys: Any) -> None:
    (path,) = best.glob("*/metadata/metadata")
    path.write_text("[" * 200_000)
    reseal(path.parent.parent)
    assert "its metadata cannot be used" in mistake(capsys, "predict", f"--workdir={best}", "text")


def test_weights_that_are_not_finite(finished: tuple[Path, dict], tmp_path: Path) -> None:
    trained = load_trained_model(finished[0])
    params = jax.tree.map(lambda leaf: np.array(leaf), trained.params)
    params["head"]["bias"][0] = np.nan
    folder = CheckpointFolder(tmp_path / "best", keep=1)
    folder.save(7, {AVERAGED_PARAMS: params}, trained.metadata)
    folder.close()
    with pytest.raises(UserError, match=r"head/bias: holds numbers that are not finite"):
        load_trained_model(tmp_path / "best")


HEADERS = {
    "cut off": "{'descr': '<u4', 'fortran_order': False, 'shape': (3",
    "no value": "{'descr': '<u4', 'fortran_order': False, 'shape': (3,, ), }",
    "beyond an index": "{'descr': '<u4', 'fortran_order': False, 'shape': (10**30,), }",
    "larger than memory": f"{{'descr': '<u4', 'fortran_order': False, 'shape': ({10**12},), }}",
}


@pytest.mark.parametrize("name", HEADERS)
def test_arrays_of_an_encoder_with_impossible_headers(
    name: str, ngram_predictor: Predictor
) -> None:
    files = ngram_predictor.trained.metadata.encoder.to_files()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for array in np.load(io.BytesIO(files["ngram_ratios.npz"])).files:
            header = HEADERS[name].ljust(117) + "\n"
            magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
            archive.writestr(f"{array}.npy", magic + header.encode() + bytes(100))
    files["ngram_ratios.npz"] = packed.getvalue()
    described = json.loads(files["encoder.json"])
    described["sha256"]["ngram_ratios.npz"] = hashlib.sha256(packed.getvalue()).hexdigest()
    files["encoder.json"] = json.dumps(described).encode()
    with pytest.raises(UserError, match=r"encoder cannot be read .*not an array"):
        TextEncoder.from_files(files)


def test_arrays_larger_than_their_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "chunk").write_bytes(bytes(1000))
    require_honest(tmp_path, {"w": jax.ShapeDtypeStruct((1000,), np.float32)})
    with pytest.raises(UserError, match=r"declares 400,000,000,000 bytes of weights, but has 1,0"):
        require_honest(tmp_path, {"w": jax.ShapeDtypeStruct((100_000, 1_000_000), np.float32)})


def test_links_out_of_a_run_are_refused(finished: tuple[Path, dict], tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(finished[0] / "best", elsewhere)
    run.mkdir()
    (run / "best").symlink_to(elsewhere)
    with pytest.raises(UserError, match=r"run/best: a link"):
        load_trained_model(run)
    (run / "best").unlink()
    (run / "best").mkdir()
    (one,) = (path for path in elsewhere.iterdir() if path.name.isdigit())
    (run / "best" / one.name).symlink_to(one)
    with pytest.raises(UserError, match=r"a link"):
        load_trained_model(run)
    assert load_trained_model(elsewhere).step == int(one.name)


@pytest.mark.parametrize("name", ["params", "d", ".DS_Store"])
@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/zero"), os.mkfifo])
def test_links_and_pipes_beside_the_files_of_a_manifest(
    name: str, make: Callable[[Path], object], best: Path
) -> None:
    (item,) = best.glob("*/averaged_params")
    make(item / f"{name}-more")
    with pytest.raises(UserError, match="no whole checkpoint can be read"):
        load_trained_model(best)


@pytest.mark.parametrize("name", [".lock", "log.jsonl", "results.json", "config.json", "last/9"])
def test_a_run_folder_with_links_is_not_trained_in(
    name: str, tiny_config: Config, tmp_path: Path
) -> None:
    outside, run = tmp_path / "outside", tmp_path / "run"
    outside.write_text("precious")
    (run / name).parent.mkdir(parents=True)
    (run / name).symlink_to(outside)
    with pytest.raises(UserError, match=f"{name}: a link, pipe or device"):
        train(tiny_config, run, show_progress=False)
    assert outside.read_text() == "precious"


def test_pipes_and_devices_in_place_of_small_files_do_not_hang(tmp_path: Path, capsys: Any) -> None:
    os.mkfifo(tmp_path / "config.json")
    flags = [f"--config={tmp_path / 'config.json'}", f"--workdir={tmp_path / 'run'}"]
    assert "cannot be read" in mistake(capsys, "train", *flags)
    (tmp_path / "results.json").symlink_to("/dev/zero")
    line = mistake(capsys, "baselines", "--config=imdb", f"--workdir={tmp_path}")
    assert "no accuracy to read" in line
    (tmp_path / "deep.json").write_text("[" * 200_000)
    flags = [f"--config={tmp_path / 'deep.json'}", f"--workdir={tmp_path / 'run'}"]
    assert "cannot be read" in mistake(capsys, "train", *flags)
