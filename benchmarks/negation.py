"""Twenty short texts with negation, contrast or irony, and the packaged model's answers.

    python benchmarks/negation.py          # docs/results/negation.json and its table

`docs/explanations.md` discusses them.
"""

import json
from pathlib import Path

from lstm_flax import Predictor
from lstm_flax.cli.explain import record_of

OUTPUT = Path(__file__).parents[1] / "docs" / "results" / "negation.json"

# The answer a person would give, and the text.
TEXTS = (
    ("pos", "Not bad at all."),
    ("neg", "Not good."),
    ("neg", "It is not a good film."),
    ("pos", "I did not expect to enjoy it this much."),
    ("pos", "You won't regret seeing it."),
    ("neg", "I can't recommend this to anyone."),
    ("pos", "There is nothing wrong with this film."),
    ("neg", "There is nothing good about this film."),
    ("pos", "Hardly a dull moment."),
    ("neg", "Never funny, never moving."),
    ("neg", "The acting is superb, but the film is a bore."),
    ("pos", "The plot is silly, but I loved every minute of it."),
    ("neg", "Great cast, great music, terrible film."),
    ("pos", "I expected to hate it, but it won me over."),
    ("neg", "I wanted to love it, but I could not."),
    ("neg", "A masterpiece, if you enjoy watching paint dry."),
    ("neg", "Oh great, another two hours of my life gone."),
    ("neg", "The best thing about it is the end credits."),
    ("neg", "It would have been a wonderful film with another director."),
    ("pos", "The only bad thing about it is that it ends."),
)


def main() -> None:
    """Explains the texts, writes the explanations, prints a table in Markdown."""
    predictor = Predictor.from_checkpoint()
    records = []
    print(
        "| text | a reader | the model | speaks for its answer | against |\n|---|---|---|---|---|"
    )
    for (reader, _), why in zip(TEXTS, predictor.explain([text for _, text in TEXTS]), strict=True):
        records.append({"reader": reader, **record_of(why)})
        ordered = sorted(why.words, key=lambda word: -word.contribution)
        sides = [
            ", ".join(f"{word.text} {word.contribution:+.2f}" for word in words[:3])
            for words in (
                [word for word in ordered if word.contribution > 0.1],
                [word for word in ordered[::-1] if word.contribution < -0.1],
            )
        ]
        answer = why.label if why.label == reader else f"**{why.label}**"
        cells = [why.text, reader, f"{answer} {why.probability:.0%}", *sides]
        print(f"| {' | '.join(cells)} |")
    right = sum(record["reader"] == record["label"] for record in records)
    print(f"\n{right} of {len(records)} as a reader would answer")
    OUTPUT.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
