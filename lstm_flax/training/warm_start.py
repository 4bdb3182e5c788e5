"""The starting point of a run: another run's weights, word vectors, an encoder's ratios."""

import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.checkpoints.arrays import by_name
from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.config import Config, ModelConfig
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.opening import vocabulary_splits
from lstm_flax.errors import UserError, some
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.ppmi_svd import fit_word_vectors
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import Tokenizer
from lstm_flax.text.vectors import complete, coverage, find_vectors

logger = logging.getLogger(__name__)


def fit_encoder(
    tokenizer: Tokenizer,
    train: TokenizedSplit,
    label_names: tuple[str, ...],
    model: ModelConfig,
    initial: TrainedModel | None = None,
) -> TextEncoder:
    """Makes a run's encoder: its tokenizer and the n-gram weights of its training part.

    A run that starts from another one keeps the other's weights if they have the same labels, order
    and kind and were not counted on any of this run's training texts.

    Args:
        tokenizer: the run's tokenizer.
        train: the training part.
        label_names: C names.
        model: `config.model` of the run; says which n-grams get weights, and how.
        initial: the run to start from.
    """
    if model.ngram_order == 0:
        return TextEncoder(tokenizer)
    order, kind = model.ngram_order, model.ngram_weights
    if initial is not None:
        before = initial.metadata
        ngrams = before.encoder.ngrams
        same = (
            before.label_names == label_names
            and ngrams is not None
            and (ngrams.order, ngrams.kind) == (order, kind)
        )
        if same and not before.encoder.has_counted(train):
            return before.encoder
    logger.info("weighing n-grams of up to %d tokens in %s texts", order, f"{len(train):,}")
    return TextEncoder(tokenizer).fit_ngrams(train, len(label_names), order, kind)


def first_params(config: Config, dataset: Dataset, initial: TrainedModel | None) -> dict[str, Any]:
    """Returns the parameters, if any, that a run takes over instead of drawing them."""
    model = config.model
    if initial is not None:
        return kept_params(initial, dataset.label_names)
    if model.pretrained_vectors is not None:
        rows = find_vectors(model.pretrained_vectors, dataset.tokenizer, model.embedding_size)
        counts = np.bincount(dataset.split("train").token_ids, minlength=len(rows.found))
        types, tokens = coverage(rows.found, counts)
        logger.info(
            "%s: has vectors of %.1f%% of the vocabulary, %.1f%% of the training tokens",
            model.pretrained_vectors,
            100 * types,
            100 * tokens,
        )
        return {"embedding": {"embedding": complete(rows, config.training.seed)}}
    if model.embedding_init == "normal":
        return {}
    logger.info("computing PPMI-SVD embeddings of the training texts")
    vectors = fit_word_vectors(
        [dataset.split(name) for name in vocabulary_splits(config.data, dataset.splits)],
        dataset.tokenizer.vocab_size,
        model.embedding_size,
    )
    return {"embedding": {"embedding": vectors}}


def kept_params(initial: TrainedModel, label_names: tuple[str, ...]) -> dict[str, Any]:
    """Returns a run's parameters for another run; if labels differ, without those tied to labels.

    These are the head, `ngrams` and `votes`. A head for equally many labels would fit, but would
    confuse the labels of the two runs.
    """
    same = initial.metadata.label_names == label_names
    of_labels = ("head", "ngrams", "votes")
    return {name: leaf for name, leaf in initial.params.items() if same or name not in of_labels}


def take_params(fresh: Any, source: Any) -> Any:
    """Replaces each fresh array by the source's array of the same name, if the shapes agree."""
    there = by_name(source)

    def take(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        found = there.get(jax.tree_util.keystr(path, simple=True, separator="/"))
        return leaf if found is None or found.shape != leaf.shape else jnp.asarray(found)

    return jax.tree_util.tree_map_with_path(take, fresh)


def describe_taken(params: Any, source_params: Any, source: str | None) -> str:
    """Describes in one line which arrays `take_params` takes and which start afresh.

    Args:
        params: the run's own parameters, or their shapes.
        source_params: those of the run to start from, see `kept_params`.
        source: where that run is stored.

    Raises:
        UserError: no array fits.
    """
    here, there = by_name(params), by_name(source_params)
    taken = [
        name for name, leaf in here.items() if name in there and there[name].shape == leaf.shape
    ]
    fresh = [
        f"{name} {leaf.shape}" + (f" (there {there[name].shape})" if name in there else "")
        for name, leaf in here.items()
        if name not in taken
    ]
    if not taken:
        raise UserError(
            f"config.init_from = {source}: none of its arrays fits this model "
            f"({', '.join(fresh[:2])}, ...); give config.model the sizes of that run"
        )
    unused = [name for name in there if name not in here]
    line = f"config.init_from = {source}: {len(taken)} of {len(here)} arrays taken"
    line += f"; started afresh: {some(fresh, limit=4)}" if fresh else ""
    line += f"; left there: {some(unused, limit=4)}" if unused else ""
    if not any(name.startswith("recurrent/") for name in taken):
        line += "; nothing for the recurrent layers: give config.model the sizes of that run"
    return line
