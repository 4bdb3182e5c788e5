"""Checkpoints: writing, reading, and the model that comes with the package."""
