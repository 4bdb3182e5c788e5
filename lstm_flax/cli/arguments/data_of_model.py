"""The data to use with a restored model: the user names it, never the checkpoint."""

import dataclasses
from collections.abc import Sequence

from lstm_flax.config import Config, as_config_dict, data_places, refuse_changes
from lstm_flax.config.files import load_config
from lstm_flax.data.sources.hugging_face import is_folder_of_own
from lstm_flax.errors import UserError

# Fields that determine the training part although they are paths.
_FURTHER_PLACES = ("extra_train_path",)


def config_of_model(
    saved: Config, name: str | None, overrides: Sequence[str], where: str
) -> Config:
    """Returns a model's configuration with only those paths that the command line names.

    The paths in a checkpoint describe where its data was. A checkpoint may come from anyone, so the
    files it names are neither read nor written.

    Args:
        saved: the checkpoint's configuration.
        name: `--config`, a configuration to take the paths from; None if not given.
        overrides: `--config.data.FIELD=VALUE` flags.
        where: the model's folder, for messages.

    Raises:
        UserError: the data is in files that the user did not name, or a field other than a path
            differs.
    """
    base = as_config_dict(saved)
    with base.ignore_type():
        base.init_from = None
        for place in (*data_places(), *_FURTHER_PLACES):
            base.data[place] = None
    values = load_config(name, overrides, base=base)
    nowhere = values.data.source == "files" and not (
        values.data.train_path or values.data.token_cache
    )
    if nowhere:
        with values.ignore_type():
            values.data.train_path = saved.data.train_path or "PATH"
    config = Config.from_config_dict(values)
    advice = (
        "a model is evaluated as it was trained: leave that field out; what may differ is where "
        f"the data lies, config.data.{', '.join(data_places())}; `lstm-flax evaluate --file` "
        "scores any labelled texts"
    )
    kept = {place: getattr(saved.data, place) for place in _FURTHER_PLACES}
    same = dataclasses.replace(
        config, data=dataclasses.replace(config.data, **kept), init_from=saved.init_from
    )
    refuse_changes(saved, same, where, advice)
    source_is_named = name is not None or any("config.data.source" in word for word in overrides)
    if is_folder_of_own(saved.data.source) and not source_is_named:
        raise UserError(
            f"{where}: its data lay in a folder, {saved.data.source!r}; what a checkpoint names is "
            f"not read: name it, --config.data.source={saved.data.source}, or, if the run is "
            "yours, --config=RUN/config.json"
        )
    if nowhere:
        raise UserError(
            f"{where}: its data lay in files of its own, {saved.data.train_path!r} for one; what a "
            "checkpoint names is not read: name them, --config.data.train_path=PATH and so on, or, "
            "if the run is yours, --config=RUN/config.json; `lstm-flax evaluate --file` scores any "
            "labelled texts"
        )
    return config
