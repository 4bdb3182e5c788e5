"""Measures how reliable explanations are: the packaged model on reviews of IMDB's test split.

    python benchmarks/explanations.py                 # docs/results/explanations.json
    python benchmarks/explanations.py --reviews=50

Measured on a random sample of reviews, explaining the answered label:

- the completeness error at the default number of steps, and at others on the first fifty;
- the fraction of the contributions that comes from n-gram features;
- how often deleting each of the five strongest words moves the answer as the word predicts;
- how much the label's log-odds fall when the ten words that support it most are deleted, chosen by
  integrated gradients, by gradient times input, or at random (mean of five draws).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from lstm_flax import Predictor
from lstm_flax.data.loading import load_examples
from lstm_flax.inference.explainer import DEFAULT_STEPS, Explainer, sum_words

OUTPUT = Path(__file__).parents[1] / "docs" / "results" / "explanations.json"
DELETED = 10
DRAWS = 5


def measure(texts: list[str], seed: int = 0) -> dict[str, Any]:
    """Computes all measurements for some texts."""
    predictor = Predictor.from_checkpoint()
    explainer = Explainer(predictor.trained)
    names = list(predictor.label_names)
    rng = np.random.default_rng(seed)
    errors, parts, agreements, falls, flips = [], [], [], [], []
    by_steps: dict[int, list[float]] = {8: [], 16: [], 32: [], 128: []}
    signed = []
    start = time.perf_counter()
    for number, text in enumerate(texts):
        explanation = explainer.explain(text)
        errors.append(explanation.completeness_error)
        parts.append(explanation.ngram_part)
        total = sum(word.contribution for word in explanation.words)
        signed.append(sum(word.from_ngrams for word in explanation.words) / total)
        for word in explanation.strongest():
            assert word.occlusion is not None
            agreements.append(word.occlusion * word.contribution > 0)
        label = names.index(explanation.label)
        reading = explainer.read(text)
        one = np.ones(1)
        by_gradient = sum_words(reading, explainer.shares(reading, label, one, one))
        deletions = [_top(explanation.words), _top(by_gradient)]
        for _ in range(DRAWS):
            chosen = rng.permutation(len(explanation.words))[:DELETED]
            deletions.append([explanation.words[i] for i in chosen])
        after = explainer.log_odds_without(reading, deletions, label)
        fall = explanation.log_odds - after
        falls.append([fall[0], fall[1], fall[2:].mean()])
        flips.append([after[0] < 0, after[1] < 0, (after[2:] < 0).mean()])
        if number < 50:
            for steps, found in by_steps.items():
                found.append(explainer.explain(text, steps=steps, check=False).completeness_error)
        if number % 50 == 49:
            print(f"{number + 1} of {len(texts)}, {time.perf_counter() - start:.0f} s", flush=True)
    mean_fall, flipped = np.mean(falls, axis=0), np.mean(flips, axis=0)
    ways = ("integrated_gradients", "gradient_times_input", "random")
    return {
        "reviews": len(texts),
        "steps": DEFAULT_STEPS,
        "completeness_error": _quantiles(errors),
        "completeness_error_by_steps_of_first_50": {
            str(steps): _quantiles(found) for steps, found in by_steps.items()
        },
        "ngram_part": _quantiles(parts),
        "ngram_part_of_the_sum": _quantiles(signed),
        "occlusion_agrees_on_five_strongest": float(np.mean(agreements)),
        f"mean_fall_of_log_odds_without_{DELETED}_words": dict(zip(ways, mean_fall, strict=True)),
        "answers_turned": dict(zip(ways, flipped, strict=True)),
        "integrated_gradients_falls_more_than_gradient_times_input": float(
            np.mean([a > b for a, b, _ in falls])
        ),
        "integrated_gradients_falls_more_than_random": float(np.mean([a > c for a, _, c in falls])),
        "seconds": round(time.perf_counter() - start, 1),
    }


def _top(words: Any) -> list[Any]:
    return sorted(words, key=lambda word: -word.contribution)[:DELETED]


def _quantiles(values: list[float]) -> dict[str, float]:
    found = np.quantile(values, [0.5, 0.95, 1.0])
    return dict(zip(("median", "95th", "largest"), map(float, found), strict=True))


def main() -> None:
    """Measures and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reviews", type=int, default=500)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    texts = load_examples(Predictor.from_checkpoint().trained.metadata.config.data, "test").texts
    chosen = np.random.default_rng(0).permutation(len(texts))[: arguments.reviews]
    results = measure([texts[i] for i in chosen])
    arguments.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
