"""Training recipes outside the core, one file each.

A recipe is a file here with a function `make_recipe(section)`, and a section of the same name in
`config/recipes.py`. It plugs into a run through the hooks of `training/recipe.py`; the core imports
no recipe, and `train` receives those that the configuration sets. `automatic.py` is different: it
chooses the fields of a configuration from the training part, without jax.
"""

import dataclasses
import importlib
from typing import TYPE_CHECKING

from lstm_flax.config import RecipesConfig

if TYPE_CHECKING:
    from lstm_flax.training.recipe import Recipe

__all__ = ["make_recipes"]


def make_recipes(config: RecipesConfig) -> "list[Recipe]":
    """Makes the recipes whose sections a configuration has, in the order of the sections.

    >>> make_recipes(RecipesConfig())
    []
    """
    found = []
    for field in dataclasses.fields(config):
        section = getattr(config, field.name)
        if section is not None:
            module = importlib.import_module(f"{__name__}.{field.name}")
            found.append(module.make_recipe(section))
    return found
