"""Reads and writes the lines and tables of `lstm-flax predict`."""
