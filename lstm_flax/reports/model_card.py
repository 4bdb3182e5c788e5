"""The model card of a run, in Markdown (Mitchell et al. 2019): purpose, scores and limits."""

from collections.abc import Mapping
from typing import Any

from lstm_flax.reports.page import visible
from lstm_flax.reports.scored_run import ScoredRun


def model_card(run: ScoredRun, baselines: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Formats the card of a run.

    Args:
        run: a scored run.
        baselines: scores of linear models on the same data, see `score_baselines`.
    """
    metadata, metrics = run.trained.metadata, run.metrics
    config, data, model = metadata.config, metadata.config.data, metadata.config.model
    train = run.audit.statistics["train"]
    kind = {"ratios": "log-count ratios", "regression": "regression weights"}[model.ngram_weights]
    ngrams = f", {kind} of 1- to {model.ngram_order}-grams" if model.ngram_order else ""
    facts = {
        "answers": ", ".join(map(_code, metadata.label_names)) + ", with calibrated probabilities",
        "architecture": f"{metadata.encoder.vocab_size:,} {config.tokenizer.kind} tokens x "
        f"{model.embedding_size}{ngrams}, {model.num_layers} "
        f"{'bidirectional ' if model.bidirectional else ''}{model.cell.upper()} layer(s) of "
        f"{model.hidden_size}, pooling {_code(model.pooling)}"
        + (", sentence by sentence" if model.hierarchy == "sentences" else ""),
        "trained on": f"{train.examples:,} texts of {_code(data.source)}"
        + (f", {_code(data.train_path)}" if data.train_path else ""),
        "starts from": _code(config.init_from) if config.init_from else "random weights",
        "selected on": "the development part"
        if "development" in run.audit.statistics
        else "nothing: the last epoch",
        "seed": str(config.training.seed),
        "reads": f"at most {data.max_length} tokens of a text ({data.truncation})",
    }
    auc = "none" if metrics["auc"] is None else f"{metrics['auc']:.4f}"
    scores = {
        "accuracy": f"**{metrics['accuracy']:.2%}**",
        "F1, macro / weighted": f"{metrics['macro_f1']:.2%} / {metrics['weighted_f1']:.2%}",
        "MCC": f"{metrics['mcc']:.4f}",
        "AUC": auc,
        "calibration error, after / before": f"{metrics['calibrated_calibration_error']:.2%} / "
        f"{metrics['calibration_error']:.2%}",
    }
    for name, beside in (baselines or {}).items():
        scores[f"accuracy of {name}, a linear model"] = f"{beside['accuracy']:.2%}"
    counts = "; ".join(f"{_code(label)} {count:,}" for label, count in train.label_counts.items())
    warnings = [f"- {_plain(warning)}" for warning in run.audit.warnings] or ["- None found."]
    longest = train.length_quantiles[2]
    lines = [
        f"# Model card: {_plain(str(run.workdir))}",
        "",
        *_table(facts),
        "",
        f"## Scores on the {run.split} part, {metrics['examples']:,} texts",
        "",
        *_table(scores),
        "",
        "## Training data",
        "",
        f"{counts}. Nine in ten texts have up to {longest:,} tokens; {train.unknown_rate:.2%} of "
        f"the tokens are unknown to the model; {train.duplicates:,} texts occur twice.",
        "",
        "Likely mistakes in it:",
        "",
        *warnings,
        "",
        "## Limits",
        "",
        "- On texts of another kind, source or language than the training data its scores are not "
        "known, and its probabilities are not calibrated.",
        "- It can only answer with one of these labels, and does so for every text.",
        "- It was not examined for differences between the groups of people that texts are by or "
        "about.",
        "",
    ]
    return "\n".join(lines)


def _table(rows: Mapping[str, str]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _plain(text: str) -> str:
    """Escapes text so Markdown shows it unchanged."""
    shown = " ".join(visible(text).split())
    return "".join(f"\\{c}" if c in r"\`*_[]<>|#&" else c for c in shown)


def _code(text: object) -> str:
    """Formats text as code, whatever it contains."""
    return "`" + " ".join(visible(str(text)).split()).replace("`", "'").replace("|", "/") + "`"
