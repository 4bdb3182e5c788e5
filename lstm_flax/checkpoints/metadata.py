"""Metadata of a checkpoint: configuration, labels, encoder, position, history."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax

from lstm_flax.checkpoints.arrays import library_versions
from lstm_flax.config import Config
from lstm_flax.data.examples import are_label_names
from lstm_flax.errors import UserError, one_line
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.untrusted import LARGEST_JSON, parse_json, read_plain

FORMAT_VERSION = 2
_LARGEST_SUM, _LARGEST_COUNT = 3.4e38, 2**31  # of float32 and int32, as the device adds them
_TEMPERATURES = (1e-3, 1e3)  # far beyond any calibrated temperature


@dataclasses.dataclass(frozen=True)
class History:
    """Facts that a run keeps in addition to its state.

    Attributes:
        best_score: best development score so far; None before the first. A classifier's is its
            accuracy, a language model's minus its loss.
        best_step: the step that reached it.
        epochs_since: epochs since then.
        logged: loss, weight, correct and examples of the epoch at the last log line.
        seconds: training time, over all starts.
        temperature: divides the logits, fitted to the development part at the end of the last
            epoch; 1 if there is none.
    """

    best_score: float | None = None
    best_step: int | None = None
    epochs_since: int = 0
    logged: tuple[float, float, int, int] = (0.0, 0.0, 0, 0)
    seconds: float = 0.0
    temperature: float = 1.0


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Everything in a checkpoint except its arrays.

    Attributes:
        config: the configuration it was trained with.
        label_names: C names, in the order of the logits.
        encoder: turns text into the model's inputs; kept in files of its own.
        data_fingerprint: `Dataset.fingerprint` of the run's data.
        position: `epoch` and `batch` of the next batch.
        history: the run's history.
        machine: where it was saved, see `describe_machine`.
    """

    config: Config
    label_names: tuple[str, ...]
    encoder: TextEncoder
    data_fingerprint: str
    position: dict[str, int]
    history: History
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Converts everything except the encoder to plain values."""
        return {
            "format_version": FORMAT_VERSION,
            "config": self.config.to_dict(),
            "label_names": list(self.label_names),
            "tokenizer_fingerprint": self.encoder.tokenizer.fingerprint,
            "data_fingerprint": self.data_fingerprint,
            "position": self.position,
            "history": dataclasses.asdict(self.history),
            "machine": self.machine,
            "versions": library_versions(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], path: Path, encoder: TextEncoder) -> "Metadata":
        """Inverts `to_json`.

        Args:
            values: as saved.
            path: the checkpoint's path, for messages.
            encoder: read from its files.

        Raises:
            UserError: the encoder is not the one saved.
        """
        found, expected = encoder.tokenizer.fingerprint, values["tokenizer_fingerprint"]
        if found != expected:
            raise UserError(
                f"{path}: the tokenizer does not match its weights (fingerprint {found[:12]}, "
                f"expected {expected[:12]}); restore the checkpoint from a good copy"
            )
        config = Config.from_config_dict(values["config"])
        labels = len(values["label_names"])
        model, ngrams = config.model, encoder.ngrams
        weights = 0 if model.ngram_order == 0 else (1 if labels == 2 else labels)
        if (
            encoder.ngram_order != model.ngram_order
            or encoder.num_token_features != model.ngram_order * weights
            or (ngrams is not None and ngrams.kind != model.ngram_weights)
        ):
            raise UserError(
                f"{path}: the n-gram weights are not those of its configuration and labels; "
                "restore the checkpoint from a good copy"
            )
        return cls(
            config=config,
            label_names=tuple(values["label_names"]),
            encoder=encoder,
            data_fingerprint=values["data_fingerprint"],
            position=values["position"],
            history=History(**values["history"]),
            machine=values["machine"],
        )


def describe_machine() -> dict[str, Any]:
    """Returns kind and number of devices, and CPU cores, which bitwise equality depends on."""
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def read_values(checkpoint: Path) -> dict[str, Any]:
    """Reads and validates a checkpoint's metadata as JSON values; anyone may have written them.

    Raises:
        UserError: their format is unknown to this release, or a value is missing, of another type,
            or impossible.
    """
    try:
        return parse_values(
            read_plain(checkpoint / "metadata" / "metadata", LARGEST_JSON), checkpoint
        )
    except OSError as error:
        raise _unusable(checkpoint, error) from error


def parse_values(content: bytes, checkpoint: Path) -> dict[str, Any]:
    """Parses the metadata of a checkpoint from a file's content; see `read_values`."""
    try:
        values: Any = parse_json(content)
        version = values.get("format_version") if isinstance(values, dict) else None
        _require(type(version) is int, "format_version")
        if version not in range(1, FORMAT_VERSION + 1):
            raise UserError(
                f"{checkpoint}: checkpoint format {version}, this release reads 1 to "
                f"{FORMAT_VERSION}; use the release that wrote it, or train again"
            )
        _check(values)
    except UserError:
        raise
    except ValueError as error:
        raise _unusable(checkpoint, error) from error
    return dict(values)


def _unusable(checkpoint: Path, error: Exception) -> UserError:
    return UserError(
        f"{checkpoint}: its metadata cannot be used ({one_line(error)}); copy the checkpoint "
        "again, or get it from whom you trust"
    )


def _check(values: dict[str, Any]) -> None:
    """Checks all values used later: present, of their type and possible; raises `ValueError`."""
    _require(are_label_names(values.get("label_names")), "label_names")
    for name in ("config", "position", "history", "machine"):
        _require(isinstance(values.get(name), dict), name)
    for name in ("tokenizer_fingerprint", "data_fingerprint"):
        _require(isinstance(values.get(name), str), name)
    for name in ("versions", "checksums"):  # the second only in format 1
        _require(isinstance(values.get(name, {}), dict), name)
    for name in ("epoch", "batch"):
        _require(_is_count(values["position"].get(name)), f"position.{name}")
    _check_history(values["history"])


def _check_history(history: dict[str, Any]) -> None:
    known = {field.name for field in dataclasses.fields(History)}
    _require(set(history) <= known, "history")
    score, step = history.get("best_score"), history.get("best_step")
    _require(score is None or _is_number(score), "history.best_score")
    _require(step is None or _is_count(step), "history.best_step")
    _require(_is_count(history.get("epochs_since", 0)), "history.epochs_since")
    _require(_is_number(history.get("seconds", 0)), "history.seconds")
    logged = history.get("logged", [0, 0, 0, 0])
    _require(isinstance(logged, list) and len(logged) == 4, "history.logged")
    _require(all(map(_is_number, logged)), "history.logged")
    _require(all(abs(total) < _LARGEST_SUM for total in logged[:2]), "history.logged")
    _require(all(abs(count) < _LARGEST_COUNT for count in logged[2:]), "history.logged")
    temperature, (lowest, highest) = history.get("temperature", 1), _TEMPERATURES
    _require(_is_number(temperature) and lowest <= temperature <= highest, "history.temperature")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)  # finite, because `parse_json` rejects anything else


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _require(condition: bool, name: str) -> None:
    if not condition:
        raise ValueError(f"{name} is missing, of another type, or impossible")
