"""The report of one or more runs as one page."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstm_flax.evaluation.metrics import class_probabilities
from lstm_flax.evaluation.tables import label_scores
from lstm_flax.inference.predictor import Predictor
from lstm_flax.reports import figures
from lstm_flax.reports.explanation_page import coloured_text, shades_style
from lstm_flax.reports.page import markup, page, table
from lstm_flax.reports.scored_run import Answers, ScoredRun

SCORES = ("accuracy", "macro_f1", "weighted_f1", "mcc", "auc", "calibrated_loss")
MISTAKES = 10
_SHOWN = 200  # words of a text shown with its explanation


def draw_figures(run: ScoredRun) -> dict[str, Any]:
    """Draws the figures of a run, keyed by the names of their files."""
    names, answers = run.trained.metadata.label_names, run.answers
    probabilities, labels = answers.probabilities, answers.labels
    right = probabilities.argmax(axis=1) == labels
    groups = [(names[c], labels == c) for c in np.argsort(-np.bincount(labels))[:10]]
    return {
        "learning_curves": figures.learning_curves(run.curves),
        "confusion": figures.confusion(np.array(run.metrics["confusion"]), names),
        "rankings": figures.rankings(probabilities, labels, names),
        "reliability": figures.reliability(
            class_probabilities(answers.logits), probabilities, labels
        ),
        "accuracy_by_length": figures.accuracy_by(
            figures.length_groups(answers.lengths), right, "tokens of the text"
        ),
        "accuracy_by_confidence": figures.accuracy_by(
            figures.confidence_groups(probabilities.max(axis=1)), right, "probability of the answer"
        ),
        "accuracy_by_label": figures.accuracy_by(groups, right, "true label"),
    }


def report_page(
    runs: Sequence[ScoredRun],
    drawn: Sequence[Mapping[str, Any]],
    baselines: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Builds the page.

    Args:
        runs: at least one.
        drawn: the figures of each run, see `draw_figures`.
        baselines: scores of linear models on the first run's data, see `score_baselines`.
    """
    parts = [comparison(runs)] if len(runs) > 1 else []
    for number, (run, of_run) in enumerate(zip(runs, drawn, strict=True)):
        parts.append(_section(run, of_run, baselines if number == 0 else None))
    title = f"{runs[0].workdir}" if len(runs) == 1 else f"{len(runs)} runs"
    return page(f"Report: {title}", "\n".join(parts), shades_style())


def comparison(runs: Sequence[ScoredRun]) -> str:
    """Compares runs, with the mean and spread of those that differ only in their seed."""
    rows: list[list[object]] = [
        [run.workdir, run.trained.metadata.config.training.seed, *_cells(run.metrics)]
        for run in runs
    ]
    alike: dict[str, list[ScoredRun]] = {}
    for run in runs:
        config = run.trained.metadata.config
        same = dataclasses.replace(config, training=dataclasses.replace(config.training, seed=0))
        alike.setdefault(json.dumps([same.to_dict(), run.split]), []).append(run)
    for group in alike.values():
        if len(group) < 2:
            continue
        cells: list[object] = []
        for score in SCORES:
            values = [run.metrics[score] for run in group if run.metrics[score] is not None]
            spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{np.mean(values):.4f} ± {spread:.4f}" if values else "")
        rows.append([f"mean ± deviation of {len(group)} seeds", "", *cells])
    return "<h2>Side by side</h2>\n" + table(["run", "seed", *_names()], rows)


def _section(
    run: ScoredRun, drawn: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]] | None
) -> str:
    metadata, names = run.trained.metadata, run.trained.metadata.label_names
    metrics = run.metrics
    rows: list[list[object]] = [[f"this run, step {run.trained.step:,}", *_cells(metrics)]]
    for name, scores in (baselines or {}).items():
        rows.append([name, f"{scores['accuracy']:.4f}", *[""] * (len(SCORES) - 1)])
    parts = [
        f"<section><h2><bdi>{markup(run.workdir)}</bdi></h2>",
        f"<p>{metrics['examples']:,} texts of the {markup(run.split)} part.</p>",
        table(["", *_names()], rows),
        f"<p>Calibration error {metrics['calibrated_calibration_error']:.2%} "
        f"({metrics['calibration_error']:.2%} before; temperature "
        f"{metrics['temperature']:.2f}).</p>",
        "<h3>Labels</h3>",
        table(*label_scores(metrics["confusion"], names)),
        "<h3>Learning curves</h3>",
        _figure(drawn, "learning_curves", _trained_for(run)),
        "<h3>Answers</h3>",
        _figure(drawn, "confusion", "Confusion: counts, coloured by fraction of true label."),
        _figure(drawn, "rankings", "ROC, precision and recall."),
        _figure(drawn, "reliability", "Reliability, before and after calibration."),
        _figure(drawn, "accuracy_by_length", "By length, with the number of texts."),
        _figure(drawn, "accuracy_by_confidence", "By confidence."),
        _figure(drawn, "accuracy_by_label", "By label."),
        "<h3>The surest mistakes</h3>",
        '<p class="small">Blue words support the answer, orange ones oppose it.</p>',
        _mistakes(run, run.answers, explained=True),
        "<h3>Labels that look wrong</h3>",
        f'<p class="small">Of {len(run.training_answers.texts):,} training texts, drawn at random, '
        "those whose label the model contradicts most surely although it was trained on it.</p>",
        _mistakes(run, run.training_answers, explained=False),
        "<h3>Data</h3>",
        _data(run),
        "<h3>Configuration</h3>",
        f"<details><summary>all fields</summary><pre>"
        f"{markup(json.dumps(metadata.config.to_dict(), indent=1, ensure_ascii=False))}"
        "</pre></details></section>",
    ]
    return "\n".join(parts)


def _mistakes(run: ScoredRun, answers: Answers, explained: bool) -> str:
    found = answers.surest_mistakes(MISTAKES)
    if not found:
        return "<p>None.</p>"
    names, probabilities = run.trained.metadata.label_names, answers.probabilities
    texts = [answers.texts[i] for i in found]
    if explained:
        explanations = Predictor(run.trained).explain(texts, check=False)
        shown = [coloured_text(explanation) for explanation in explanations]
    else:
        words = (text.split() for text in texts)
        shown = [
            markup(" ".join(part[:_SHOWN]) + (" ..." if len(part) > _SHOWN else ""))
            for part in words
        ]
    parts = []
    for i, text in zip(found, shown, strict=True):
        answer = int(probabilities[i].argmax())
        parts.append(
            f"<p><strong><bdi>{markup(names[answer])}</bdi></strong> "
            f"{probabilities[i, answer]:.1%}, "
            f"labelled <strong><bdi>{markup(names[int(answers.labels[i])])}</bdi></strong></p>\n"
            f'<p class="text" dir="auto">{text}</p>'
        )
    return "\n".join(parts)


def _data(run: ScoredRun) -> str:
    rows: list[list[object]] = []
    for name, part in run.audit.statistics.items():
        counts = ", ".join(f"{label} {count:,}" for label, count in part.label_counts.items())
        low, median, most, high = part.length_quantiles
        lengths = f"{low} to {high}, median {median}, nine in ten up to {most}"
        unknown, cut = f"{part.unknown_rate:.2%}", f"{part.cut_texts:.1%}"
        rows.append([name, part.examples, counts, lengths, unknown, cut, part.duplicates])
    head = ["part", "texts", "labels", "tokens", "unknown", "cut", "duplicates"]
    warnings = "".join(f"<li><bdi>{markup(warning)}</bdi></li>" for warning in run.audit.warnings)
    return table(head, rows, numbers=False) + (f"<ul>{warnings}</ul>" if warnings else "")


def _trained_for(run: ScoredRun) -> str:
    history = run.trained.metadata.history
    score = "none" if history.best_score is None else f"{history.best_score:.2%}"
    return f"Best development accuracy {score}, after {history.seconds:,.0f} s of training."


def _figure(drawn: Mapping[str, Any], name: str, caption: str) -> str:
    address = figures.as_address(figures.save(drawn[name]))
    return (
        f'<figure><img src="{address}" alt="{markup(caption)}">'
        f"<figcaption>{markup(caption)}</figcaption></figure>"
    )


def _names() -> list[str]:
    return [score.replace("_", " ") for score in SCORES]


def _cells(metrics: Mapping[str, Any]) -> list[object]:
    return ["" if metrics[s] is None else f"{metrics[s]:.4f}" for s in SCORES]
