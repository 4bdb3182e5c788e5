"""Configurations that earlier versions wrote: read, with their recipes in sections."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lstm_flax.checkpoints.pretrained import SHIPPED
from lstm_flax.config import (
    Config,
    read_config,
)
from lstm_flax.config.files import load_config
from lstm_flax.config.recipes import (
    AdversarialConfig,
    FineTuningConfig,
    RecipesConfig,
    UnlabelledConfig,
)
from lstm_flax.errors import UserError

# Written by commit 155531d, of `configs/imdb_gpu.py` as it was then.
EARLIER = Path(__file__).parent / "config_of_earlier_version.json"


def earlier(**changes: dict[str, Any]) -> dict[str, Any]:
    """The earlier configuration without a recipe, with other values of its fields."""
    values = json.loads(EARLIER.read_text(encoding="utf-8"))
    values["data"] |= {"unlabelled_batch_size": 0}
    values["training"] |= {"virtual_adversarial_weight": 0.0, "entropy_weight": 0.0}
    for area, fields in changes.items():
        values[area] |= fields
    return values


def test_a_run_of_an_earlier_version_is_read_as_the_same_run_of_this_one(tmp_path: Path) -> None:
    config = read_config(EARLIER)
    now = Config.from_config_dict(load_config("imdb_gpu", []))
    assert config == now
    assert config.recipes == RecipesConfig(
        adversarial=AdversarialConfig(virtual_weight=1.0, entropy_weight=1.0),
        unlabelled=UnlabelledConfig(batch_size=192),
    )
    assert Config.from_config_dict(config.to_dict()) == config
    assert Config.from_config_dict(load_config(str(EARLIER), [])) == config


@pytest.mark.parametrize(
    ("changes", "recipes"),
    [
        ({}, RecipesConfig()),
        ({"training": {"adversarial_epsilon": 3.0}}, RecipesConfig()),  # nothing used it
        (
            {"training": {"adversarial_weight": 0.5, "adversarial_epsilon": 3.0}},
            RecipesConfig(adversarial=AdversarialConfig(weight=0.5, epsilon=3.0)),
        ),
        (
            {"optimizer": {"layer_decay": 0.5}},
            RecipesConfig(fine_tuning=FineTuningConfig(layer_decay=0.5)),
        ),
        (
            {"optimizer": {"unfreeze_epochs": 2}},
            RecipesConfig(fine_tuning=FineTuningConfig(unfreeze_epochs=2)),
        ),
    ],
)
def test_only_recipes_that_had_an_effect_become_sections(
    changes: dict[str, Any], recipes: RecipesConfig
) -> None:
    config = Config.from_config_dict(earlier(**changes))
    assert config.recipes == recipes
    assert dataclasses.replace(config, recipes=RecipesConfig()) == Config.from_config_dict(
        earlier()
    )


def test_teachers_are_now_a_file() -> None:
    with pytest.raises(UserError, match=r"training\.teachers = 'a,b'.*config\.data\.extra_train"):
        Config.from_config_dict(earlier(training={"teachers": "a,b"}))


def test_the_length_of_a_language_model_s_step_has_its_new_name() -> None:
    values = earlier(language_model={"steps": 7})
    del values["language_model"]["bptt_length"]
    assert Config.from_config_dict(values).language_model.bptt_length == 7
    with pytest.raises(UserError, match=r"language_model\.steps: no such field"):
        load_config("imdb_pretrain", ["--config.language_model.steps=7"])


def test_a_value_out_of_bounds_is_refused_in_its_new_place() -> None:
    with pytest.raises(UserError, match=r"^config\.recipes\.fine_tuning\.layer_decay = 2\.0: "):
        Config.from_config_dict(earlier(optimizer={"layer_decay": 2.0}))


def test_what_is_given_is_left_as_it_was() -> None:
    values = earlier(optimizer={"layer_decay": 0.5})
    before = json.dumps(values)
    Config.from_config_dict(values)
    assert json.dumps(values) == before


def test_the_packaged_model_s_configuration_is_read() -> None:
    (path,) = SHIPPED.glob("*/metadata/metadata")
    values = json.loads(path.read_text(encoding="utf-8"))["config"]
    assert Config.from_config_dict(values).recipes == RecipesConfig()
