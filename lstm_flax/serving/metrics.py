"""Counts and times of a server, in Prometheus' text format.

Reference: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import bisect
import itertools
from collections import Counter

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts and times of a server's answers; not thread-safe.

    >>> metrics = Metrics()
    >>> metrics.add_request("/predict", 200, seconds=0.004)
    >>> [line for line in metrics.render(waiting=0).splitlines() if "requests_total{" in line]
    ['lstm_flax_requests_total{path="/predict",status="200"} 1']
    """

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(_SECONDS) + 1)
        self._seconds = 0.0
        self._texts = 0
        self._batches = 0

    def add_request(self, path: str, status: int, seconds: float) -> None:
        """Counts a request, and its time if it is to /predict."""
        self._requests[path, status] += 1
        if path == "/predict":
            self._buckets[bisect.bisect_left(_SECONDS, seconds)] += 1
            self._seconds += seconds

    def add_batch(self, texts: int) -> None:
        """Counts texts answered together."""
        self._batches += 1
        self._texts += texts

    def render(self, waiting: int) -> str:
        """Formats all metrics as text.

        Args:
            waiting: number of texts in the queue now.
        """
        lines = _head("requests_total", "counter", "Requests by path and status.")
        for (path, status), count in sorted(self._requests.items()):
            lines.append(f'lstm_flax_requests_total{{path="{path}",status="{status}"}} {count}')
        lines += _head("predict_seconds", "histogram", "Time from a request to its answer.")
        edges = [*map(str, _SECONDS), "+Inf"]
        for edge, count in zip(edges, itertools.accumulate(self._buckets), strict=True):
            lines.append(f'lstm_flax_predict_seconds_bucket{{le="{edge}"}} {count}')
        lines.append(f"lstm_flax_predict_seconds_sum {self._seconds:.6f}")
        lines.append(f"lstm_flax_predict_seconds_count {sum(self._buckets)}")
        for name, kind, meaning, value in (
            ("texts_total", "counter", "Texts classified.", self._texts),
            ("batches_total", "counter", "Batches of texts classified.", self._batches),
            ("waiting_texts", "gauge", "Texts waiting for a batch.", waiting),
        ):
            lines += [*_head(name, kind, meaning), f"lstm_flax_{name} {value}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP lstm_flax_{name} {meaning}", f"# TYPE lstm_flax_{name} {kind}"]
