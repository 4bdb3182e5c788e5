"""Checkpoints changed on purpose, with manifests that vouch for the change."""

from pathlib import Path

from lstm_flax.checkpoints.manifest import MANIFEST, write_manifest


def reseal(checkpoint: Path) -> None:
    """Writes the manifest anew, as a program that saved these very files would have."""
    write_manifest(checkpoint / MANIFEST, int(checkpoint.name))
