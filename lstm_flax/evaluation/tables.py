"""The results of an evaluation as a person reads them."""

from typing import Any

import numpy as np

from lstm_flax.display import escaped

_LABELS = 20  # shown with scores of their own, at most


def result_table(results: dict[str, Any]) -> str:
    """The metrics a person wants first, one a line."""
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


def _label_table(confusion: list[list[int]], names: list[str]) -> list[str]:
    r"""How well each of the most frequent labels is found.

    >>> print("\n".join(_label_table([[8, 2], [0, 10]], ["neg", "pos"])))
      label    texts  precision  recall      F1  taken most often for
      neg         10    100.00%  80.00%  88.89%  pos (2)
      pos         10     83.33% 100.00%  90.91%
    """
    width = max(5, *(len(name) for name in names))
    head = f"  {'label':<{width}} {'texts':>8} {'precision':>10} {'recall':>7} {'F1':>7}"
    lines = [f"{head}  taken most often for"]
    counts = np.array(confusion)
    for i in np.argsort(-counts.sum(axis=1), kind="stable")[:_LABELS]:
        right, texts, answers = counts[i, i], counts[i].sum(), counts[:, i].sum()
        scores = (
            right / max(answers, 1),
            right / max(texts, 1),
            2 * right / max(texts + answers, 1),
        )
        percent = " ".join(f"{f:>{w}.2%}" for f, w in zip(scores, (10, 7, 7), strict=True))
        others = np.where(np.arange(len(names)) == i, 0, counts[i])
        worst = f"{names[others.argmax()]} ({others.max():,})" if others.any() else ""
        lines.append(f"  {names[i]:<{width}} {texts:>8,} {percent}  {worst}".rstrip())
    if len(names) > _LABELS:
        lines.append(f"  and {len(names) - _LABELS} rarer labels: `confusion` in the JSON has all")
    return lines
