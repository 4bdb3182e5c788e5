"""Files of texts and labels, and the configuration that reads them."""

import csv
import json

from lstm_flax.config import DataConfig

ROWS = [
    ("plain and short", "pos"),
    ('with "quotes", commas and a\nline break', "neg"),
    ("中文评论 😀", "pos"),
    ("x" * 200_000, "neg"),
]


def write(path, rows=ROWS, columns=("text", "label")):
    if path.suffix == ".jsonl":
        lines = [
            json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([columns, *rows])
    return path


def config_of(train, **values):
    return DataConfig(
        source="files",
        train_path=str(train),
        **{"development_fraction": 0.0, "test_fraction": 0.0} | values,
    )
