"""Reviews for the benchmarks: IMDB's training split, a token cache, or made-up ones.

IMDB's test split is never opened, because measuring time does not need it.
"""

import contextlib
import json
import lzma
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lstm_flax.config import Config
from lstm_flax.config.files import load_config
from lstm_flax.data.cache_files import digest, read_manifest, write_manifest
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.opening import FORMAT_VERSION, open_dataset
from lstm_flax.data.sources.imdb_films import film_table
from lstm_flax.data.token_cache import write_split
from lstm_flax.errors import UserError
from lstm_flax.files import write_text
from lstm_flax.text.hashing import text_hashes
from lstm_flax.text.tokenized import TokenizedSplit

_IMDB = str(Path(__file__).parents[1] / "configs" / "imdb.py")
_MOODS = {"neg": ("dull", "wooden", "awful", "tired"), "pos": ("bright", "superb", "warm", "brave")}
_WORDS = ("the", "film", "a", "story", "with", "actors", "and", "music", "in", "this", "scene")


def imdb_config(
    token_cache: Path | None = None, made_up: Path | None = None, overrides: Sequence[str] = ()
) -> Config:
    """Returns `configs/imdb.py` with the labelled reviews alone; see `imdb_flags`."""
    flags = [*imdb_flags(token_cache, made_up)[1:], *overrides]
    return Config.from_config_dict(load_config(_IMDB, flags))


def imdb_flags(token_cache: Path | None = None, made_up: Path | None = None) -> list[str]:
    """Returns the flags with which `lstm-flax train` uses that configuration.

    Args:
        token_cache: a folder made by `lstm-flax prepare`, to start from it alone.
        made_up: a folder for made-up reviews instead, for a trial in seconds.
    """
    flags = [f"--config={_IMDB}", "--config.data.use_unlabelled=false"]
    flags.append("--config.model.dtype=float32")  # the same on every machine
    if made_up is not None:
        path = made_up / "train.jsonl"
        if not path.exists():
            write_made_up_reviews(path, 600)
        flags += [
            "--config.data.source=files",
            f"--config.data.train_path={path}",
            f"--config.data.cache_dir={made_up / 'cache'}",
            "--config.tokenizer.vocab_size=40",
        ]
    if token_cache is not None:
        flags += cache_flags(token_cache)
    return flags


def cache_flags(token_cache: Path) -> list[str]:
    """Returns the flags that start a run from a token cache alone, whatever its settings are."""
    manifest = json.loads((token_cache / "dataset.json").read_text(encoding="utf-8"))
    return [f"--config.data.token_cache={token_cache}"] + [
        f"--config.{area}.{name}={value}"
        for area, fields in manifest["settings"].items()
        for name, value in fields.items()
    ]


def write_made_up_reviews(path: Path, count: int) -> None:
    """Writes a .jsonl file of labelled texts of 20 to 400 words, identical each time."""
    rng = random.Random(0)
    lines = []
    for index in range(count):
        label = ("neg", "pos")[index % 2]
        words = rng.choices(_WORDS + _MOODS[label], k=rng.randint(20, 400))
        lines.append(json.dumps({"text": f"{index} {' '.join(words)}", "label": label}) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")


def write_made_up_cache(folder: Path) -> Path:
    """Writes a token cache of made-up reviews with all splits of IMDB, unlabelled texts included.

    The unlabelled texts are also in a file, `unlabelled.jsonl` in the given folder.

    Returns:
        The cache's own folder, inside the given one.
    """
    config = imdb_config(made_up=folder)
    dataset = open_dataset(config.data, config.tokenizer)
    for name in ("train", "development", "test"):
        dataset.split(name)
    texts = dataset.texts("train").texts[::2]
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    (folder / "unlabelled.jsonl").write_text("".join(lines), encoding="utf-8")
    write_split(
        dataset.folder / "unsupervised",
        dataset.tokenizer.encode_batch(texts),
        np.full(len(texts), -1),
        np.zeros(len(texts)),
        dataset.tokenizer.vocab_size,
        "unlabelled",
    )
    manifest = read_manifest(dataset.folder, FORMAT_VERSION)
    assert manifest is not None
    manifest["splits"] = list(dict.fromkeys([*dataset.splits, "unsupervised"]))
    write_manifest(dataset.folder, manifest)
    return dataset.folder


def read_texts(path: Path) -> list[str]:
    """Reads the texts of a file; blank ones are left out.

    Args:
        path: one text per line, or .jsonl with a field `text`; .xz after either name for a
            compressed file.

    Raises:
        UserError: it cannot be read, or a line of a .jsonl file is not such a record.
    """
    texts = []
    with _lines_of(path) as lines:
        is_jsonl = ".jsonl" in path.suffixes
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if is_jsonl:
                try:
                    line = json.loads(line)["text"]
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(
                        f"{path}:{number}: not a JSON object with a field 'text' "
                        f"({type(error).__name__}); correct the line, or give plain text as .txt"
                    ) from error
            # The output has one text per line; to the tokenizer, a line break is a space.
            text = line.replace("\r", " ").replace("\n", " ").strip(" ")
            if text.strip():
                texts.append(text)
    return texts


@contextlib.contextmanager
def _lines_of(path: Path) -> Iterator[Iterator[str]]:
    opened = lzma.open if path.suffix == ".xz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="\n") as lines:
            yield lines
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a text file in UTF-8") from error


def write_unlabelled(path: Path, folder: Path) -> Path:
    """Writes a file's texts, without IMDB test reviews, for `lstm-flax predict --file`.

    Args:
        path: see `read_texts`.
        folder: where to write.

    Returns:
        The file, with one text per line. Its name changes with its content, and so does any command
        that names it.
    """
    texts = np.array(read_texts(path), dtype=object)
    texts = texts[~np.isin(text_hashes(texts), film_table().unsupervised_in_test)]
    if not len(texts):
        raise UserError(f"{path}: holds no text; give one a line")
    content = "\n".join(texts) + "\n"
    target = folder / f"unlabelled-{digest(content)}.txt"
    write_text(target, content)
    return target


def labelled_reviews(dataset: Dataset) -> TokenizedSplit:
    """Returns training and development parts as one: all 25,000 of IMDB."""
    return TokenizedSplit.concatenate([dataset.split(name) for name in ("train", "development")])


def review_texts(config: Config, limit: int) -> list[str]:
    """Returns up to `limit` texts of the training and development parts.

    If only a token cache is available, they are assembled from its tokens: as long as the reviews,
    with lower-case words separated by spaces.
    """
    dataset = open_dataset(config.data, config.tokenizer)
    try:
        texts = [text for name in ("train", "development") for text in dataset.texts(name).texts]
    except UserError:
        split = labelled_reviews(dataset)
        texts = [dataset.tokenizer.decode(split[i]) for i in range(min(limit, len(split)))]
    return texts[:limit]
