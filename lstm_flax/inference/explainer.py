"""Explains a classifier's answers by the contribution of each word.

The method is integrated gradients (Sundararajan et al. 2017, equation 1) of a label's log-odds. The
path runs straight from an empty input (zero embeddings, no n-gram evidence for any label) to the
text. A token's two inputs, its embedding and its n-gram features, move together, so the
contributions of both sum to the difference between the two answers. An n-gram's share is divided
among its tokens, and the shares of a word's tokens are summed.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.inference.explanation import Explanation, WordContribution
from lstm_flax.inference.reading import Reading, encode_row, group_words, read_text
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.inputs import input_vectors, logits_of_inputs
from lstm_flax.types import Batch

DEFAULT_STEPS = 64
MOST_STEPS = 1_000  # numpy finds the points from the eigenvalues of a steps x steps matrix
_ROWS = 16  # points of a path computed at once


class Explainer:
    """Explains the answers of one classifier; threads may share it.

    Args:
        trained: a restored classifier. It runs in float32.
    """

    def __init__(self, trained: TrainedModel) -> None:
        assert isinstance(trained.model, TextClassifier)
        metadata = trained.metadata
        self._encoder, self._data = metadata.encoder, metadata.config.data
        self._labels = metadata.label_names
        self._temperature = metadata.history.temperature
        self._params: Any = jax.device_put(trained.params, jax.devices()[0])
        model = trained.model.clone(dtype=jnp.float32)
        self._votes = model.votes_order > 0

        def rows(
            params: Any, x: Any, token_ids: Any, lengths: Any, weights: Any, label: Any
        ) -> tuple[Any, Any]:
            """Returns logits f32[B, C] and the weighted sum of log-odds gradients f32[T, I]."""

            def weighted(x: jax.Array) -> tuple[jax.Array, jax.Array]:
                vectors, votes = jnp.split(x, [model.embedding_size], axis=-1)
                logits = logits_of_inputs(model, params, vectors, lengths, votes, token_ids)
                logits /= self._temperature
                return jnp.sum(weights * log_odds(logits, label)), logits

            gradient, logits = jax.grad(weighted, has_aux=True)(x)
            return logits, jnp.sum(gradient, axis=0)

        self._rows: Any = jax.jit(rows)
        self._vectors = jax.jit(input_vectors)

    @property
    def compilations(self) -> int:
        """Counts the bucket widths compiled so far."""
        return int(self._rows._cache_size())

    def explain(
        self, text: str, label: str | None = None, steps: int = DEFAULT_STEPS, check: bool = True
    ) -> Explanation:
        """Explains one answer; see `Predictor.explain`."""
        reading = self.read(text)
        inputs = self._inputs(reading.batch)
        ends = self._logits([(inputs, reading.batch), (0 * inputs, reading.batch)])
        chosen = int(np.argmax(ends[0])) if label is None else self._labels.index(label)
        answered, empty = (float(log_odds(row, chosen)) for row in ends)
        points, weights = np.polynomial.legendre.leggauss(steps)
        shares = self.shares(reading, chosen, (points + 1) / 2, weights / 2)
        difference = answered - empty
        error = abs(shares.of_tokens.sum() - difference) / max(abs(difference), 1e-6)
        explanation = Explanation(
            text,
            self._labels[chosen],
            float(1 / (1 + np.exp(-answered))),
            answered,
            empty,
            tuple(sum_words(reading, shares)),
            float(error),
            shares.ngram_part,
            steps,
            float(self._encoder.tokenizer.encode_measured([text])[1][0]),
            len(reading.kept) < len(reading.tokens),
        )
        return self._check(explanation, reading, chosen) if check else explanation

    def read(self, text: str) -> Reading:
        """Reads a text as the model does."""
        return read_text(text, self._encoder, self._data)

    def shares(
        self, reading: Reading, label: int, points: np.ndarray, weights: np.ndarray
    ) -> "Shares":
        """Computes the tokens' contributions to a label from gradients at points of the path.

        Args:
            reading: one text as the model reads it.
            label: index of the label.
            points: f64[k], positions on the path: 0 is no input, 1 is the text.
            weights: f64[k], weights of the gradients. Point 1 alone gives gradient times input.
        """
        x, length = self._inputs(reading.batch), int(reading.batch.lengths[0])
        gradient = np.zeros(x.shape, np.float64)
        for first in range(0, len(points), _ROWS):
            some = slice(first, first + _ROWS)
            rows = _filled(points[some])[:, None, None] * x
            ids = np.repeat(reading.batch.token_ids, _ROWS, axis=0)
            lengths = np.full(_ROWS, length, np.int32)
            _, summed = self._rows(self._params, rows, ids, lengths, _filled(weights[some]), label)
            gradient += np.asarray(summed)
        return self._share(reading, gradient)

    def _inputs(self, batch: Batch) -> np.ndarray:
        """Returns a one-row batch's inputs, f32[T, I]: input vectors and features that vote."""
        embedded, mapped = self._vectors(self._params, batch)
        vectors = np.asarray(embedded[0]) + np.asarray(mapped[0])
        if not self._votes:
            return vectors
        return np.concatenate([vectors, np.asarray(batch.token_features)[0]], axis=-1)

    def _logits(self, rows: Sequence[tuple[np.ndarray, Batch]]) -> np.ndarray:
        """Computes calibrated logits f32[k, C] of up to `_ROWS` rows (inputs f32[T, I], batch)."""
        lengths = np.ones(_ROWS, np.int32)
        x = np.zeros((_ROWS, max(len(row) for row, _ in rows), rows[0][0].shape[1]), np.float32)
        ids = np.zeros(x.shape[:2], np.int32)
        for i, (row, batch) in enumerate(rows):
            x[i, : len(row)], ids[i, : len(row)] = row, batch.token_ids[0]
            lengths[i] = batch.lengths[0]
        logits, _ = self._rows(self._params, x, ids, lengths, np.zeros(_ROWS, np.float32), 0)
        return np.asarray(logits)[: len(rows)]

    def _share(self, reading: Reading, gradient: np.ndarray) -> "Shares":
        """Multiplies a mean gradient f64[T, I] by all inputs of each token."""
        size, kept = len(reading.tokens), reading.kept
        embedded = np.asarray(self._vectors(self._params, reading.batch)[0][0])
        gradient, of_votes = np.split(gradient, [embedded.shape[-1]], axis=-1)
        own = np.zeros(size)
        own[kept] = (embedded * gradient).sum(axis=-1)[: len(kept)]
        through = np.zeros(size)
        features = reading.batch.token_features
        if features is None:
            return Shares(own, through, 0.0)
        kernel = np.asarray(self._params["ngrams"]["kernel"])
        of_features = gradient @ kernel.T + (of_votes if self._votes else 0)
        shares = (features[0] * of_features)[: len(kept)]
        by_length = shares.reshape(len(kept), self._encoder.ngram_order, -1).sum(axis=-1)
        for n in range(by_length.shape[1]):  # n-grams of n + 1 tokens, the last a kept one
            for back in range(n + 1):
                at = kept - back
                np.add.at(through, at[at >= 0], by_length[at >= 0, n] / (n + 1))
        sizes = np.abs(by_length).sum(), np.abs(own).sum()
        return Shares(own + through, through, float(sizes[0] / max(sum(sizes), 1e-12)))

    def _check(self, explanation: Explanation, reading: Reading, label: int) -> Explanation:
        """Deletes the strongest words, one at a time, and records the effect."""
        strongest = explanation.strongest()
        change = self.log_odds_without(reading, [[word] for word in strongest], label)
        fall = {
            word.start: explanation.log_odds - float(after)
            for word, after in zip(strongest, change, strict=True)
        }
        words = [dataclasses.replace(w, occlusion=fall.get(w.start)) for w in explanation.words]
        return dataclasses.replace(explanation, words=tuple(words))

    def log_odds_without(
        self, reading: Reading, deletions: Sequence[Sequence[WordContribution]], label: int
    ) -> np.ndarray:
        """Computes a label's log-odds, f64[k], with words deleted: one set of words for each of k.

        A text that becomes empty is read as the unknown token, as usual.
        """
        starts = np.array([token.start for token in reading.tokens])
        rows = []
        for words in deletions:
            keep = np.ones(len(starts), bool)
            for word in words:
                keep &= (starts < word.start) | (starts >= max(word.end, word.start + 1))
            ids = reading.split[0][keep] if keep.any() else self._encoder.encode([""])[0]
            _, batch, _ = encode_row(ids, self._encoder, self._data)
            rows.append((self._inputs(batch), batch))
        logits = [self._logits(rows[i : i + _ROWS]) for i in range(0, len(rows), _ROWS)]
        return np.asarray(log_odds(np.concatenate(logits), label), np.float64)


class Shares(NamedTuple):
    """Contributions of n tokens.

    Attributes:
        of_tokens: f64[n].
        from_ngrams: f64[n], the part that comes from n-gram features.
        ngram_part: the same as a fraction of all contributions, each counted without its sign.
    """

    of_tokens: np.ndarray
    from_ngrams: np.ndarray
    ngram_part: float


def log_odds(logits: Any, label: Any) -> Any:
    """Computes log(p / (1 - p)) of a label: [..., C] -> [...].

    >>> float(log_odds(jnp.array([0.0, 3.0]), 1))
    3.0
    """
    own = jnp.take(logits, label, axis=-1)
    others = jnp.where(jnp.arange(logits.shape[-1]) == label, -jnp.inf, logits)
    return own - jax.nn.logsumexp(others, axis=-1)


def _filled(values: np.ndarray) -> np.ndarray:
    """Pads up to `_ROWS` values with zeros."""
    return np.pad(values, (0, _ROWS - len(values))).astype(np.float32)


def sum_words(reading: Reading, shares: Shares) -> list[WordContribution]:
    """Sums the contributions of each word's tokens."""
    words, word_of = group_words(reading.text, reading.tokens)
    total = np.bincount(word_of, shares.of_tokens, len(words))
    through = np.bincount(word_of, shares.from_ngrams, len(words))
    return [
        WordContribution(word.text, word.start, word.end, float(a), float(b))
        for word, a, b in zip(words, total, through, strict=True)
    ]
