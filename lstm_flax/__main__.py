"""`python -m lstm_flax` is `lstm-flax`."""

import sys

from lstm_flax.cli import main

sys.exit(main())
