"""The files of a run: its configuration written, what it leaves read back for comparison."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np

from lstm_flax.checkpoints.folder import find_checkpoints
from lstm_flax.checkpoints.restore import build_model, init_params
from lstm_flax.config import Config
from lstm_flax.data.dataset import open_dataset
from lstm_flax.data.token_cache import write_split
from lstm_flax.devices.sharding import abstract, evaluation_mesh
from lstm_flax.models.language_model import LanguageModel
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.train_state import TrainState
from tests.conftest import templated_texts


def leaves(workdir: Path, kind: str = "last") -> list[np.ndarray]:
    """Every array of a run's newest checkpoint."""
    folder, (step, *_) = find_checkpoints(workdir, kind)
    metadata = folder.metadata(step)
    model = build_model(metadata.config, metadata.tokenizer.vocab_size, len(metadata.label_names))
    # Total steps shape only the schedule, not the state.
    optimizer = make_optimizer(metadata.config.optimizer, 1)
    average = metadata.config.training.ema_decay > 0
    language = isinstance(model, LanguageModel)

    def create() -> TrainState:
        params = init_params(model, jax.random.PRNGKey(0))
        carry = model.initial_carry(metadata.config.data.batch_size) if language else None
        return TrainState.create(params, optimizer, jax.random.PRNGKey(0), average, carry)

    like = abstract(jax.eval_shape(create), evaluation_mesh(batch_size=1))
    state = folder.restore_state(step, like)
    folder.close()
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def cache_with_unlabelled(config: Config, folder: Path) -> Path:
    """A token cache of a configuration's texts that holds 45 unlabelled ones too."""
    data = dataclasses.replace(config.data, cache_dir=str(folder))
    dataset = open_dataset(dataclasses.replace(config, data=data))
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
    manifest = json.loads((dataset.folder / "dataset.json").read_text())
    manifest["splits"].append("unsupervised")
    (dataset.folder / "dataset.json").write_text(json.dumps(manifest))
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
