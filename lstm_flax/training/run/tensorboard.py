"""Writes a run's log as TensorBoard events, using tensorboardX."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstm_flax.errors import UserError


class TensorBoardLog:
    """Writes a run's log: pass it as `train(..., on_log=...)`.

    >>> board = TensorBoardLog(Path("runs/a/tensorboard"))  # doctest: +SKIP
    >>> results = train(config, Path("runs/a"), on_log=board)  # doctest: +SKIP
    >>> board.finish(config.to_dict(), results)  # doctest: +SKIP

    Args:
        folder: folder for the event files; created with the first one.

    Raises:
        UserError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import tensorboardX
        except ImportError as error:
            raise UserError(
                "TensorBoard's events need tensorboardX: pip install 'lstm-flax[tensorboard]'"
            ) from error
        self._make_writer = tensorboardX.SummaryWriter
        self._folder = folder
        self._writer: Any = None

    def __call__(self, step: int, metrics: dict[str, Any]) -> None:
        """Writes the numbers of one log line."""
        for name, value in metrics.items():
            self._open(step).add_scalar(name, value, step)
        self._open(step).flush()

    def finish(self, config: Mapping[str, Any], results: Mapping[str, Any]) -> None:
        """Writes the configuration and results, as text and as hyperparameters with scores."""
        step = int(results.get("checkpoint_step", 0))
        writer = self._open(step)
        for name, content in (("configuration", config), ("results", results)):
            writer.add_text(name, f"```json\n{json.dumps(content, indent=1)}\n```", step)
        numbers = {k: v for k, v in results.items() if type(v) in (int, float)}
        for name, value in numbers.items():
            writer.add_scalar(f"final/{name}", value, step)
        scores = {f"final/{name}": value for name, value in numbers.items()}
        writer.add_hparams(flat(config), scores, name="hyperparameters", global_step=step)
        writer.close()
        self._writer = None

    def _open(self, step: int) -> Any:
        """Opens the writer; purges events that a stopped run wrote from this step on."""
        if self._writer is None:
            self._writer = self._make_writer(str(self._folder), purge_step=step)
        return self._writer


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Flattens nested fields to dotted names; None values are left out.

    >>> flat({"model": {"hidden_size": 8}, "data": {"bucket_widths": (32, 64), "archive": None}})
    {'model.hidden_size': 8, 'data.bucket_widths': '(32, 64)'}
    """
    found: dict[str, bool | int | float | str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif value is not None:
            plain = isinstance(value, bool | int | float | str)
            found[prefix + name] = value if plain else str(value)
    return found
