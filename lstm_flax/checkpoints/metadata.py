"""What a checkpoint says beside its arrays: configuration, tokenizer, position, history.

Plain values that go to JSON and back; what arrays the n-gram ratios are kept as follows from them.
"""

import base64
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.text.ngrams import NgramRatios
from lstm_flax.text.tokenizer import Tokenizer

FORMAT_VERSION = 1
_NGRAM_ARRAYS = ("keys", "tables", "groups")


@dataclasses.dataclass(frozen=True)
class History:
    """What a run remembers beside its state.

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
    """What a checkpoint says beside its arrays.

    Attributes:
        config: the configuration it was trained with.
        label_names: C names, in the order of the logits.
        tokenizer: the tokenizer its embedding belongs to.
        ngrams: the class ratios of n-grams that the model takes, where it takes any.
        data_fingerprint: of the training part as encoded.
        position: `epoch` and `batch` of the next batch.
        history: what the run remembers.
        machine: where it was saved, see `describe_machine`.
    """

    config: Config
    label_names: tuple[str, ...]
    tokenizer: Tokenizer
    ngrams: NgramRatios | None
    data_fingerprint: str
    position: dict[str, int]
    history: History
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values; the tokenizer in base 64, of the n-gram ratios what finds their arrays."""
        return {
            "format_version": FORMAT_VERSION,
            "config": self.config.to_dict(),
            "label_names": list(self.label_names),
            "tokenizer": base64.b64encode(self.tokenizer.to_bytes()).decode("ascii"),
            "tokenizer_fingerprint": self.tokenizer.fingerprint,
            "ngrams": None if self.ngrams is None else ngram_shape(self.ngrams),
            "data_fingerprint": self.data_fingerprint,
            "position": self.position,
            "history": dataclasses.asdict(self.history),
            "machine": self.machine,
        }

    @classmethod
    def from_json(
        cls, values: dict[str, Any], path: Path, ngrams: NgramRatios | None = None
    ) -> "Metadata":
        """The inverse of `to_json`; the n-gram ratios are read apart.

        Raises:
            UserError: for another format version, or a tokenizer that is not the one saved.
        """
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise UserError(
                f"{path}: checkpoint format {version}, this release reads {FORMAT_VERSION}; "
                "use the release that wrote it, or train again"
            )
        tokenizer = Tokenizer.from_bytes(base64.b64decode(values["tokenizer"]))
        if tokenizer.fingerprint != values["tokenizer_fingerprint"]:
            raise UserError(
                f"{path}: the tokenizer does not match its weights (fingerprint "
                f"{tokenizer.fingerprint[:12]}, expected {values['tokenizer_fingerprint'][:12]}); "
                "restore the checkpoint from a good copy"
            )
        return cls(
            config=Config.from_config_dict(values["config"]),
            label_names=tuple(values["label_names"]),
            tokenizer=tokenizer,
            ngrams=ngrams,
            data_fingerprint=values["data_fingerprint"],
            position=values["position"],
            history=History(**values["history"]),
            machine=values["machine"],
        )


def describe_machine() -> dict[str, Any]:
    """What bitwise equality depends on: kind and number of devices, and CPU cores."""
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def ngram_arrays(ngrams: NgramRatios) -> dict[str, np.ndarray]:
    """What a checkpoint keeps as arrays; the rest is `ngram_shape`."""
    return {name: getattr(ngrams, name) for name in _NGRAM_ARRAYS}


def ngram_shape(ngrams: NgramRatios) -> dict[str, int]:
    """Plain values that say how large the arrays are, and the order of the n-grams."""
    return {
        "order": ngrams.order,
        "known": len(ngrams.keys),
        "ratios": ngrams.tables.shape[2],
        "groups": len(ngrams.groups),
    }


def ngram_template(shape: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Empty arrays of the shapes and dtypes of `ngram_arrays`, to read those into."""
    return {
        "keys": np.empty(shape["known"], np.uint32),
        "tables": np.empty((1, shape["known"] + 1, shape["ratios"]), np.float16),
        "groups": np.empty(shape["groups"], np.uint64),
    }


def ngrams_from(shape: Mapping[str, int], arrays: Mapping[str, Any]) -> NgramRatios:
    """The inverse of `ngram_shape` and `ngram_arrays`."""
    return NgramRatios(shape["order"], *(np.asarray(arrays[name]) for name in _NGRAM_ARRAYS))
