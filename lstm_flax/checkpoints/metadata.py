"""Metadata of a checkpoint: configuration, labels, encoder, position, history."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax

from lstm_flax.checkpoints.arrays import library_versions
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.text.encoder import TextEncoder

FORMAT_VERSION = 2


@dataclasses.dataclass(frozen=True)
class History:
    """Facts that a run keeps beside its state.

    Attributes:
        best_score: best development score so far; None before the first. A classifier's is its
            accuracy, a language model's minus its loss.
        best_step: the step that reached it.
        epochs_since: epochs without a better one.
        logged: loss, weight, correct and examples of the epoch at the last line of the log.
        seconds: of training, over all starts.
        temperature: what divides the logits, fitted to the development part at the last epoch's
            end; 1 where there is none.
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
        encoder: turns text into what the model reads; kept as files of its own.
        data_fingerprint: of the training part as encoded.
        position: `epoch` and `batch` of the next batch.
        history: what the run remembers.
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
        """Plain values, the encoder aside."""
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
        """The inverse of `to_json`.

        Args:
            values: as saved.
            path: of the checkpoint, for messages.
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
        return cls(
            config=Config.from_config_dict(values["config"]),
            label_names=tuple(values["label_names"]),
            encoder=encoder,
            data_fingerprint=values["data_fingerprint"],
            position=values["position"],
            history=History(**values["history"]),
            machine=values["machine"],
        )


def describe_machine() -> dict[str, Any]:
    """Kind and number of devices, and CPU cores: bitwise equality depends on them."""
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }
