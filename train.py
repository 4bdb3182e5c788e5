"""Trains or evaluates an LSTM text classifier, from a checkout.

    python train.py --config=configs/imdb.py --workdir=DIR [--config.any.field=value]
        [--mode=train|evaluate] [--split=test] [--checkpoint=best|last]

Equivalent to the installed commands `lstm-flax train` and `lstm-flax evaluate`.
"""

import argparse
import sys

from lstm_flax.__main__ import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--mode", nargs="?", default="train")
    known, rest = parser.parse_known_args()
    if {"-h", "--help"} & set(rest):
        print(__doc__)
    if known.mode not in ("train", "evaluate"):
        print(f"error: --mode={known.mode}: choose train or evaluate", file=sys.stderr)
        sys.exit(2)
    main([known.mode, *rest])
