"""The configuration: validation, round trips, the list of fields, and that each is read."""

import dataclasses
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from lstm_flax.cli import main
from lstm_flax.config import (
    Config,
    DataConfig,
    LanguageModelConfig,
    ModelConfig,
    OptimizerConfig,
    as_config_dict,
    default_config,
    refuse_changes,
)
from lstm_flax.config.fields import build, leaves, value_at
from lstm_flax.config.files import find_config, load_config
from lstm_flax.config.recipes import FineTuningConfig
from lstm_flax.config.values import checked
from lstm_flax.errors import UserError
from tests.config.config_reads import fields_read, fields_read_in

ROOT = Path(__file__).parents[2]


def with_field(name: str, value: object) -> Config:
    config = as_config_dict(Config())
    area, field = name.split(".")
    with config.ignore_type():
        setattr(config[area], field, value)
    return Config.from_config_dict(config)


def test_config_survives_the_round_trip_through_plain_values() -> None:
    config = with_field("data.bucket_widths", (32, 448))
    assert Config.from_config_dict(config.to_dict()) == config
    assert Config.from_config_dict(as_config_dict(config)) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data.source", " "),
        ("data.development_fraction", 1.0),
        ("data.bucket_widths", (64, 33)),
        ("data.bucket_widths", (64, 32, 512)),
        ("data.bucket_widths", (64, 128)),
        ("data.batch_size", 0),
        ("data.max_length", 2.5),
        ("data.lowercase", 1),
        ("tokenizer.kind", "letters"),
        ("tokenizer.character_coverage", 0.5),
        ("model.hidden_size", 0),
        ("model.dropout", 1.0),
        ("model.embedding_dropout", -0.1),
        ("model.pooling", "sum"),
        ("model.ngram_order", -1),
        ("optimizer.learning_rate", float("nan")),
        ("optimizer.learning_rate", "fast"),
        ("optimizer.name", "lion"),
        ("optimizer.b1", 1),
        ("training.epochs", 0),
        ("training.epochs", True),
        ("training.class_weights", (1.0, -1.0)),
        ("training.class_weights", (1e308, 1e308)),
        ("tokenizer.num_threads", 100_000),
        ("model.sentence_length", 10**30),
        ("training.epochs", 10**30),
        ("training.log_interval", 0),
        ("data.extra_train_path", 3),
        ("language_model.bptt_length", 0),
    ],
)
@pytest.mark.smoke
def test_bad_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^config\.{re.escape(name)} = "):
        with_field(name, value)


def test_own_files_without_a_path_are_refused_by_the_path_s_name() -> None:
    with pytest.raises(UserError, match=r"^config\.data\.train_path = None: "):
        with_field("data.source", "files")


def test_a_penalty_on_changes_needs_two_tokens() -> None:
    LanguageModelConfig(temporal_penalty=1.0, bptt_length=2)
    LanguageModelConfig(activation_penalty=1.0, bptt_length=1)
    with pytest.raises(
        UserError, match=r"^config\.language_model\.temporal_penalty = 1\.0: .*bptt"
    ):
        LanguageModelConfig(temporal_penalty=1.0, bptt_length=1)


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: ModelConfig(dropout=1.0), r"model\.dropout = 1\.0: .*at least 0 and below 1$"),
        (lambda: ModelConfig(dropout=float("nan")), r"model\.dropout = nan: "),
        (lambda: ModelConfig(cell="sru"), r"model\.cell = 'sru': .*lstm, gru or rnn$"),
        (lambda: ModelConfig(direction_merge="ave"), r"merge = 'ave': .*concat, sum or mean$"),
        (
            lambda: ModelConfig(bidirectional=False, direction_merge="mean"),
            r"model\.direction_merge = 'mean': .*bidirectional to True",
        ),
        (lambda: ModelConfig(truncate_gradient_every=-1), r"every = -1: .*at least 0$"),
        (lambda: ModelConfig(hierarchy="words"), r"hierarchy = 'words': .*none or sentences$"),
        (lambda: ModelConfig(sentence_length=1), r"sentence_length = 1: .*at least 2 and"),
        (
            lambda: ModelConfig(hierarchy="sentences", truncate_gradient_every=9),
            r"model\.truncate_gradient_every = 9: .*leave one of them out$",
        ),
        (lambda: FineTuningConfig(layer_decay=0.0), r"fine_tuning\.layer_decay = 0\.0: .*above 0"),
        (lambda: build(OptimizerConfig, {"b1": 10**400}, "optimizer."), r"b1 = 10+: .*finite"),
        (lambda: Config(task="regression"), r"task = 'regression': .*classifier or language_model"),
        (lambda: LanguageModelConfig(softmax_samples=1), r"softmax_samples = 1: .* 0 "),
        (lambda: dataclasses.replace(DataConfig(), batch_size=0), r"batch_size = 0: .*at least 1$"),
    ],
)
def test_every_instance_keeps_its_bounds(create: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=rf"^config\.[\w.]*{message}"):
        create()


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
def test_no_field_holds_what_cannot_name_a_file(text: str) -> None:
    texts = [path for path, defined in leaves(Config) if defined.type in (str, str | None)]
    assert {"data.cache_dir", "data.token_cache", "data.extra_train_path"} <= set(texts)
    for path in texts:
        with pytest.raises(UserError, match=re.escape(f"config.{path} = {text!r}: must be text")):
            checked(text, dict(leaves(Config))[path].type, path)


def test_weight_decay_without_adamw_is_refused() -> None:
    config = default_config()
    config.optimizer.name = "adam"
    with pytest.raises(UserError, match="weight_decay"):
        Config.from_config_dict(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("direction_merge", "sum"),
        ("truncate_gradient_every", 9),
        ("hierarchy", "sentences"),
        ("ngram_order", 2),
    ],
)
def test_a_language_model_has_none_of_what_a_classifier_reads_texts_by(
    name: str, value: object
) -> None:
    with pytest.raises(UserError, match=rf"^config\.model\.{name} = {value!r}: .*leave it out$"):
        Config(task="language_model", model=ModelConfig(**{name: value}))


@pytest.mark.parametrize("values", [{"modle": {}}, {"model": {"hidden": 3}}])
@pytest.mark.smoke
def test_unknown_field_is_refused_by_name(values: dict) -> None:
    with pytest.raises(UserError, match=r"modle|model\.hidden"):
        Config.from_config_dict(values)


def test_flags_override_fields_of_a_file() -> None:
    overrides = ["--config.model.hidden_size=32", "--config.data.data_dir=/data"]
    overrides += ["--config.training.class_weights=(1.0,2.0)"]
    config = Config.from_config_dict(load_config("configs/imdb.py", overrides))
    assert config.model.hidden_size == 32
    assert config.data.data_dir == "/data"
    assert config.training.class_weights == (1.0, 2.0)


@pytest.mark.parametrize("name", ["data.extra_train_path", "data.archive", "init_from"])
def test_an_empty_flag_clears_an_optional_field(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    values = {"data": {"archive": "a", "extra_train_path": "a"}, "init_from": "a"}
    path.write_text(json.dumps(values), encoding="utf-8")
    before = Config.from_config_dict(load_config(str(path), []))
    after = Config.from_config_dict(load_config(str(path), [f"--config.{name}="]))
    assert value_at(before, name) is not None
    assert value_at(after, name) is None


def test_a_run_s_saved_configuration_is_one(tmp_path: Path) -> None:
    config = with_field("data.bucket_widths", (32, 448))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()), encoding="utf-8")
    assert Config.from_config_dict(load_config(str(path), [])) == config
    changed = Config.from_config_dict(load_config(str(path), ["--config.training.seed=7"]))
    assert changed.training.seed == 7
    assert dataclasses.replace(changed, training=config.training) == config


@pytest.mark.parametrize(
    "override", ["--config.model.hiden_size=3", "--config.model.hidden_size=many", "--config.x=1"]
)
def test_a_wrong_override_is_a_user_error(override: str) -> None:
    with pytest.raises(UserError):
        load_config("configs/imdb.py", [override])


def test_every_shipped_configuration_is_valid() -> None:
    files = [path for path in (ROOT / "configs").glob("*.py") if path.stem != "__init__"]
    assert len(files) >= 2
    for path in files:
        Config.from_config_dict(load_config(str(path), []))
        assert find_config(path.stem).samefile(path)
        assert f"--config=configs/{path.name}" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("prefix", ["imdb", "imdb_gpu"])
def test_a_classifier_of_imdb_fits_the_language_models_it_starts_from(prefix: str) -> None:
    second = {"imdb": "imdb_finetune", "imdb_gpu": "imdb_gpu"}[prefix]
    pretrained, finetuned = (
        Config.from_config_dict(load_config(name, [])) for name in (f"{prefix}_pretrain", second)
    )
    assert pretrained.tokenizer == finetuned.tokenizer
    for name in ("source", "lowercase", "use_unlabelled", "development_fraction", "split_seed"):
        assert getattr(pretrained.data, name) == getattr(finetuned.data, name), name
    for name in ("cell", "embedding_size", "hidden_size", "num_layers", "bidirectional"):
        assert getattr(pretrained.model, name) == getattr(finetuned.model, name), name


def test_every_field_is_read_outside_its_definition() -> None:
    read = fields_read_in(ROOT / "lstm_flax", leave_out="config")
    assert [path for path, _ in leaves(Config) if path not in read] == []


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("x = config.data.invented", True),
        ("def f(self): self.config.data.invented", True),
        ("def f(given: DataConfig | None): return g(given.invented)", True),
        ("settings, other = config.data, 1\nif settings.invented: pass", True),
        ("class A:\n    config: DataConfig\n    def f(self): return self.config.invented", True),
        ("'''Reads config.data.invented.'''", False),
        ("x = f'set config.data.invented, not {y}'", False),
        ("raise UserError(f'config.data.invented = {config.data.invented}')", False),
        ("x = config.model.invented", False),
        ("settings = config.model\nx = settings.invented", False),
        ("x = path.invented", False),
        ("config.data.invented = 3", False),
    ],
)
def test_only_an_attribute_of_the_area_reads_a_field(code: str, read: bool) -> None:
    assert ("data.invented" in fields_read(code)) == read


def test_a_run_continues_only_as_it_was() -> None:
    base = Config()
    refuse_changes(base, with_field("training.log_interval", 7), "runs/x")
    refuse_changes(base, with_field("data.data_dir", "/elsewhere"), "runs/x")
    with pytest.raises(UserError, match=r"model\.hidden_size"):
        refuse_changes(base, with_field("model.hidden_size", 7), "runs/x")
    with pytest.raises(UserError, match=r"training\.epochs"):  # the cosine depends on it
        refuse_changes(base, with_field("training.epochs", 7), "runs/x")
    constant = with_field("optimizer.schedule", "constant")
    more = dataclasses.replace(constant, training=dataclasses.replace(base.training, epochs=9))
    refuse_changes(constant, more, "runs/x")


def test_every_field_is_listed_with_its_value_and_its_meaning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fields", "--config.data.bucket_widths=64,512"]) == 0
    printed = capsys.readouterr().out.splitlines()
    meanings = [line for line in printed if line.startswith("    ")]
    flags = [line for line in printed if not line.startswith("    ")]
    names = [f"--config.{path}" for path, _ in leaves(Config)]
    assert [flag.split("=")[0] for flag in flags] == names
    absent = [flag for flag in flags if "absent" in flag]
    assert absent == [flag for flag in flags if flag.startswith("--config.recipes.")] != []
    assert "--config.model.cell=lstm   (lstm, gru or rnn)" in flags
    assert "--config.model.dropout=0.0   (a number, at least 0 and below 1)" in flags
    assert "--config.data.bucket_widths=64,512   (whole numbers, separated by commas)" in flags
    assert "--config.data.archive=   (text)" in flags
    assert "    rows of every batch." in meanings
    assert {"--"}.isdisjoint(after[:2] for line, after in pairwise(printed) if line in flags)


@pytest.mark.parametrize("name", ["quickstart", "imdb", "imdb_finetune", "imdb_gpu_student"])
def test_listed_flags_give_the_values_they_show(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fields", f"--config={name}"]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("--")]
    flags = [line.rsplit("   (", 1)[0] for line in shown if "absent" not in line]
    config = Config.from_config_dict(load_config(name, []))
    assert Config.from_config_dict(load_config(None, flags, base=default_config())) == config


def test_fields_by_a_part_of_their_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "head_dropout", "--config=imdb"]) == 0
    (flag, meaning) = capsys.readouterr().out.splitlines()
    value = load_config("imdb", []).model.head_dropout
    assert flag.startswith(f"--config.model.head_dropout={value}   (a number, ")
    assert meaning.startswith("    ")
    assert main(["fields", "dropuot"]) == 2
    assert "no field's name holds 'dropuot'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("model", {"bidirectional": "no"}),
        ("model", {"hidden_size": 4.5}),
        ("training", {"epochs": "2"}),
        ("training", {"epochs": None}),
        ("training", {"seed": True}),
        ("optimizer", {"learning_rate": "x"}),
        ("data", {"train_path": Path("a.csv")}),
        ("data", {"bucket_widths": 64}),
    ],
)
def test_a_field_of_another_type_is_refused_when_it_is_made(section: str, changes: dict) -> None:
    (name,) = changes
    with pytest.raises(UserError, match=rf"config\.{section}\.{name} = .*: must be"):
        dataclasses.replace(getattr(Config(), section), **changes)


def test_a_section_of_another_type_is_refused() -> None:
    with pytest.raises(UserError, match=r"config\.model = None: must be of class ModelConfig"):
        dataclasses.replace(Config(), model=None)
