"""From text to token batches. No module in this package imports jax."""
