"""The configuration: one frozen, validated dataclass per section, each in a file of its name.

`configs/*.py` start from `default_config()`, a locked `ml_collections.ConfigDict` with the defaults
of these classes, and change what differs; `Config.from_config_dict` converts the result to the
dataclasses that the rest of the package reads. An unknown field or a bad value raises a `UserError`
that names it.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_flax.config import fields
from lstm_flax.config.data import DataConfig
from lstm_flax.config.fields import Section, field
from lstm_flax.config.language_model import LanguageModelConfig
from lstm_flax.config.model import ModelConfig
from lstm_flax.config.optimizer import OptimizerConfig
from lstm_flax.config.recipes import ONLY_FOR_CLASSIFIERS, RecipesConfig, recipe_section
from lstm_flax.config.tokenizer import TokenizerConfig
from lstm_flax.config.training import TrainingConfig
from lstm_flax.config.upgrade import upgrade
from lstm_flax.errors import UserError, one_line
from lstm_flax.untrusted import read_json

if TYPE_CHECKING:
    from ml_collections import ConfigDict

__all__ = [
    "Config",
    "DataConfig",
    "LanguageModelConfig",
    "ModelConfig",
    "OptimizerConfig",
    "RecipesConfig",
    "TokenizerConfig",
    "TrainingConfig",
    "as_config_dict",
    "data_places",
    "default_config",
    "read_config",
    "recipe_section",
    "refuse_changes",
]


# Fields that a language model does not read: the only value they may have, and the rule.
_OF_CLASSIFIERS: dict[str, tuple[Any, str]] = {
    "model.cell": ("lstm", "the language model supports the lstm only"),
    "data.extra_train_path": (None, "a language model needs no labels; leave it empty"),
    "model.pretrained_vectors": (None, "a language model learns its embedding; leave it out"),
    "model.freeze_embedding": (False, "a language model learns its embedding; leave it out"),
    "model.ngram_order": (0, "a language model uses no n-gram weights; leave it out"),
    "model.direction_merge": (
        "concat",
        "the directions of a language model are never merged; leave it out",
    ),
    "model.truncate_gradient_every": (
        0,
        "a language model is cut every config.language_model.bptt_length tokens; leave it out",
    ),
    "model.hierarchy": ("none", "a language model reads running text; leave it out"),
} | {
    f"recipes.{name}": (None, "a language model has no such losses; leave the section out")
    for name in ONLY_FOR_CLASSIFIERS
}


@dataclasses.dataclass(frozen=True)
class Config(Section):
    """Everything a run depends on.

    Attributes:
        task: what to train: `classifier`, or `language_model` (on the training and unlabelled
            texts, without their labels).
        data: source, splits, truncation and batches of the text.
        tokenizer: the pieces that text is split into.
        model: the classifier, and what the language model shares with it.
        language_model: the rest of the language model.
        optimizer: the optimizer and its schedule.
        training: the training loop.
        recipes: additions to the training step, optimizer or data; each absent unless set.
        init_from: a run or checkpoint whose tokenizer and weights this run starts from; weights of
            other names or shapes, such as the head for new labels, start afresh.
    """

    task: str = field("classifier", choices=("classifier", "language_model"))
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = dataclasses.field(default_factory=TokenizerConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    language_model: LanguageModelConfig = dataclasses.field(default_factory=LanguageModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    recipes: RecipesConfig = dataclasses.field(default_factory=RecipesConfig)
    init_from: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task == "language_model":
            for name, (only, rule) in _OF_CLASSIFIERS.items():
                self.require(fields.value_at(self, name) == only, name, rule)
        self.require(
            self.init_from is None or self.model.pretrained_vectors is None,
            "model.pretrained_vectors",
            "config.init_from gives the run its embedding; leave one of them out",
        )

    @classmethod
    def from_config_dict(cls, values: Mapping[str, Any]) -> "Config":
        """Builds and validates the configuration.

        Args:
            values: a `ConfigDict`, or the nested dict that `to_dict` returns, of this version or an
                earlier one (`config/upgrade.py`).

        Raises:
            UserError: a field is unknown, or has the wrong type or a bad value; it is named.
        """
        values = values if isinstance(values, Mapping) else values.to_dict()
        return fields.build(cls, upgrade(values))

    def to_dict(self) -> dict[str, Any]:
        """Converts to nested dicts of plain values, for JSON; absent sections are None."""
        return dataclasses.asdict(self)


def default_config() -> "ConfigDict":
    """Returns the defaults as a locked `ConfigDict`, for `configs/*.py` to change.

    >>> config = default_config()
    >>> config.model.hidden_size = 256
    >>> Config.from_config_dict(config).model.hidden_size
    256
    """
    return as_config_dict(Config())


def as_config_dict(config: Config) -> "ConfigDict":
    """Inverts `Config.from_config_dict`: returns a locked `ConfigDict`.

    >>> as_config_dict(Config(init_from="runs/a")).init_from
    'runs/a'
    """
    return fields.to_config_dict(config)


def read_config(path: Path) -> Config:
    """Reads the configuration that a run keeps in its folder as `config.json`.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    try:
        values = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read as a run's configuration ({one_line(error)}); restore the "
            "file, or name another"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a run's configuration; name the config.json of a run")
    return Config.from_config_dict(values)


def data_places() -> list[str]:
    """Lists the fields of `DataConfig` that only locate the data: no score depends on them."""
    return [f.name for f in dataclasses.fields(DataConfig) if f.metadata.get("changeable")]


def refuse_changes(
    before: Config,
    after: Config,
    where: str,
    advice: str = "continue it as it was, or choose another --workdir",
) -> None:
    """Checks that a run may continue with another configuration.

    Args:
        before: the configuration that the run was trained with.
        after: the requested configuration.
        where: the run's folder.
        advice: what to do if they differ.

    Raises:
        UserError: names the first field that differs but may not, or the section that only one of
            them has.
    """
    for path in fields.optional_sections(Config):
        was, now = (fields.value_at(config, path) is not None for config in (before, after))
        if was != now:
            raise UserError(
                f"{where}: holds a run {'with' if was else 'without'} config.{path}; {advice}"
            )
    for path, defined in fields.leaves(Config):
        was, now = fields.value_at(before, path), fields.value_at(after, path)
        # With a constant rate, no step depends on how many follow.
        free = (
            path in ("training.epochs", "training.max_steps")
            and after.optimizer.schedule == "constant"
        )
        left_to_the_run = path == "model.dtype" and now == "auto"
        changeable = defined.metadata.get("changeable") or free or left_to_the_run
        if was != now and not changeable:
            raise UserError(
                f"{where}: holds a run with config.{path} = {was!r}, not {now!r}; {advice}"
            )
