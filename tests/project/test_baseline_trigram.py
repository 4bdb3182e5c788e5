"""The trigram baseline: probabilities sum to 1 and are those of the formula, spelt out."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.baseline_trigram import KneserNey, estimate_discounts, main
from lstm_flax.config import Config
from lstm_flax.text.tokenizer import END_ID
from tests.cli.run_files import write_config
from tests.conftest import templated_texts, write_jsonl

VOCAB = 14


def random_text(tokens: int, seed: int = 0) -> np.ndarray:
    """Tokens 4 to 12 by Zipf's law, cut into reviews; 13 never occurs."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, 10)
    text = rng.choice(np.arange(4, 13), tokens, p=weights / weights.sum())
    text[rng.random(tokens) < 0.05] = END_ID
    text[0] = text[-1] = END_ID
    return text


def spelt_out(text: list[int], u: int, v: int, w: int) -> float:
    """P(w | u v), interpolated modified Kneser-Ney, from dictionaries."""
    wide = [END_ID, *text]
    three = Counter(zip(wide, wide[1:], wide[2:], strict=False))
    two = Counter((b, c) for _, b, c in three)
    one = Counter((c,) for _, c in two)
    probability = 1 / VOCAB
    for counts, context in ((one, ()), (two, (v,)), (three, (u, v))):
        n1, n2, n3, n4 = (sum(c == n for c in counts.values()) for n in (1, 2, 3, 4))
        if min(n1, n2, n3, n4) == 0:
            taken = [0, 0.5, 1.0, 1.5]
        else:
            y = n1 / (n1 + 2 * n2)
            taken = [0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
            taken = [min(max(d, 0), n) for n, d in enumerate(taken)]
        followers = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == context}
        if followers:
            total = sum(followers.values())
            mass = sum(taken[min(c, 3)] for c in followers.values()) / total
            count = followers.get(w, 0)
            probability = (count - taken[min(count, 3)]) / total + mass * probability
    return probability


@pytest.mark.parametrize("tokens", [40, 3000])
def test_probabilities_are_those_of_the_formula(tokens: int) -> None:
    text = random_text(tokens)
    model = KneserNey(text, VOCAB)
    held_out = np.append(random_text(60, seed=1), [13, 5, 13, 13, END_ID])
    wide = [END_ID, *held_out.tolist()]
    expected = [spelt_out(text.tolist(), *wide[i : i + 3]) for i in range(len(wide) - 2)]
    np.testing.assert_allclose(model.probabilities(held_out), expected, rtol=1e-12)


def test_a_worked_example() -> None:
    # END a b END a c END: the trigrams are (END END a) (END a b) (a b END) (b END a) (END a c)
    # (a c END), once each. With the fallback discounts 0.5 is taken off every count of 1.
    a, b, c = 4, 5, 6
    text = np.array([END_ID, a, b, END_ID, a, c, END_ID])
    model = KneserNey(text, vocab_size=8)
    # Bigrams by what goes before them: (END a) 2, (a b) 1, (b END) 1, (a c) 1, (c END) 1.
    # Unigrams by what goes before: a 1, b 1, c 1, END 2; total 5, taken 3 * 0.5 + 1.
    p_b = (1 - 0.5) / 5 + (3 * 0.5 + 1.0) / 5 / 8
    p_b_after_a = (1 - 0.5) / 2 + (2 * 0.5) / 2 * p_b
    expected = (1 - 0.5) / 2 + (2 * 0.5) / 2 * p_b_after_a
    assert model.probabilities(np.array([END_ID, a, b]))[1] == pytest.approx(expected)


@pytest.mark.parametrize("tokens", [40, 3000])
def test_probabilities_sum_to_one_after_any_context(tokens: int) -> None:
    text = random_text(tokens)
    model = KneserNey(text, VOCAB)
    contexts = [(END_ID, 4), (4, 4), (5, END_ID), (13, 4), (4, 13), (13, 13), (12, 11)]
    for u, v in contexts:
        each = [model.probabilities(np.array([u, v, w]))[1] for w in range(VOCAB)]
        assert min(each) > 0
        assert sum(each) == pytest.approx(1, abs=1e-12)


def test_discounts_take_no_more_than_there_is() -> None:
    counts = np.array([1] + [2] * 30 + [3] * 2 + [4] * 40 + [9] * 5)  # an odd histogram
    discounts = estimate_discounts(counts)
    assert np.all(discounts >= 0)
    assert np.all(discounts <= np.arange(4))


def test_the_command_scores_the_tokens_that_a_language_model_is_scored_on(
    lm_config: Config,
    finished_lm: tuple[Path, dict],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    config = write_config(tmp_path / "tiny.py", lm_config)
    main([f"--config={config}"])
    figures = json.loads(capsys.readouterr().out)
    assert figures["tokens"] == finished_lm[1]["tokens"]
    assert 1 < figures["perplexity"] < 64
    # It learns: among other texts it does worse.
    shuffled = write_jsonl(
        tmp_path / "other.jsonl",
        [
            record | {"text": " ".join(sorted(record["text"].split()))}
            for record in templated_texts(30, 1)
        ],
    )
    main([f"--config={config}", f"--config.data.development_path={shuffled}"])
    other = json.loads(capsys.readouterr().out)
    assert other["perplexity"] > figures["perplexity"]
