"""Sections of recipes: absent unless a file, a flag or a saved run asks for them."""

import dataclasses
import json
from pathlib import Path

import pytest

from lstm_flax.cli import main
from lstm_flax.config import (
    Config,
    as_config_dict,
    default_config,
    recipe_section,
    refuse_changes,
)
from lstm_flax.config.fields import leaves, optional_sections
from lstm_flax.config.files import load_config
from lstm_flax.config.recipes import (
    AdversarialConfig,
    FineTuningConfig,
    RecipesConfig,
    UnlabelledConfig,
)
from lstm_flax.errors import UserError

VIRTUAL = Config(
    recipes=RecipesConfig(
        adversarial=AdversarialConfig(virtual_weight=1.0),
        unlabelled=UnlabelledConfig(batch_size=8),
    )
)


def with_flags(*flags: str, base: Config | None = None) -> Config:
    return Config.from_config_dict(load_config(None, flags, base=as_config_dict(base or Config())))


def test_every_recipe_is_absent_by_default() -> None:
    assert list(optional_sections(Config)) == [
        f"recipes.{field.name}" for field in dataclasses.fields(RecipesConfig)
    ]
    values = json.loads(json.dumps(Config().to_dict()))
    assert set(values["recipes"].values()) == {None}
    assert Config.from_config_dict(values) == Config.from_config_dict(default_config()) == Config()


def test_present_sections_survive_the_round_trip() -> None:
    values = json.loads(json.dumps(VIRTUAL.to_dict()))
    assert values["recipes"]["unlabelled"] == {"batch_size": 8}
    assert values["recipes"]["fine_tuning"] is None
    assert Config.from_config_dict(values) == VIRTUAL
    assert Config.from_config_dict(as_config_dict(VIRTUAL)) == VIRTUAL


def test_a_configuration_file_puts_a_section_in_and_takes_it_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from lstm_flax.config import default_config, recipe_section\n"
        "def get_config():\n"
        "    config = default_config()\n"
        "    config.recipes.fine_tuning = recipe_section('fine_tuning')\n"
        "    config.recipes.fine_tuning.layer_decay = 0.5\n"
        "    config.recipes.adversarial = recipe_section('adversarial')\n"
        "    config.recipes.adversarial = None\n"
        "    return config\n"
    )
    config = load_config(str(path), ["--config.recipes.fine_tuning.unfreeze_epochs=2"])
    recipes = Config.from_config_dict(config).recipes
    assert recipes == RecipesConfig(fine_tuning=FineTuningConfig(0.5, unfreeze_epochs=2))
    with pytest.raises(AttributeError, match="weihgt"):
        recipe_section("adversarial").weihgt = 1.0
    with pytest.raises(UserError, match=r"recipes\.mixup: .*adversarial, unlabelled, fine_tuning"):
        recipe_section("mixup")


def test_a_flag_creates_a_section_with_its_defaults() -> None:
    recipes = with_flags("--config.recipes.adversarial.weight=1").recipes
    assert recipes == RecipesConfig(adversarial=AdversarialConfig(weight=1.0))
    both = ("--config.recipes.adversarial.epsilon=2", "--config.recipes.adversarial.weight=0.5")
    assert with_flags(*both).recipes.adversarial == AdversarialConfig(weight=0.5, epsilon=2.0)


def test_a_flag_changes_a_present_section_and_an_empty_one_takes_it_out() -> None:
    changed = with_flags("--config.recipes.unlabelled.batch_size=16", base=VIRTUAL).recipes
    assert changed == dataclasses.replace(VIRTUAL.recipes, unlabelled=UnlabelledConfig(16))
    without = with_flags("--config.recipes.unlabelled=", base=VIRTUAL).recipes
    assert without == dataclasses.replace(VIRTUAL.recipes, unlabelled=None)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("recipes.adversarial.weight=-1", r"recipes\.adversarial\.weight = -1\.0: .*at least 0"),
        ("recipes.adversarial.weight=much", r"recipes\.adversarial\.weight = 'much': .*a number"),
        ("recipes.unlabelled.batch_size=8", r"recipes\.unlabelled\.batch_size = 8: .*virtual_weig"),
        ("recipes.adversarial.wait=1", r"recipes\.adversarial\.wait: .*adversarial\.weight\?"),
        ("recipes.adversarial=on", r"recipes\.adversarial = 'on': "),
    ],
)
def test_a_flag_that_is_wrong_names_its_field(flag: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^config\.{message}"):
        with_flags(f"--config.{flag}")


@pytest.mark.parametrize(
    "values",
    [{"adversarial": 1}, {"adversarial": []}, {"adversarial": {"wait": 1}}, {"mixup": None}],
)
def test_a_saved_section_that_is_wrong_is_named(values: dict) -> None:
    with pytest.raises(UserError, match=r"config\.recipes\.(adversarial|mixup)"):
        Config.from_config_dict({"recipes": values})
    with pytest.raises(UserError, match=r"config\.recipes = None: "):
        Config.from_config_dict({"recipes": None})


def test_a_language_model_takes_no_recipe_that_it_would_not_read() -> None:
    with pytest.raises(UserError, match=r"^config\.recipes\.adversarial = "):
        dataclasses.replace(VIRTUAL, task="language_model")
    with pytest.raises(UserError, match=r"^config\.data\.extra_train_path = 'a\.csv': "):
        with_flags("--config.task=language_model", "--config.data.extra_train_path=a.csv")
    with_flags("--config.task=language_model", "--config.recipes.fine_tuning.layer_decay=0.5")


def test_a_run_does_not_continue_with_another_recipe() -> None:
    refuse_changes(VIRTUAL, VIRTUAL, "runs/x")
    more = with_flags("--config.recipes.unlabelled.batch_size=16", base=VIRTUAL)
    with pytest.raises(UserError, match=r"runs/x: .*recipes\.unlabelled\.batch_size = 8, not 16"):
        refuse_changes(VIRTUAL, more, "runs/x")
    # A section with its defaults has no effect, but is a change all the same.
    idle = Config(recipes=RecipesConfig(adversarial=AdversarialConfig()))
    with pytest.raises(UserError, match=r"runs/x: .*without config\.recipes\.adversarial; "):
        refuse_changes(Config(), idle, "runs/x")
    with pytest.raises(UserError, match=r"runs/x: .*with config\.recipes\.adversarial; "):
        refuse_changes(idle, Config(), "runs/x")


def test_fields_of_absent_sections_are_listed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "recipes", "--config.recipes.fine_tuning.layer_decay=0.5"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("--")]
    listed = {line.split("=")[0].removeprefix("--config."): line for line in lines}
    assert list(listed) == [path for path, _ in leaves(Config) if path.startswith("recipes.")]
    assert listed["recipes.adversarial.epsilon"].startswith(
        "--config.recipes.adversarial.epsilon=5"
    )
    for path, line in listed.items():
        assert ("absent" in line) == (not path.startswith("recipes.fine_tuning."))
