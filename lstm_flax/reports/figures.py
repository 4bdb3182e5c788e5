"""Report figures drawn by matplotlib as SVG: text stays text, and nothing is loaded."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from lstm_flax.errors import UserError
from lstm_flax.reports.curves import Curves
from lstm_flax.reports.page import visible

_BLUE, _ORANGE, _GREY = "#0050b3", "#c85500", "#888888"
_POINTS = 200  # the most points of a curve: more are not visible
_BINS = 10


def check_installed() -> None:
    """Checks that matplotlib and scikit-learn are installed; raises `UserError` if not."""
    try:
        import matplotlib
        import sklearn  # noqa: F401  # only to see if it is installed
    except ImportError as error:
        raise UserError("reports need the extra: pip install 'lstm-flax[report]'") from error
    assert matplotlib is not None


def save(figure: Any, kind: str = "svg") -> bytes:
    """Saves a figure as the bytes of an SVG or PNG file, identical each time."""
    import matplotlib

    content = io.BytesIO()
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "lstm_flax"}
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(settings):
        figure.savefig(content, format=kind, metadata=metadata, dpi=110)
    return content.getvalue()


def as_address(svg: bytes) -> str:
    """Encodes an SVG as an address for `<img src=...>`, where its scripts cannot run."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def learning_curves(curves: Curves) -> Any:
    """Draws the loss by step, and the development accuracy by epoch."""
    figure, (left, right) = _axes(2)
    steps, loss, accuracy = curves.development.T
    every = len(curves.loss) // 2_000 + 1  # more points would not be visible
    left.plot(*curves.loss[::every].T, color=_GREY, label="training")
    left.plot(steps, loss, "o-", color=_BLUE, label="development")
    left.set(xlabel="step", ylabel="loss (nats)", ylim=(0, None))
    right.plot(*curves.training.T, "o-", color=_GREY, label="training")
    right.plot(steps, accuracy, "o-", color=_BLUE, label="development")
    right.set(xlabel="step", ylabel="accuracy at an epoch's end")
    for axes in (left, right):
        axes.legend(frameon=False)
    return figure


def confusion(counts: np.ndarray, names: Sequence[str]) -> Any:
    """Draws counts with true labels as rows, coloured by the fraction of each row."""
    figure, (axes,) = _axes(1, max(3.6, 0.45 * len(names) + 2))
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    shown = [_plain(name) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), shown)
    axes.set(xlabel="answered", ylabel="true")
    if len(names) <= 20:
        for i, j in np.ndindex(*counts.shape):
            ink = "white" if parts[i, j] > 0.6 else "black"
            axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", color=ink, fontsize=9)
    return figure


def rankings(probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Any:
    """Draws ROC and precision-recall curves by label; with two labels, those of the second."""
    from sklearn.metrics import (
        average_precision_score,
        precision_recall_curve,
        roc_auc_score,
        roc_curve,
    )

    figure, (left, right) = _axes(2)
    classes = range(1, 2) if len(names) == 2 else range(len(names))
    for c in list(classes)[:10]:
        own = labels == c
        if not 0 < own.sum() < len(own):
            continue
        rate, found, _ = roc_curve(own, probabilities[:, c])
        area = roc_auc_score(own, probabilities[:, c])
        left.plot(*_thin(rate, found), label=f"{_plain(names[c])}: AUC {area:.4f}")
        precision, recall, _ = precision_recall_curve(own, probabilities[:, c])
        mean = average_precision_score(own, probabilities[:, c])
        right.plot(*_thin(recall, precision), label=f"{_plain(names[c])}: mean {mean:.4f}")
    left.plot([0, 1], [0, 1], ":", color=_GREY)
    left.set(xlabel="false positives", ylabel="true positives", title="ROC")
    right.set(xlabel="recall", ylabel="precision", title="precision and recall", ylim=(0, 1.02))
    for axes in (left, right):
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, loc="lower left" if axes is right else "lower right")
    return figure


def reliability(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> Any:
    """Draws accuracy by confidence, before and after calibration."""
    figure, (axes,) = _axes(1)
    for probabilities, colour, name in ((before, _GREY, "before"), (after, _BLUE, "after")):
        confidence = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == labels
        place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
        used = [b for b in range(_BINS) if (place == b).any()]
        axes.plot(
            [confidence[place == b].mean() for b in used],
            [right[place == b].mean() for b in used],
            "o-", color=colour, label=f"{name} calibration",
        )  # fmt: skip
    axes.plot([0, 1], [0, 1], ":", color=_GREY)
    lowest = 1 / before.shape[1]
    axes.set(xlabel="mean probability of the answer", ylabel="accuracy", xlim=(lowest - 0.02, 1.02))
    axes.legend(frameon=False)
    return figure


def accuracy_by(groups: Sequence[tuple[str, np.ndarray]], right: np.ndarray, what: str) -> Any:
    """Draws the accuracy of groups of texts, with counts and a 95% interval (Wilson 1927)."""
    figure, (axes,) = _axes(1)
    names, scores, low, high = [], [], [], []
    for name, chosen in groups:
        count = int(chosen.sum())
        if count == 0:
            continue
        p, z = float(right[chosen].mean()), 1.96
        middle = (p + z * z / (2 * count)) / (1 + z * z / count)
        half = z * np.sqrt(p * (1 - p) / count + z * z / (4 * count**2)) / (1 + z * z / count)
        names.append(f"{_plain(name)}\n{count:,}")
        scores.append(p)
        low.append(max(p - middle + half, 0.0))
        high.append(max(middle + half - p, 0.0))
    axes.bar(range(len(names)), scores, color=_BLUE, alpha=0.75, yerr=[low, high], ecolor=_ORANGE)
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel=what, ylabel="accuracy", ylim=(max(0, min(scores, default=0) - 0.15), 1))
    return figure


def length_groups(lengths: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Groups texts by length into up to six groups of about equal size.

    >>> [name for name, _ in length_groups(np.array([3, 5, 8, 9]))]
    ['3', '5', '8', '9']
    """
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, 7)[1:], method="inverted_cdf"))
    groups, last = [], 0
    for edge in edges:
        chosen = (lengths > last) & (lengths <= edge)
        first = int(lengths[chosen].min()) if chosen.any() else int(edge)
        groups.append((f"{first}-{edge}" if first != edge else f"{edge}", chosen))
        last = edge
    return groups


def confidence_groups(confidence: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Groups texts by the probability of their answer, in tenths."""
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return [(f"{b / _BINS:.1f}-{(b + 1) / _BINS:.1f}", place == b) for b in range(_BINS)]


def _plain(text: str) -> str:
    """Escapes a text for matplotlib: a dollar sign must not begin a formula."""
    return visible(text).replace("$", r"\$")


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(int))
    return x[chosen], y[chosen]


def _axes(count: int, size: float = 3.8) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.25 * size * count, size), layout="constrained")
    axes = [figure.add_subplot(1, count, k + 1) for k in range(count)]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes
