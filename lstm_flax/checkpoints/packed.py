"""A whole model as bytes: an archive of metadata, text encoder and arrays, without pickle."""

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lstm_flax.checkpoints.arrays import by_name, require_same_arrays
from lstm_flax.checkpoints.metadata import Metadata, parse_values
from lstm_flax.checkpoints.restore import TrainedModel, portable_model
from lstm_flax.checkpoints.sizes import require_finite, require_sizes
from lstm_flax.devices.sharding import data_mesh, replicated
from lstm_flax.errors import UserError, one_line
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.untrusted import reading_arrays

_NAME = "a pickled model"
_STEP = "step"


def pack(trained: TrainedModel) -> bytes:
    """Packs a restored model into bytes, without the location of its checkpoint.

    Args:
        trained: the model.
    """
    params = io.BytesIO()
    np.savez(params, **by_name(trained.params))
    values = trained.metadata.to_json() | {_STEP: trained.step}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("metadata.json", json.dumps(values))
        archive.writestr("params.npz", params.getvalue())
        for name, data in trained.metadata.encoder.to_files().items():
            archive.writestr(f"encoder/{name}", data)
    return content.getvalue()


def unpack(content: bytes) -> TrainedModel:
    """Inverts `pack`, placing the arrays on the available devices.

    Raises:
        UserError: the bytes are damaged, of another version, or not a packed model.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(content):
                raise ValueError("it is compressed")
            files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        values = parse_values(files["metadata.json"], Path(_NAME))
        params = _tree(files["params.npz"])
        step = int(values[_STEP])
    except UserError:
        raise
    # What zipfile, JSON and NumPy raise for damaged, encrypted or otherwise compressed content.
    except (
        *(ValueError, KeyError, TypeError, OSError, EOFError, NotImplementedError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise UserError(f"{_NAME} cannot be read ({one_line(error)}); make it again") from error
    encoder = TextEncoder.from_files(
        {name.removeprefix("encoder/"): data for name, data in files.items() if "/" in name}
    )
    metadata = Metadata.from_json(values, Path(_NAME), encoder)
    config = metadata.config
    require_sizes(_NAME, config, encoder.vocab_size, params)
    model, shapes = portable_model(metadata)
    require_same_arrays(_NAME, params, shapes, values.get("versions"))
    require_finite(_NAME, params)
    mesh = data_mesh(config.data.batch_size)
    return TrainedModel(
        model, jax.device_put(params, replicated(mesh)), metadata, Path(_NAME, str(step)), mesh
    )


def _tree(content: bytes) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    with reading_arrays(), np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for name in arrays.files:
            *sections, leaf = name.split("/")
            place = tree
            for section in sections:
                place = place.setdefault(section, {})
            place[leaf] = arrays[name]
    return tree
