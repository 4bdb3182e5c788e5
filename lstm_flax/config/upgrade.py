"""Converts configurations written by earlier versions to the current fields."""

from collections.abc import Mapping
from typing import Any

from lstm_flax.errors import UserError

# Fields that moved to a recipe: (old section, old name) -> (recipe, name, value without effect).
_MOVED: dict[tuple[str, str], tuple[str, str, float]] = {
    ("training", "adversarial_weight"): ("adversarial", "weight", 0),
    ("training", "virtual_adversarial_weight"): ("adversarial", "virtual_weight", 0),
    ("training", "entropy_weight"): ("adversarial", "entropy_weight", 0),
    ("data", "unlabelled_batch_size"): ("unlabelled", "batch_size", 0),
    ("optimizer", "layer_decay"): ("fine_tuning", "layer_decay", 1),
    ("optimizer", "unfreeze_epochs"): ("fine_tuning", "unfreeze_epochs", 0),
}


def upgrade(values: Mapping[str, Any]) -> dict[str, Any]:
    """Moves the fields of an earlier version's `config.json` or checkpoint to their new places.

    Recipes without effect stay absent. Anything not known to be old is left unchanged.

    >>> upgrade({"language_model": {"steps": 7}, "optimizer": {"layer_decay": 1.0}})
    {'language_model': {'bptt_length': 7}, 'optimizer': {}}
    >>> upgrade({"optimizer": {"layer_decay": 0.5, "unfreeze_epochs": 0}})
    {'optimizer': {}, 'recipes': {'fine_tuning': {'layer_decay': 0.5}}}

    Raises:
        UserError: the run had teachers, which are now a file of pseudo-labels.
    """
    new = {name: dict(v) if isinstance(v, Mapping) else v for name, v in values.items()}
    sections = {name: value for name, value in new.items() if isinstance(value, dict)}
    if "steps" in sections.get("language_model", {}):
        new["language_model"]["bptt_length"] = new["language_model"].pop("steps")
    recipes: dict[str, dict[str, Any]] = {}
    for (section, old), (recipe, name, neutral) in _MOVED.items():
        value = sections.get(section, {}).pop(old, neutral)
        if value != neutral:
            recipes.setdefault(recipe, {})[name] = value
    epsilon = sections.get("training", {}).pop("adversarial_epsilon", None)
    if "adversarial" in recipes and epsilon is not None:
        recipes["adversarial"]["epsilon"] = epsilon
    if recipes:
        new["recipes"] = {**recipes, **sections.get("recipes", {})}
    teachers = sections.get("training", {}).pop("teachers", None)
    if teachers is not None:
        raise UserError(
            f"config.training.teachers = {teachers!r}: pseudo-labels are a file now; write it with "
            "`lstm-flax predict --split=unsupervised`, then set config.data.extra_train_path"
        )
    return new
