"""Generates texts from a language model, token by token."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.display import escaped
from lstm_flax.errors import UserError
from lstm_flax.models.language_model import (
    Carry,
    LanguageModel,
    forward_model,
    read_piece,
    softmax_weights,
)
from lstm_flax.text.detokenize import join_words
from lstm_flax.text.tokenizer import END_ID

logger = logging.getLogger(__name__)


class Generator:
    """A trained language model with its tokenizer, reading forward; safe to share among threads.

    >>> generator = Generator.from_checkpoint("runs/imdb_pretrain")  # doctest: +SKIP
    >>> generator.generate("This film", count=2, seed=0)  # doctest: +SKIP
    """

    def __init__(self, trained: TrainedModel) -> None:
        """Wraps a restored model; see `from_checkpoint`."""
        if not isinstance(trained.model, LanguageModel):
            raise UserError(
                f"{trained.path}: holds a classifier, which writes no text; name the run of a "
                "language model (lstm-flax train --config=imdb_pretrain --workdir=DIR makes one)"
            )
        self._tokenizer = trained.metadata.encoder.tokenizer
        self._model, params = forward_model(trained.model, trained.params)
        self._params = jax.device_put(params, jax.devices()[0])
        model = self._model

        def read(params: Any, token_ids: jax.Array, carry: Carry) -> tuple[jax.Array, Carry]:
            """Maps one token per row, i32[N], to the logits f32[N, V] of the next one."""
            queries, _, carry = read_piece(model, params, token_ids[:, None, None], carry)
            table, bias = softmax_weights(params)
            return queries[:, 0, 0].astype(jnp.float32) @ table.T + bias, carry

        self._read = jax.jit(read)

    @classmethod
    def from_checkpoint(cls, path: str | Path, checkpoint: str = "best") -> "Generator":
        """Restores a language model; neither flags nor the data set are needed.

        Args:
            path: a run's folder, or a checkpoint folder copied from one.
            checkpoint: `best` or `last`.

        Raises:
            UserError: there is no intact checkpoint, or it is a classifier's.
        """
        return cls(load_trained_model(Path(path), checkpoint))

    def generate(
        self,
        prompt: str = "",
        count: int = 1,
        max_tokens: int = 200,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """Generates texts; text i depends only on the seed and on i, not on `count`.

        Args:
            prompt: the beginning of every text; empty to begin a new review.
            count: number of texts.
            max_tokens: the longest continuation. A text may end earlier.
            temperature: divides the logits; 0 always takes the most probable token.
            top_p: draws from the fewest most probable tokens whose probabilities sum to this
                (Holtzman et al. 2020); 0 always takes the most probable token.
            seed: seed of the draws.

        Returns:
            The texts, including the prompt. No text contains the unknown token.

        Raises:
            UserError: an argument is out of range; the message names it.
        """
        for name, value, good, range_ in (
            ("count", count, count >= 1, "at least 1"),
            ("max_tokens", max_tokens, max_tokens >= 1, "at least 1"),
            ("temperature", temperature, 0 <= temperature < np.inf, "0 or more, and finite"),
            ("top_p", top_p, 0 <= top_p <= 1, "from 0 to 1"),
            ("seed", seed, seed >= 0, "0 or more"),
        ):
            if not good:
                raise UserError(f"{name} = {value}: must be {range_}")
        prompt = prompt.strip()
        read = self._read_prompt(prompt) if prompt else []
        # Placed as all later carries are: any other placement would trigger a recompilation.
        carry = jax.device_put(self._model.initial_carry(count), jax.devices()[0])
        for token in [END_ID, *read]:  # as in training, END goes before a text
            logits, carry = self._read(self._params, np.full(count, token, np.int32), carry)
        generators = [
            np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, index])))
            for index in range(count)
        ]
        written: list[list[int]] = [[] for _ in range(count)]
        ended = np.zeros(count, bool)
        for _ in range(max_tokens):
            rows = np.asarray(logits)
            drawn = [
                draw_token(row, generator.random(), temperature, top_p)
                for row, generator in zip(rows, generators, strict=True)
            ]
            ended |= np.asarray(drawn) == END_ID
            if ended.all():
                break
            for index in np.flatnonzero(~ended):
                written[index].append(drawn[index])
            logits, carry = self._read(self._params, np.asarray(drawn, np.int32), carry)
        return [self._join(prompt, token_ids) for token_ids in written]

    def _read_prompt(self, prompt: str) -> list[int]:
        (ids,), (unknown,) = self._tokenizer.encode_measured([prompt])
        if unknown > 0:
            logger.warning(
                "the prompt %s: %.0f%% of it is unknown to the model",
                escaped(repr(prompt)),
                100 * unknown,
            )
        return ids.tolist()

    def _join(self, prompt: str, token_ids: Sequence[int]) -> str:
        pieces = self._tokenizer.pieces(token_ids)
        if self._tokenizer.kind == "word":
            return join_words([piece.removeprefix("▁") for piece in pieces], prompt)
        return (prompt + "".join(pieces).replace("▁", " ")).strip()


def draw_token(logits: np.ndarray, uniform: float, temperature: float, top_p: float) -> int:
    """Draws a token; never padding, the unknown token or BEGIN.

    >>> draw_token(np.log([0.9, 0.9, 0.9, 0.1, 0.6, 0.3]), 0.5, temperature=1.0, top_p=1.0)
    4

    Args:
        logits: f32[V].
        uniform: the random number in [0, 1) that decides.
        temperature: divides the logits; 0 for the most probable token.
        top_p: probability mass of the tokens to draw from, most probable first; tokens as probable
            as the last of them are included.
    """
    allowed = logits[END_ID:].astype(np.float64)  # the ids below END_ID are those three
    if temperature == 0 or top_p == 0:
        return END_ID + int(allowed.argmax())
    probabilities = np.exp((allowed - allowed.max()) / temperature)
    if top_p < 1:
        descending = np.sort(probabilities)[::-1]
        mass = np.cumsum(descending)
        last = np.searchsorted(mass, top_p * mass[-1])
        probabilities[probabilities < descending[last]] = 0
    mass = np.cumsum(probabilities)
    return END_ID + int(np.searchsorted(mass[:-1], uniform * mass[-1], side="right"))
