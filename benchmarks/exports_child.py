"""Measures one exported folder in a process that imports nothing from `lstm_flax`.

    python benchmarks/exports_child.py FOLDER TEXTS.json OUT.json SINGLE

Started by `exports.py`; its environment needs the packages in the folder's requirements.txt.
"""

import json
import sys
import time

start = time.perf_counter()
sys.path.insert(0, sys.argv[1])
from run import Model  # noqa: E402  # from the exported folder


def main() -> None:
    """Times the start, single texts and all texts; writes the times and the probabilities."""
    with open(sys.argv[2], encoding="utf-8") as file:
        texts = json.load(file)
    model = Model()
    model.predict(texts[:1])
    report = {"start_seconds": time.perf_counter() - start, "one": []}
    single = int(sys.argv[4])
    model.predict(texts[: 20 * 64 : 20])
    for text in texts[:single]:  # every width, in case a runtime compiles for each
        model.predict([text])
    for text in texts[:single]:
        begin = time.perf_counter()
        model.predict([text])
        report["one"].append(time.perf_counter() - begin)
    begin = time.perf_counter()
    report["probabilities"] = model.predict(texts).tolist()
    report["all_seconds"] = time.perf_counter() - begin
    loaded = {"lstm_flax", "jax", "torch", "onnxruntime"} & set(sys.modules)
    report["loaded"] = sorted(loaded)
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        json.dump(report, file)


main()
