"""Trains and evaluates an LSTM text classifier.

    python train.py --config=configs/imdb.py --workdir=DIR [--config.any.field=value]
        [--mode=train|evaluate] [--split=test] [--checkpoint=best|last]

The same as the installed command `lstm-flax train` (or `evaluate`), from a checkout.
"""

import argparse
import sys

from lstm_flax.cli import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--mode", choices=("train", "evaluate"), default="train")
    mode, rest = parser.parse_known_args()
    sys.exit(main([mode.mode, *rest]))
