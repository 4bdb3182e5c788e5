"""Plain files as an item of an Orbax checkpoint."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import orbax.checkpoint as ocp


class PlainFilesHandler(ocp.CheckpointHandler):
    """Writes and reads the contents of a few small files, by name, in the item's own folder."""

    def save(self, directory: Any, args: "SaveFiles") -> None:
        """Writes every file."""
        for name, content in args.files.items():
            (directory / name).write_bytes(content)

    def restore(self, directory: Any, args: "RestoreFiles | None" = None) -> dict[str, bytes]:
        """Reads every file; `FileNotFoundError` where the folder is gone."""
        return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@ocp.args.register_with_handler(PlainFilesHandler, for_save=True)
@dataclasses.dataclass
class SaveFiles(ocp.args.CheckpointArgs):
    """Contents by name."""

    files: Mapping[str, bytes]


@ocp.args.register_with_handler(PlainFilesHandler, for_restore=True)
@dataclasses.dataclass
class RestoreFiles(ocp.args.CheckpointArgs):
    """Asks for all files."""
