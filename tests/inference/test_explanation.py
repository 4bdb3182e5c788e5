"""Explanations: contributions that sum to the answer, through both inputs, to the right words."""

import dataclasses

import jax
import numpy as np
import pytest

from lstm_flax.errors import UserError
from lstm_flax.inference.explainer import Explainer, log_odds
from lstm_flax.inference.predictor import Predictor
from lstm_flax.inference.reading import Token, group_words, read_text
from tests.exporting.export_cases import make_predictor

TEXT = "A superb film with warm actors, and one dull scene."


def changed_params(predictor: Predictor, **parts: float) -> Predictor:
    """A predictor with some of its parameters multiplied."""
    params = {
        name: jax.tree.map(lambda a, name=name: a * parts.get(name, 1.0), part)
        for name, part in predictor.trained.params.items()
    }
    return Predictor(dataclasses.replace(predictor.trained, params=params))


def test_contributions_sum_to_the_answer(ngram_predictor: Predictor) -> None:
    [explanation] = ngram_predictor.explain([TEXT])
    answer = ngram_predictor.predict([TEXT])[0]
    assert explanation.label == answer.label
    probability = answer.probabilities[answer.label]
    assert explanation.probability == pytest.approx(probability, abs=1e-5)
    assert explanation.log_odds == pytest.approx(np.log(probability / (1 - probability)), abs=1e-4)
    total = sum(word.contribution for word in explanation.words)
    difference = explanation.log_odds - explanation.empty_log_odds
    assert total == pytest.approx(difference, rel=0.01)
    assert explanation.completeness_error == pytest.approx(abs(total / difference - 1), abs=1e-6)
    assert explanation.completeness_error < 0.01


def test_more_points_are_nearer_to_the_integral(ngram_predictor: Predictor) -> None:
    strong = changed_params(ngram_predictor, ngrams=20.0, head=5.0)
    few, many = (strong.explain([TEXT], steps=steps)[0] for steps in (1, 64))
    assert many.completeness_error < 0.1 * few.completeness_error


def test_a_named_label_is_explained(ngram_predictor: Predictor) -> None:
    pos, neg = (ngram_predictor.explain([TEXT], label=label)[0] for label in ("pos", "neg"))
    assert (pos.label, neg.label) == ("pos", "neg")
    for for_pos, for_neg in zip(pos.words, neg.words, strict=True):
        assert for_pos.contribution == pytest.approx(-for_neg.contribution, abs=1e-5)


@pytest.mark.parametrize(("silent", "part"), [("embedding", 1.0), ("ngrams", 0.0)])
def test_each_input_alone_gets_all_of_it(
    ngram_predictor: Predictor, silent: str, part: float
) -> None:
    [explanation] = changed_params(ngram_predictor, **{silent: 0.0}).explain([TEXT])
    assert explanation.ngram_part == pytest.approx(part)
    for word in explanation.words:
        assert word.from_ngrams == pytest.approx(part * word.contribution, abs=1e-6)


def test_an_ngram_is_shared_by_its_tokens(ngram_predictor: Predictor) -> None:
    """With bigrams alone heard, the first word has as much of the first as the second has."""
    trained = ngram_predictor.trained
    kernel = np.asarray(trained.params["ngrams"]["kernel"]).copy()
    kernel[0] = 0  # the ratios of single tokens
    params = jax.tree.map(np.asarray, trained.params) | {"ngrams": {"kernel": kernel}}
    params["embedding"] = {"embedding": 0 * params["embedding"]["embedding"]}
    alone = Predictor(dataclasses.replace(trained, params=params))
    with_two = [
        explanation
        for explanation in alone.explain(
            [f"{a} {b}" for a in ("the", "a") for b in ("film", "and")]
        )
        if abs(explanation.words[0].contribution) > 1e-9
    ]
    assert with_two
    for explanation in with_two:
        first, second = explanation.words
        assert first.contribution == pytest.approx(second.contribution)


def test_occlusion_is_the_answer_to_the_text_without_the_word(ngram_predictor: Predictor) -> None:
    [explanation] = ngram_predictor.explain([TEXT], label="pos")
    checked = [word for word in explanation.words if word.occlusion is not None]
    assert sorted(map(id, checked)) == sorted(map(id, explanation.strongest()))
    for word in checked:
        shorter = TEXT[: word.start] + TEXT[word.end :]
        probability = ngram_predictor.predict([shorter])[0].probabilities["pos"]
        expected = explanation.log_odds - np.log(probability / (1 - probability))
        assert word.occlusion == pytest.approx(expected, abs=1e-4)
    [unchecked] = ngram_predictor.explain([TEXT], check=False)
    assert all(word.occlusion is None for word in unchecked.words)


def test_a_text_of_one_word_can_lose_it(ngram_predictor: Predictor) -> None:
    [explanation] = ngram_predictor.explain(["superb"])
    [word] = explanation.words
    assert word.occlusion is not None
    assert np.isfinite(word.occlusion)


def test_words_that_are_cut_off_count_through_ngrams_alone(ngram_predictor: Predictor) -> None:
    """The first bigram of the tail begins in the part that is not read."""
    text = "superb film " * 40
    [explanation] = ngram_predictor.explain([text], check=False)
    kept = set(_kept(ngram_predictor, text))
    assert len(explanation.words) == 80
    for i, word in enumerate(explanation.words):
        if i not in kept:
            assert word.contribution == word.from_ngrams
            assert i + 1 in kept or word.contribution == 0


def _kept(predictor: Predictor, text: str) -> list[int]:
    metadata = predictor.trained.metadata
    return read_text(text, metadata.encoder, metadata.config.data).kept.tolist()


def test_says_what_the_model_did_not_read_or_know(ngram_predictor: Predictor) -> None:
    [plain, long, strange] = ngram_predictor.explain(
        [
            "A superb film.",
            "A superb film. " * 500,
            "\u05d4\u05e1\u05e8\u05d8 \u05e0\u05e4\u05dc\u05d0",
        ]
    )
    assert not plain.warnings
    assert (plain.truncated, long.truncated, strange.truncated) == (False, True, False)
    assert any("left out" in warning for warning in long.warnings)
    assert strange.unknown == 1.0
    assert any("100% of the text is unknown" in warning for warning in strange.warnings)
    rough = dataclasses.replace(plain, completeness_error=0.5)
    assert any("50%" in warning and "steps" in warning for warning in rough.warnings)


def test_log_odds_of_one_of_three_labels() -> None:
    logits = np.array([0.3, -1.0, 2.0], np.float32)
    p = np.exp(logits) / np.exp(logits).sum()
    for label in range(3):
        expected = np.log(p[label] / (1 - p[label]))
        assert float(log_odds(logits, label)) == pytest.approx(expected, abs=1e-6)


def test_pieces_of_a_word_are_joined() -> None:
    text = "don't re-watch, 映画 unbelievable!"
    cuts = [(0, 3), (3, 5), (6, 8), (8, 14), (14, 15), (16, 17), (17, 18), (19, 24), (24, 31)]
    tokens = tuple(Token(text[a:b], a, b) for a, b in [*cuts, (31, 32)])
    words, word_of = group_words(text, tokens)
    assert [word.text for word in words] == [
        "don't", "re-watch", ",", "映", "画", "unbelievable", "!",
    ]  # fmt: skip
    assert word_of.tolist() == [0, 0, 1, 1, 2, 3, 4, 5, 5, 6]


def test_mistakes_in_a_call_say_what_to_do(ngram_predictor: Predictor) -> None:
    with pytest.raises(UserError, match=r"write explain\(\[text\]\)"):
        ngram_predictor.explain(TEXT)
    with pytest.raises(UserError, match=r"label 'good': the model has neg, pos"):
        ngram_predictor.explain([TEXT], label="good")
    with pytest.raises(UserError, match="steps = 0"):
        ngram_predictor.explain([TEXT], steps=0)
    with pytest.raises(UserError, match=r"texts\[1\] is empty"):
        ngram_predictor.explain([TEXT, " "])
    with pytest.raises(UserError, match="explain is of one classifier"):
        Predictor(ngram_predictor.trained, ngram_predictor.trained).explain([TEXT])


def test_any_text_is_explained(ngram_predictor: Predictor) -> None:
    texts = ["🎬 映画", "\u202eevil\u202c \0 <b>", "&nbsp;x", "ﬁlm e\u0301 " * 300]
    for text, explanation in zip(texts, ngram_predictor.explain(texts), strict=True):
        assert all(text[w.start : w.end] == w.text for w in explanation.words)
        assert np.isfinite(explanation.completeness_error)


def test_one_program_serves_every_length_of_a_bucket(ngram_predictor: Predictor) -> None:
    explainer = Explainer(ngram_predictor.trained)
    for text in ("superb", "superb film", "a superb film with warm actors"):
        explainer.explain(text)
    assert explainer.compilations == 1


@pytest.mark.parametrize("silent", ["embedding", "votes"])
def test_contributions_through_votes_are_counted(silent: str) -> None:
    predictor = changed_params(make_predictor("votes"), **{silent: 0.0})
    [explanation] = predictor.explain([TEXT])
    total = sum(word.contribution for word in explanation.words)
    difference = explanation.log_odds - explanation.empty_log_odds
    assert total == pytest.approx(difference, rel=0.01)
    assert (explanation.ngram_part == pytest.approx(1.0)) == (silent == "embedding")
