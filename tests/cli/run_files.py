"""The files of a run: its configuration written, what it leaves read back for comparison."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from lstm_flax.checkpoints.finding import find_checkpoints
from lstm_flax.config import Config
from lstm_flax.data.cache_files import read_manifest, write_manifest
from lstm_flax.data.opening import FORMAT_VERSION, open_dataset
from lstm_flax.data.token_cache import write_split
from tests.conftest import templated_texts


def leaves(workdir: Path, kind: str = "last") -> list[np.ndarray]:
    """Every array of a run's newest checkpoint, as its files hold it."""
    folder, (step, *_) = find_checkpoints(workdir, kind)
    items = []
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        for name in ("params", "averaged_params", "training"):
            path = (folder.path / str(step) / name).absolute()
            if path.is_dir():
                # As numpy arrays, whatever devices they were saved from.
                shapes = ocp.PyTreeCheckpointHandler().metadata(path).tree
                as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
                items.append(reader.restore(path, ocp.args.PyTreeRestore(restore_args=as_numpy)))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(items)]


def cache_with_unlabelled(config: Config, folder: Path) -> Path:
    """A token cache of a configuration's texts that holds 45 unlabelled ones too."""
    data = dataclasses.replace(config.data, cache_dir=str(folder))
    dataset = open_dataset(data, config.tokenizer)
    for name in ("train", "development", "test"):
        dataset.split(name)
    texts = [record["text"] for record in templated_texts(45, seed=7)]
    write_split(
        dataset.folder / "unsupervised",
        dataset.tokenizer.encode_batch(texts),
        np.full(45, -1),
        np.zeros(45),
        dataset.tokenizer.vocab_size,
        "unlabelled",
    )
    manifest = read_manifest(dataset.folder, FORMAT_VERSION)
    assert manifest is not None
    manifest["splits"].append("unsupervised")
    write_manifest(dataset.folder, manifest)
    return dataset.folder


def write_config(path: Path, config: Config) -> Path:
    """Writes a configuration as the file that `--config` takes."""
    values = json.dumps(config.to_dict())
    path.write_text(
        "import json\nfrom lstm_flax.config import Config, as_config_dict\n"
        "def get_config():\n    return as_config_dict(Config.from_config_dict("
        f"json.loads({values!r})))\n"
    )
    return path


def figures(workdir: Path) -> list[dict]:
    """The log without what the clock decides."""
    records = map(json.loads, (workdir / "log.jsonl").read_text().splitlines())
    clock = ("texts_per_second", "tokens_per_second", "seconds_left")
    return [{k: v for k, v in r.items() if k not in clock} for r in records]
