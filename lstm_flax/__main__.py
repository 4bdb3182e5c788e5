"""`python -m lstm_flax` is `lstm-flax`."""

from lstm_flax.cli import program

program()
