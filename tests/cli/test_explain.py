"""`lstm-flax explain`: words on the terminal, JSON, a page."""

import json
from pathlib import Path

import pytest

from lstm_flax.checkpoints.pretrained import SHIPPED
from lstm_flax.cli import main
from lstm_flax.cli.explain import coloured
from lstm_flax.inference.predictor import Predictor

TEXT = "A superb film with \x1b[31m warm actors and one dull scene."


@pytest.fixture
def asked(ngram_predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the tiny classifier, wherever it looks."""
    monkeypatch.setattr(Predictor, "from_checkpoint", lambda *_, **__: ngram_predictor)


@pytest.mark.usefixtures("asked")
def test_words_and_numbers_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--workdir=anywhere", TEXT, "Dull."]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown  # neither the text's own, nor colours where there is no terminal
    assert "superb film with �[31m warm" in shown
    assert shown.count("strongest words") == 2
    assert "completeness error" in shown


def test_colours_say_for_and_against(ngram_predictor: Predictor) -> None:
    [explanation] = ngram_predictor.explain(["A superb film and one dull scene."], check=False)
    spans = coloured(explanation).spans
    assert len(spans) == len(explanation.words)
    for span, word in zip(spans, explanation.words, strict=True):
        red, _, blue = str(span.style).split("on rgb(")[1].rstrip(")").split(",")
        assert (int(blue) >= int(red)) == (word.contribution >= 0)


@pytest.mark.usefixtures("asked")
def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--workdir=x", "--json", "--label=neg", "--steps=8", TEXT]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["label"], record["steps"], record["text"]) == ("neg", 8, TEXT)
    total = sum(word["contribution"] for word in record["words"])
    difference = record["log_odds"] - record["empty_log_odds"]
    assert total == pytest.approx(difference, rel=0.02)
    assert all(TEXT[w["start"] : w["end"]] == w["text"] for w in record["words"])


@pytest.mark.usefixtures("asked")
def test_json_speaks_to_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a \x9b31m film \u202e superb"
    assert main(["explain", "--workdir=x", "--json", "--steps=2", text]) == 0
    printed = capsys.readouterr().out
    assert not {"\x9b", "\u202e"} & set(printed)
    assert json.loads(printed)["text"] == text


@pytest.mark.usefixtures("asked")
def test_a_page_is_written_where_a_link_leads_but_not_out_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "why.html").symlink_to("page.html")
    words = ["explain", "superb", "--steps=2", f"--html={tmp_path / 'why.html'}"]
    assert main([*words, f"--workdir={tmp_path}"]) == 2
    assert "why.html: a link" in capsys.readouterr().err
    assert main([*words, "--workdir=x"]) == 0
    assert (tmp_path / "why.html").is_symlink()
    assert "<section>" in (tmp_path / "page.html").read_text()


@pytest.mark.usefixtures("asked")
def test_a_file_becomes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, html = tmp_path / "texts.txt", tmp_path / "why.html"
    file.write_text("A superb film.\n\nDull & <b>wooden</b>.\n", encoding="utf-8")
    assert main(["explain", "--workdir=x", f"--file={file}", f"--html={html}"]) == 0
    content = html.read_text(encoding="utf-8")
    assert content.count("<section>") == 2
    assert content.count("<details>") == 2
    assert "<b>" not in content
    assert capsys.readouterr().out == ""


def test_mistakes_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"fine\ncaf\xe9\n")
    for words, message in [
        ([], "give texts, or --file"),
        (["x", f"--file={empty}"], "one of the two"),
        ([f"--file={empty}"], "holds no text"),
        (["x", "--steps=0"], "--steps=0: must be at least 1"),
        ([f"--file={tmp_path / 'none.txt'}"], "name a readable file"),
        (["caf\udce9"], "text 1 is not UTF-8 (byte 3)"),
        ([f"--file={latin}"], "latin.txt: line 2 is not UTF-8 (byte 3)"),
        (["x", "--workdir=x", f"--steps={10**30}"], "at most 1,000"),
    ]:
        assert main(["explain", *words]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="this copy holds no model")
def test_the_packaged_model_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--json", "A moving film, superbly acted."]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["label"] == "pos"
    assert record["completeness_error"] < 0.01
    assert 0.5 < record["ngram_part"] < 1
