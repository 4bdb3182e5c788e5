"""Exports a trained classifier to a folder that another runtime can run by itself."""

import hashlib
import importlib.util
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.errors import UserError
from lstm_flax.exporting.description import describe_model, model_card
from lstm_flax.exporting.state_dict import flat_names, to_state_dict
from lstm_flax.files import cannot_write, is_utf8, make_folder
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.text.encoder import TextEncoder

WEIGHTS = ("float32", "float16", "int8")
_RUNNERS = Path(__file__).parent / "runners"


class _Format(NamedTuple):
    """A format: its files, the packages that write them, and the packages its runner imports."""

    write: Callable[[TextClassifier, Any, str], Mapping[str, bytes]]
    packages: tuple[str, ...]
    runtime: tuple[str, ...]


def _onnx(model: TextClassifier, params: Any, weights: str) -> dict[str, bytes]:
    from lstm_flax.exporting.onnx_graph import build_onnx

    return {"model.onnx": build_onnx(model, to_state_dict(params), weights)}


def _stablehlo(model: TextClassifier, params: Any, weights: str) -> dict[str, bytes]:
    from lstm_flax.exporting.stablehlo import build_stablehlo

    return {"model.stablehlo": build_stablehlo(model, params)}


def _safetensors(model: TextClassifier, params: Any, weights: str) -> dict[str, bytes]:
    from safetensors.numpy import save

    return {
        "model.safetensors": save(to_state_dict(params), {"format": "pt"}),
        "flax.safetensors": save(flat_names(params), {"format": "flax"}),
    }


def _torch(model: TextClassifier, params: Any, weights: str) -> dict[str, bytes]:
    return {"state_dict.npz": _npz(to_state_dict(params))}


FORMATS: Mapping[str, _Format] = {
    "onnx": _Format(_onnx, ("onnx",), ("onnxruntime",)),
    "safetensors": _Format(_safetensors, ("safetensors",), ("safetensors",)),
    "torch": _Format(_torch, (), ("torch",)),
    "stablehlo": _Format(_stablehlo, ("flatbuffers",), ("jax", "flatbuffers")),
}


def check_export(format: str, weights: str, folder: Path) -> None:
    """Checks that an export can begin.

    Raises:
        UserError: there is no such format, it does not support these weights, a required package is
            missing, or the folder is in use or has a name that is not UTF-8.
    """
    if format not in FORMATS:
        raise UserError(f"format {format!r}: choose {', '.join(FORMATS)}")
    if weights not in WEIGHTS:
        raise UserError(f"weights {weights!r}: choose {', '.join(WEIGHTS)}")
    if weights != "float32" and format != "onnx":
        raise UserError(f"weights {weights!r}: {format} has float32 alone; choose the format onnx")
    chosen = FORMATS[format]
    for package in chosen.packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"format {format!r} needs the package {package}: pip install 'lstm-flax[export]'"
            )
    if not is_utf8(str(folder.absolute())):
        raise UserError(
            f"{folder}: a name that is not UTF-8, which the exported program could not open; "
            "choose another"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; name a new folder, or remove it first")


def _check_model(model: TextClassifier, format: str) -> None:
    """Checks that a format supports everything in the model: StableHLO always does."""
    merge = model.direction_merge if model.bidirectional else "concat"
    for name, value, only in (
        ("direction_merge", merge, "concat"),
        ("hierarchy", model.hierarchy, "none"),
    ):
        if format != "stablehlo" and value != only:
            raise UserError(
                f"format {format!r}: has no model.{name} = {value!r}; choose the format stablehlo"
            )


def missing_runtime(format: str) -> str | None:
    """Returns a package that the format's runner needs and that is missing here; None if none."""
    for package in FORMATS[format].runtime:
        if importlib.util.find_spec(package) is None:
            return package
    return None


def export_model(
    trained: TrainedModel,
    folder: Path,
    format: str,
    weights: str,
    examples: Mapping[str, Sequence[Any]],
) -> None:
    """Writes a classifier as a folder, completely or not at all.

    Args:
        trained: a restored classifier.
        folder: a new or empty folder.
        format: one of `FORMATS`.
        weights: how matrices are stored: `float32`; for onnx also `float16` or `int8`.
        examples: texts, and the probabilities that the runner's `--check` should reproduce.

    Raises:
        UserError: see `check_export`; or the format does not support the model, or the folder
            cannot be written.
    """
    check_export(format, weights, folder)
    assert isinstance(trained.model, TextClassifier)
    _check_model(trained.model, format)
    metadata, chosen = trained.metadata, FORMATS[format]
    params = jax.tree.map(np.asarray, jax.device_get(trained.params))
    about = describe_model(
        trained.model,
        metadata.encoder,
        metadata.config,
        metadata.label_names,
        metadata.history.temperature,
    )
    needs = " ".join(dict.fromkeys([*chosen.runtime, "numpy", "sentencepiece"]))
    files = {
        "model.json": _json(about),
        "README.md": model_card(trained, format, weights, needs).encode(),
        "requirements.txt": (needs.replace(" ", "\n") + "\n").encode(),
        "examples.json": _json(examples),
        "tokenizer.model": metadata.encoder.tokenizer.model,
        "ngram_ratios.npz": _npz(_ratios(metadata.encoder)),
        "run.py": (_RUNNERS / "run.py").read_bytes(),
        "encode.py": (_RUNNERS / "encode.py").read_bytes(),
        "classifier.py": (_RUNNERS / f"{format}_classifier.py").read_bytes(),
    }
    files |= chosen.write(trained.model, params, weights)
    _write_folder(folder, files | {"SHA256SUMS": _checksums(files)})


def _ratios(encoder: TextEncoder) -> dict[str, np.ndarray]:
    """Returns ascending hashes u32[U + 1] and their ratios f16[U + 1, R].

    The last row has the highest possible hash and zero ratios, so no lookup goes past the end of
    the table.
    """
    if encoder.ngrams is None:
        return {"keys": np.zeros(0, np.uint32), "ratios": np.zeros((0, 0), np.float16)}
    keys = np.append(encoder.ngrams.keys, np.uint32(0xFFFFFFFF))
    return {"keys": keys, "ratios": encoder.ngrams.tables[0]}


def _checksums(files: Mapping[str, bytes]) -> bytes:
    """SHA-256 sums as `sha256sum -c` reads them; not of programs and texts, which may be edited."""
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(files.items())
        if Path(name).suffix not in (".py", ".md", ".txt")
    ]
    return "".join(lines).encode()


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # its stubs allow no names
    return content.getvalue()


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files under a temporary folder name, then renames it."""
    make_folder(folder.parent)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir()
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        temporary.replace(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
