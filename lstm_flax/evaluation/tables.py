"""Formats evaluation results for people."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.cells import cell_len, set_cell_size

from lstm_flax.display import escaped

_LABELS = 20  # the most labels shown with their own scores


def result_table(results: dict[str, Any]) -> str:
    """Formats the most important metrics, one per line."""
    if "perplexity" in results:
        what = {
            "tokens": f"{results['tokens']:,}",
            "perplexity": f"{results['perplexity']:.2f}",
            "loss": f"{results['loss']:.4f}",
        }
    else:
        what = {
            "examples": f"{results['examples']:,}",
            "accuracy": f"{results['accuracy']:.2%}",
            **_scores(results),
            "loss": f"{results['calibrated_loss']:.4f} ({results['loss']:.4f} before calibration)",
            "calibration error": f"{results['calibrated_calibration_error']:.2%} "
            f"({results['calibration_error']:.2%} before, temperature "
            f"{results['temperature']:.2f})",
        }
    where = "split" if "split" in results else "file"
    rows = {
        where: escaped(results[where]),
        **what,
        "checkpoint step": f"{results['checkpoint_step']:,}",
        "seconds": f"{results['seconds']:.1f}",
    }
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {value}" for name, value in rows.items()]
    if "confusion" in results:
        names = [escaped(name) for name in results["label_names"]]
        lines += ["", *_label_table(results["confusion"], names)]
    return "\n".join(lines)


def _scores(results: dict[str, Any]) -> dict[str, str]:
    """Formats F1, MCC and AUC; empty for results saved by an older version."""
    if "macro_f1" not in results:
        return {}
    f1 = f"{results['macro_f1']:.2%} macro, {results['weighted_f1']:.2%} weighted"
    auc = results["auc"]
    return {
        "F1": f1,
        "MCC": f"{results['mcc']:.4f}",
        "AUC": "none, as a label does not occur" if auc is None else f"{auc:.4f}",
    }


def label_scores(
    confusion: list[list[int]], names: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Computes precision, recall and F1 of the most frequent labels: a heading and a row per label.

    >>> head, rows = label_scores([[8, 2], [0, 10]], ["neg", "pos"])
    >>> rows[0]
    ['neg', '10', '100.00%', '80.00%', '88.89%', 'pos (2)']
    """
    head = ["label", "texts", "precision", "recall", "F1", "taken most often for"]
    rows: list[list[str]] = []
    counts = np.array(confusion)
    for i in map(int, np.argsort(-counts.sum(axis=1), kind="stable")[:_LABELS]):
        right, texts, answers = counts[i, i], counts[i].sum(), counts[:, i].sum()
        scores = (
            right / max(answers, 1),
            right / max(texts, 1),
            2 * right / max(texts + answers, 1),
        )
        others = np.where(np.arange(len(names)) == i, 0, counts[i])
        worst = f"{names[int(others.argmax())]} ({others.max():,})" if others.any() else ""
        rows.append([names[i], f"{texts:,}", *(f"{score:.2%}" for score in scores), worst])
    return head, rows


def _label_table(confusion: list[list[int]], names: list[str]) -> list[str]:
    r"""Formats the labels' scores as lines; a wide character takes two columns.

    >>> print("\n".join(_label_table([[8, 2], [0, 10]], ["neg", "pos"])))
      label    texts  precision  recall      F1  taken most often for
      neg         10    100.00%  80.00%  88.89%  pos (2)
      pos         10     83.33% 100.00%  90.91%
    """
    head, rows = label_scores(confusion, names)
    width = max(5, *(cell_len(name) for name in names))
    lines = []
    for row in [head, *rows]:
        name, *cells, worst = row
        numbers = " ".join(f"{c:>{w}}" for c, w in zip(cells, (8, 10, 7, 7), strict=True))
        lines.append(f"  {set_cell_size(name, width)} {numbers}  {worst}".rstrip())
    if len(names) > _LABELS:
        lines.append(f"  and {len(names) - _LABELS} rarer labels: `confusion` in the JSON has all")
    return lines
