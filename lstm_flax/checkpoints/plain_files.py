"""Plain files as an item of an Orbax checkpoint."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import orbax.checkpoint as ocp

from lstm_flax.devices.processes import is_first


class PlainFilesHandler(ocp.CheckpointHandler):
    """Writes the contents of a few small files, by name, into the item's own folder."""

    def save(self, directory: Any, args: "SaveFiles") -> None:
        """Writes every file, in the first process only."""
        for name, content in args.files.items() if is_first() else ():
            (directory / name).write_bytes(content)

    def restore(self, directory: Any, args: Any = None) -> Any:
        """Raises: plain files in the checkpoint are read directly."""
        raise TypeError("plain files are read as files")


@ocp.args.register_with_handler(PlainFilesHandler, for_save=True, for_restore=True)
@dataclasses.dataclass
class SaveFiles(ocp.args.CheckpointArgs):
    """The contents of the files, by name."""

    files: Mapping[str, bytes]
