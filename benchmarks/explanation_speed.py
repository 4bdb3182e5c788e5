"""Times one explanation of a review of 400 tokens, with the model already loaded.

python benchmarks/explanation_speed.py
"""

import json
import os
import time

from lstm_flax import Predictor
from lstm_flax.devices.program_cache import keep_compiled_programs

WORDS = "a slow start but the acting is superb and I never lost interest in these people . "


def main() -> None:
    """Prints the first call, which compiles or loads cached programs, and five more."""
    keep_compiled_programs()
    predictor = Predictor.from_checkpoint()
    text = " ".join((WORDS * 30).split()[:400])
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        predictor.explain([text])
        seconds.append(round(time.perf_counter() - start, 3))
    tokens = len(predictor.states(text).tokens)
    cores = len(os.sched_getaffinity(0))
    print(json.dumps({"tokens": tokens, "cores": cores, "first": seconds[0], "next": seconds[1:]}))


if __name__ == "__main__":
    main()
