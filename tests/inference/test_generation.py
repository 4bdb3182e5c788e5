"""Texts from a language model: seeds, prompts, greedy limits, forbidden tokens, spacing."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.checkpoints.restore import (
    TrainedModel,
    load_trained_model,
)
from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.inference.generator import Generator, draw_token
from lstm_flax.models.language_model import (
    LanguageModel,
    forward_model,
    softmax_weights,
)
from lstm_flax.text.detokenize import join_words
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.tokenizer import BEGIN_ID, END_ID, UNKNOWN_ID, Tokenizer
from lstm_flax.training.train import train
from lstm_flax.types import PAD_ID
from tests.cli.mistake_cases import mistake
from tests.conftest import templated_texts
from tests.models.language_model_cases import jit_read, random_ids, small_model
from tests.training.step_cases import changed


@pytest.fixture(scope="module")
def trained(finished_lm: tuple[Path, dict]) -> TrainedModel:
    """A language model of large random weights: every text takes its own way, and seldom ends.

    What it finds most probable are the three tokens that no text may hold.
    """
    trained = load_trained_model(finished_lm[0])
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), trained.params)
    bias = jnp.zeros_like(params["softmax_bias"]).at[:END_ID].set(5).at[END_ID].set(-5)
    return dataclasses.replace(trained, params=params | {"softmax_bias": bias})


@pytest.fixture(scope="module")
def generator(trained: TrainedModel) -> Generator:
    return Generator(trained)


def test_unknown_words_of_a_prompt_are_told(
    generator: Generator, caplog: pytest.LogCaptureFixture
) -> None:
    generator.generate("a film", max_tokens=1)
    assert not caplog.messages
    generator.generate("a Zxqv\x1b film", max_tokens=1)
    (message,) = caplog.messages
    assert "unknown" in message
    assert "\x1b" not in message


def naive_logits(trained: TrainedModel, prompt: str, tokens: list[int]) -> np.ndarray:
    """Of what follows END, a prompt and tokens: the whole text read in one piece, [V]."""
    model, tokenizer = trained.model, trained.metadata.encoder.tokenizer
    assert isinstance(model, LanguageModel)
    read = tokenizer.encode_batch([prompt])[0].tolist() if prompt else []
    text = [END_ID, *read, *tokens]
    # What follows changes nothing before it, and one length is one program.
    ids = np.array(text + [END_ID] * (32 - len(text)), np.int32)
    both = np.stack([ids, ids])[None]
    queries, _, _ = jit_read(model, trained.params, both, model.initial_carry(1))
    table, bias = map(np.asarray, softmax_weights(trained.params))
    return np.asarray(queries)[0, 0, len(text) - 1] @ table.T + bias


# ---------------------------------------------------------------- texts


def test_equal_seeds_write_equal_texts(generator: Generator) -> None:
    texts = generator.generate("the film", count=3, max_tokens=30, seed=7)
    assert generator.generate("the film", count=3, max_tokens=30, seed=7) == texts
    assert generator.generate("the film", count=2, max_tokens=30, seed=7) == texts[:2]
    assert len(set(texts)) == 3
    others = generator.generate("the film", count=3, max_tokens=30, seed=8)
    assert not set(texts) & set(others)


@pytest.mark.parametrize("prompt", ["", "a superb story with"])
def test_no_mass_and_no_temperature_take_the_most_probable_token(
    generator: Generator, trained: TrainedModel, prompt: str
) -> None:
    tokenizer = trained.metadata.encoder.tokenizer
    written: list[int] = []
    forbidden = 0
    while len(written) < 12:
        logits = naive_logits(trained, prompt, written)
        forbidden += int(logits.argmax() < END_ID)
        written.append(END_ID + int(logits[END_ID:].argmax()))
    assert END_ID not in written
    assert len(set(written)) > 2
    assert forbidden > 0
    words = [piece.removeprefix("▁") for piece in tokenizer.pieces(written)]
    expected = join_words(words, prompt)
    for settings in ({"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        texts = generator.generate(prompt, count=2, max_tokens=12, seed=3, **settings)
        assert texts == [expected, expected]
    if prompt:
        assert expected.startswith(prompt + " ")


def test_a_prompt_is_read_as_training_text_is(generator: Generator) -> None:
    plain = generator.generate("a superb story", max_tokens=10, temperature=0)
    assert generator.generate("  a superb story ", max_tokens=10, temperature=0) == plain
    other = generator.generate("dull and hollow", max_tokens=10, temperature=0)
    assert other[0].removeprefix("dull and hollow") != plain[0].removeprefix("a superb story")


def test_no_text_holds_a_token_that_stands_for_none(generator: Generator) -> None:
    texts = generator.generate(count=20, max_tokens=60)
    assert sum(len(text.split()) for text in texts) > 300
    assert not any(
        mark in text for text in texts for mark in ("<", ">", "\N{DOUBLE QUESTION MARK}")
    )


def test_an_end_ends_its_text_alone(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    word = 20
    drawn = iter([word, word, word, END_ID, word, word, END_ID, word])  # of two texts in turn
    monkeypatch.setattr("lstm_flax.inference.generator.draw_token", lambda *arguments: next(drawn))
    first, second = generator.generate(count=2, max_tokens=50)
    assert len(first.split()) == 3
    assert second.split() == first.split()[:1]
    assert next(drawn, None) is None


def test_no_text_is_longer_than_asked(generator: Generator) -> None:
    texts = generator.generate("the film", count=5, max_tokens=4)
    assert max(len(text.split()) for text in texts) <= 6
    assert any(len(text.split()) == 6 for text in texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count = 0: must be at least 1"),
        ({"max_tokens": 0}, "max_tokens = 0"),
        ({"temperature": -0.1}, "temperature = -0.1: must be 0 or more"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"top_p": 1.1}, "top_p = 1.1: must be from 0 to 1"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_arguments_out_of_range(generator: Generator, arguments: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generator.generate(**arguments)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_forward_model_is_the_forward_half(lm_config: Config, bidirectional: bool) -> None:
    fields = {"bidirectional": bidirectional, "hidden_size": 12, "num_layers": 2}
    model, params = small_model(lm_config, **fields)
    ids = random_ids(3, model.directions, 9)
    queries, _, _ = jit_read(model, params, ids, model.initial_carry(3))
    alone, own = forward_model(model, params)
    there, _, _ = jit_read(alone, own, ids[:, :1], alone.initial_carry(3))
    np.testing.assert_array_equal(there, queries[:, :1])


@pytest.mark.parametrize("kind", ["unigram", "char"])
def test_pieces_of_words_are_joined(lm_config: Config, trained: TrainedModel, kind: str) -> None:
    texts = [record["text"] for record in templated_texts(100, seed=0)]
    settings = dataclasses.replace(lm_config.tokenizer, kind=kind)
    encoder = TextEncoder(Tokenizer.train(texts, settings))
    metadata = dataclasses.replace(trained.metadata, encoder=encoder)
    model, params = small_model(lm_config, metadata.encoder.tokenizer.vocab_size)
    of_pieces = dataclasses.replace(trained, metadata=metadata, model=model, params=params)
    (text,) = Generator(of_pieces).generate("the fil", max_tokens=40, seed=1)
    assert text.startswith("the fil")
    assert "▁" not in text
    assert len(text) > len("the fil")


# ---------------------------------------------------------------- draws


def draws(logits: np.ndarray, **settings: float) -> np.ndarray:
    uniforms = (np.arange(2000) + 0.5) / 2000
    tokens = [
        draw_token(logits, u, **{"temperature": 1.0, "top_p": 1.0, **settings}) for u in uniforms
    ]
    return np.bincount(tokens, minlength=len(logits)) / 2000


def test_draws_have_the_softmax_of_the_allowed_tokens() -> None:
    logits = np.random.default_rng(0).normal(size=30).astype(np.float32)
    logits[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = 50
    for temperature in (0.5, 1.0, 2.0):
        expected = np.exp(logits[END_ID:].astype(np.float64) / temperature)
        frequency = draws(logits, temperature=temperature)
        assert not frequency[:END_ID].any()
        np.testing.assert_allclose(frequency[END_ID:], expected / expected.sum(), atol=1e-3)


def test_the_nucleus_is_the_fewest_tokens_of_that_mass() -> None:
    logits = np.full(12, -40.0)
    logits[[4, 9, 6, 7]] = np.log([0.5, 0.25, 0.15, 0.1])
    for top_p, kept in ((0.4, [4]), (0.6, [4, 9]), (0.8, [4, 6, 9]), (0.95, [4, 6, 7, 9])):
        frequency = draws(logits, top_p=top_p)
        assert np.flatnonzero(frequency).tolist() == kept
        expected = np.exp(logits[kept])
        np.testing.assert_allclose(frequency[kept], expected / expected.sum(), atol=1e-3)


# ---------------------------------------------------------------- spacing


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("well , it was good .", "well, it was good."),
        ("( the best ) ! ?", "(the best)!?"),
        ('he said " no , thanks " and left .', 'he said "no, thanks" and left.'),
        ("in ' the matrix ' , neo", "in 'the matrix', neo"),
        ("the actors ' faces", "the actors' faces"),
        ("it ' s", "it' s"),
        ("8 . 5 / 10 , 1 , 000 $ 5", "8.5/10, 1,000 $5"),
        ("the end . 3 stars", "the end. 3 stars"),
        ("so - - no * * * 100 %", "so -- no *** 100%"),
        ("' \" a \" '", "'\"a\"'"),
        ("wait . . . what", "wait... what"),
    ],
)
def test_signs_cling_to_their_words(words: str, expected: str) -> None:
    assert join_words(words.split()) == expected


def test_a_start_stays_as_it_is() -> None:
    assert join_words([], "Odd  text , here") == "Odd  text , here"
    assert join_words([",", "he", "said"], "No") == "No, he said"
    assert join_words(["no", '"', "twice"], 'He said "') == 'He said "no" twice'
    assert join_words(["no", '"', "twice"], 'He said "oh') == 'He said "oh no" twice'


# ---------------------------------------------------------------- the command


def test_the_command_writes_one_text_a_line(
    finished_lm: tuple[Path, dict], capsys: pytest.CaptureFixture
) -> None:
    arguments = ["--prompt=the film", "--count=3", "--max_tokens=9", "--top_p=0.9", "--seed=4"]
    generator = Generator.from_checkpoint(finished_lm[0])
    expected = generator.generate("the film", 3, 9, temperature=0.7, top_p=0.9, seed=4)
    arguments.append("--temperature=0.7")
    for words in (
        [str(finished_lm[0]), *arguments],
        [*arguments, str(finished_lm[0])],
        [*arguments, f"--workdir={finished_lm[0]}"],
    ):
        assert main(["generate", *words]) == 0
        assert capsys.readouterr().out.splitlines() == expected


def test_each_command_refuses_the_other_kind_of_model(
    finished_lm: tuple[Path, dict],
    finished: tuple[Path, dict],
    lm_config: Config,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    classifier = finished[0]
    line = mistake(capsys, "generate", str(classifier))
    assert "holds a classifier, which writes no text" in line
    assert "--config=imdb_pretrain" in line
    line = mistake(capsys, "predict", f"--workdir={finished_lm[0]}", "text")
    assert "holds a language model" in line
    assert f"--config.init_from={finished_lm[0]}" in line
    line = mistake(capsys, "generate", str(tmp_path))
    assert "no checkpoint here" in line
    one = "name one run, as DIR or as --workdir=DIR"
    assert one in mistake(capsys, "generate")
    assert one in mistake(capsys, "generate", str(tmp_path), f"--workdir={tmp_path}")
    line = mistake(capsys, "generate", str(finished_lm[0]), "--top_p=2")
    assert "top_p = 2.0" in line
    # Only the embedding and the cells have names in common; here no shape agrees.
    other = changed(lm_config, model={"embedding_size": 6, "hidden_size": 5})
    with pytest.raises(UserError, match=r"none of its arrays fits .* \(there \(64, 8\)\)"):
        train(
            dataclasses.replace(other, init_from=str(classifier)),
            tmp_path / "run",
            show_progress=False,
        )
    assert not (tmp_path / "run").exists()


def test_evaluate_scores_a_language_model(
    finished_lm: tuple[Path, dict], capsys: pytest.CaptureFixture
) -> None:
    data = f"--config={finished_lm[0] / 'config.json'}"
    assert main(["evaluate", f"--workdir={finished_lm[0] / 'best'}", data]) == 0
    shown = capsys.readouterr().out
    assert "perplexity" in shown
    assert '"split": "development"' in shown
