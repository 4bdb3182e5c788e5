"""Configuration files and flags: arguments of `get_config`, values in one word or two."""

from pathlib import Path

import pytest

from lstm_flax.cli import main
from lstm_flax.cli.arguments import join_values
from lstm_flax.config import Config, as_config_dict, default_config
from lstm_flax.config.files import load_config

SIZED = """
from lstm_flax.config import default_config

def get_config(size="24"):
    config = default_config()
    config.model.hidden_size = int(size.partition(":")[0])
    return config
"""


@pytest.fixture
def sized(tmp_path: Path) -> Path:
    path = tmp_path / "sized.py"
    path.write_text(SIZED)
    return path


@pytest.mark.parametrize(("argument", "size"), [("", 24), (":32", 32), (":40:x.py:y", 40)])
def test_what_follows_a_colon_is_get_config_s_argument(
    sized: Path, argument: str, size: int
) -> None:
    config = load_config(f"{sized}{argument}", ["--config.training.seed=3"])
    assert (config.model.hidden_size, config.training.seed) == (size, 3)


def test_a_built_in_configuration_takes_an_argument(
    sized: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_flax.config.files.built_in_configs", lambda: {"small": sized})
    assert load_config("small:16", []).model.hidden_size == 16


def test_a_file_with_a_colon_in_its_path_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a:b.py"
    path.write_text(SIZED)
    assert load_config(str(path), []).model.hidden_size == 24
    assert load_config(f"{path}:8", []).model.hidden_size == 8


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("training.seed=-7", -7),
        ("training.label_smoothing=1e-3", 1e-3),
        ("optimizer.clip_norm=2", 2.0),
        ("data.lowercase=true", True),
        ("data.lowercase=False", False),
        ("data.lowercase=1", True),
        ("data.bucket_widths=64,512", (64, 512)),
        ("data.bucket_widths=(512,)", (512,)),
        ("training.class_weights=[1, 0.5]", (1.0, 0.5)),
        ("training.class_weights=", ()),
        ("data.archive=a=b", "a=b"),
        ("data.archive=None", "None"),
        ("data.archive=", None),
    ],
)
def test_a_flag_s_text_becomes_a_value_of_the_field_s_type(flag: str, value: object) -> None:
    config = Config.from_config_dict(load_config(None, [f"--config.{flag}"]))
    area, name = flag.partition("=")[0].split(".")
    found = getattr(getattr(config, area), name)
    assert found == value
    assert type(found) is type(value)


def test_a_configuration_that_is_read_stays_locked(sized: Path) -> None:
    for config in (load_config(str(sized), []), load_config("imdb", []), default_config()):
        for section in (config, config.model, config.recipes):
            assert section.is_locked


def test_what_is_overridden_leaves_the_defaults_alone() -> None:
    load_config(None, ["--config.recipes.adversarial.weight=1", "--config.training.seed=3"])
    assert Config.from_config_dict(default_config()) == Config()
    assert Config.from_config_dict(as_config_dict(Config())) == Config()


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        (["--config.a.b", "3", "4"], ["--config.a.b=3", "4"]),
        (["--config.a.b", "-3.5"], ["--config.a.b=-3.5"]),
        (["--config.a.b", "-.5"], ["--config.a.b=-.5"]),
        (["--config.a.b", "--config.c.d", "x"], ["--config.a.b", "--config.c.d=x"]),
        (["--config.a.b=3", "x"], ["--config.a.b=3", "x"]),
        (["--config.a.b", ""], ["--config.a.b="]),
        (["--config.a.b", "a=b"], ["--config.a.b=a=b"]),
        (["--config.a.b"], ["--config.a.b"]),
        (["--", "--config.a.b", "3"], ["--", "--config.a.b", "3"]),
        (["--config", "imdb", "x"], ["--config", "imdb", "x"]),
        ([], []),
    ],
)
def test_a_field_and_its_value_may_be_two_words(words: list[str], joined: list[str]) -> None:
    assert join_values(words) == joined


def test_a_command_takes_a_field_and_its_value_in_two_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--config.recipes.adversarial.weight", "0.5", "--config.training.seed", "-1"]
    assert main(["fields", *words, "seed", "--config", "imdb"]) == 0
    printed = capsys.readouterr().out
    assert "--config.training.seed=-1 " in printed
    assert "adversarial" not in printed
    assert main(["fields", "adversarial.weight", *words]) == 0
    assert "--config.recipes.adversarial.weight=0.5 " in capsys.readouterr().out
