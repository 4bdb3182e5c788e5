"""The configuration: frozen, validated, one class per area, each in a file of the area's name.

`configs/*.py` start from `default_config()`, a locked `ml_collections.ConfigDict` with the defaults
of these classes, change what differs, and `Config.from_config_dict` turns the result into the
dataclasses that the rest of the package reads. An unknown field or a bad value raises `UserError`
with its name.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, config_dict

from lstm_flax.config import fields
from lstm_flax.config.data import DataConfig
from lstm_flax.config.fields import require
from lstm_flax.config.language_model import LanguageModelConfig
from lstm_flax.config.model import ModelConfig
from lstm_flax.config.optimizer import OptimizerConfig
from lstm_flax.config.tokenizer import TokenizerConfig
from lstm_flax.config.training import TrainingConfig
from lstm_flax.errors import UserError

__all__ = [
    "Config",
    "DataConfig",
    "LanguageModelConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TokenizerConfig",
    "TrainingConfig",
    "as_config_dict",
    "data_places",
    "default_config",
    "read_config",
    "refuse_changes",
]


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything a run depends on.

    Attributes:
        task: what is trained: `classifier`, or `language_model` (on the training and unlabelled
            texts, without their labels).
        data: where the text comes from, how it is split, cut and batched.
        tokenizer: how text becomes pieces.
        model: the classifier, or what the language model shares with it.
        language_model: the rest of the language model.
        optimizer: how gradients become updates.
        training: the loop.
        init_from: a run or checkpoint whose tokenizer and weights this run starts from; weights of
            other names or shapes, such as the head for new labels, start afresh.
    """

    task: str = "classifier"
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = dataclasses.field(default_factory=TokenizerConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    language_model: LanguageModelConfig = dataclasses.field(default_factory=LanguageModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    init_from: str | None = None

    def __post_init__(self) -> None:
        tasks = ("classifier", "language_model")
        require(self.task in tasks, "task", self.task, f"choose {' or '.join(tasks)}")
        require(
            self.task == "classifier" or self.model.cell == "lstm",
            "model.cell",
            self.model.cell,
            "the language model is written for the lstm",
        )
        require(
            self.task == "classifier" or self.training.teachers is None,
            "training.teachers",
            self.training.teachers,
            "a language model needs no labels; leave it empty",
        )
        needs = self.training.virtual_adversarial_weight or self.training.entropy_weight
        require(
            self.data.unlabelled_batch_size == 0 or needs > 0,
            "data.unlabelled_batch_size",
            self.data.unlabelled_batch_size,
            "no loss reads unlabelled texts; set config.training.virtual_adversarial_weight or "
            "entropy_weight, or this to 0",
        )

    @classmethod
    def from_config_dict(cls, values: Mapping[str, Any]) -> "Config":
        """Builds and validates the configuration.

        Args:
            values: a `ConfigDict`, or the nested dict that `to_dict` returns.

        Raises:
            UserError: naming the field, for an unknown field, a wrong type or a bad value.
        """
        values = values.to_dict() if isinstance(values, ConfigDict) else dict(values)
        if isinstance(area := values.get("language_model"), Mapping) and "steps" in area:
            # What runs saved before it was renamed, classifiers included: they hold every area.
            renamed = {"bptt_length" if name == "steps" else name: area[name] for name in area}
            values["language_model"] = renamed
        return fields.build(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as nested dicts of plain values, fit for JSON."""
        return dataclasses.asdict(self)


def default_config() -> ConfigDict:
    """The defaults as a locked `ConfigDict`, for `configs/*.py` to change.

    >>> config = default_config()
    >>> config.model.hidden_size = 256
    >>> Config.from_config_dict(config).model.hidden_size
    256
    """
    return as_config_dict(Config())


def as_config_dict(config: Config) -> ConfigDict:
    """The inverse of `Config.from_config_dict`: a locked `ConfigDict` that flags can override."""

    def overridable(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: overridable(inner) for name, inner in value.items()}
        return config_dict.placeholder(str) if value is None else value

    return ConfigDict(overridable(config.to_dict())).lock()


def read_config(path: Path) -> Config:
    """The configuration that a run keeps in its folder as `config.json`.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as a run's configuration ({error}); restore the file, or "
            "name another"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a run's configuration; name the config.json of a run")
    return Config.from_config_dict(values)


def data_places() -> list[str]:
    """The fields of `DataConfig` that say where data lies: no score depends on them."""
    return [
        field.name for field in dataclasses.fields(DataConfig) if field.metadata.get("changeable")
    ]


def refuse_changes(
    before: Config,
    after: Config,
    where: str,
    advice: str = "continue it as it was, or choose another --workdir",
) -> None:
    """Makes sure that a run may go on with another configuration.

    Args:
        before: what the run was trained with.
        after: what is asked for now.
        where: its folder.
        advice: what to do where they differ.

    Raises:
        UserError: naming the first field that differs and may not.
    """
    for path, field in fields.leaves(Config):
        was, now = fields.value_at(before, path), fields.value_at(after, path)
        # Under a constant rate no step depends on how many are to come.
        free = (
            path in ("training.epochs", "training.max_steps")
            and after.optimizer.schedule == "constant"
        )
        if was != now and not field.metadata.get("changeable") and not free:
            raise UserError(
                f"{where}: holds a run with config.{path} = {was!r}, not {now!r}; {advice}"
            )
