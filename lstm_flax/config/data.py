"""`config.data`: source, splits, truncation and batches of the text."""

import dataclasses
import itertools

from lstm_flax.config.fields import Section, field


@dataclasses.dataclass(frozen=True)
class DataConfig(Section, at="data"):
    """Source, splits, truncation and batches of the text.

    Attributes:
        source: name of a data source: `imdb_reviews`, `files` (your own: see `train_path`),
            `tfds:NAME` (any text data set of TensorFlow Datasets), `hf:NAME` (of Hugging Face, or a
            folder that `save_to_disk` wrote), or another one of `lstm_flax/data/sources`.
        data_dir: folder of TensorFlow Datasets; None for $TFDS_DATA_DIR or ~/tensorflow_datasets.
        archive: local aclImdb_v1.tar.gz to prepare `imdb_reviews` from, instead of a download.
        train_path: with `files`: a .jsonl, .csv or .tsv file, or a folder with one folder per
            class.
        development_path: the development part; None cuts one off the training part.
        test_path: the test part; None cuts one off the training part.
        extra_train_path: a .jsonl, .csv or .tsv file of extra labelled texts for the training part
            alone, for example the pseudo-labels that `lstm-flax predict` writes.
        train_examples: number of examples of the training part to learn from, balanced across
            labels as far as possible; 0 for all.
        text_column: name of the text's column, field or TFDS feature.
        label_column: name of the label's column, field or TFDS feature.
        development_fraction: fraction of the training examples held out for selection; 0 for none.
        test_fraction: fraction held out for the final score, if the source has no test split.
        split_seed: seed of both cuts, and of the draw of `train_examples`.
        lowercase: True folds the text to lower case.
        use_unlabelled: True lets the tokenizer and the PPMI-SVD embeddings also learn from the
            source's unlabelled texts, if it has any.
        cache_dir: folder of encoded splits; None for $XDG_CACHE_HOME/lstm_flax, or else
            ~/.cache/lstm_flax.
        token_cache: one folder of encoded splits to read instead of any text.
        max_length: longest token sequence that the model sees.
        truncation: the part of an over-long text to keep: `head`, or `head_tail` (half from each
            end).
        bucket_widths: padded widths, ascending multiples of 32; those above `max_length` are
            unused.
        batch_size: rows of every batch.
    """

    source: str = "imdb_reviews"
    data_dir: str | None = field(None, changeable=True)
    archive: str | None = field(None, changeable=True)
    train_path: str | None = field(None, changeable=True)
    development_path: str | None = field(None, changeable=True)
    test_path: str | None = field(None, changeable=True)
    extra_train_path: str | None = None
    train_examples: int = field(0, at_least=0)
    text_column: str = "text"
    label_column: str = "label"
    development_fraction: float = field(0.1, at_least=0, below=1)
    test_fraction: float = field(0.1, at_least=0, below=1)
    split_seed: int = field(0, at_least=-(2**63), at_most=2**63 - 1)
    lowercase: bool = False
    use_unlabelled: bool = False
    cache_dir: str | None = field(None, changeable=True)
    token_cache: str | None = field(None, changeable=True)
    max_length: int = field(400, at_least=1)
    truncation: str = field("head_tail", choices=("head", "head_tail"))
    bucket_widths: tuple[int, ...] = (64, 128, 192, 256, 320, 384, 416, 512, 768, 1024, 2048)
    batch_size: int = field(64, at_least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.source.strip() != "", "source", "is empty; name a data source")
        self.require(
            self.source != "files" or self.train_path is not None or self.token_cache is not None,
            "train_path",
            "source 'files' needs the path of the training part",
        )
        self.require(
            self.development_fraction + self.test_fraction < 1,
            "test_fraction",
            f"with development_fraction = {self.development_fraction} nothing is left to train on",
        )
        widths = self.bucket_widths
        self.require(
            len(widths) > 0
            and all(w > 0 and w % 32 == 0 for w in widths)
            and all(a < b for a, b in itertools.pairwise(widths)),
            "bucket_widths",
            "must be ascending positive multiples of 32",
        )
        self.require(
            widths[-1] >= self.max_length,
            "bucket_widths",
            f"the widest must hold max_length ({self.max_length})",
        )
