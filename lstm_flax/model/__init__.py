"""Modules and pure functions: no files, no checkpoints, no data."""
