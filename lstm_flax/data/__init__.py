"""Text to token batches. Nothing in this room imports jax."""
