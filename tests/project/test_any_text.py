"""The benchmark of the automatic recipe: its parts, and the table it prints."""

import argparse
import json
import lzma
from pathlib import Path

from any_text import key_of, read_lines, table, write_parts


def line(system: str, seed: int | None, **scores: float) -> dict:
    return {"set": "subj", "part": "test", "examples": 0, "system": system, "seed": seed} | scores


LINES = [
    line("baselines", None, tfidf=0.9, nbsvm=0.88, tested=900),
    line("automatic", 0, accuracy=0.91, seconds=60),
    line("automatic", 1, accuracy=0.93, seconds=80),
    line("tried", 0, accuracy=0.85, seconds=50),
]


def test_the_margin_is_over_the_better_linear_model() -> None:
    rows = table(LINES).splitlines()
    assert rows[2] == "| subj | all | 90.00 | 88.00 | 92.00 ± 1.41 | 2 | +2.00 | 0.90 | 70 |"
    assert "| subj, tried |" in rows[3]
    assert "| -5.00 |" in rows[3]
    assert table(LINES[:3]).endswith("Mean margin, all examples: +2.00")
    assert "subj" not in table(LINES[:1])
    assert len({key_of(line) for line in LINES}) == 4


def test_to_select_the_test_part_stays_closed(tmp_path: Path) -> None:
    rows = [{"text": f"text number {i}", "label": i % 2} for i in range(100)]
    with lzma.open(tmp_path / "subj.train.jsonl.xz", "wt") as file:
        file.write("\n".join(map(json.dumps, rows)))
    arguments = argparse.Namespace(output=tmp_path, data=tmp_path, select=True, examples=60)
    learn, score = (read_lines(path) for path in write_parts("subj", arguments))
    assert (len(learn), len(score)) == (60, 14)
    assert not {row["text"] for row in learn} & {row["text"] for row in score}
