"""States and gates: those of Flax's own cell, from any implementation, of any stack."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.errors import UserError
from lstm_flax.inference.predictor import Predictor
from lstm_flax.inference.reading import read_text
from lstm_flax.models import init_params
from lstm_flax.models.classifier import CELLS
from lstm_flax.models.inputs import input_vectors
from lstm_flax.recurrent.cells import direction_name

TEXT = "A superb, moving FILM with warm actors and a dull scene; 映画 gentle"


def rebuilt(predictor: Predictor, **options: Any) -> Predictor:
    """A predictor with a model of another shape, its weights drawn anew."""
    trained = predictor.trained
    model = trained.model.clone(**options)
    params = init_params(model, jax.random.key(3))
    return Predictor(dataclasses.replace(trained, model=model, params=params))


def by_hand(predictor: Predictor, text: str) -> list[dict[str, np.ndarray]]:
    """Each direction's states, one step of Flax's cell after another."""
    model, params = predictor.trained.model, predictor.trained.params
    metadata = predictor.trained.metadata
    reading = read_text(text, metadata.encoder, metadata.config.data)
    x = np.asarray(sum(input_vectors(params, reading.batch)))[0, : len(reading.kept)]
    cell = nn.OptimizedLSTMCell(model.hidden_size)
    step = jax.jit(lambda weights, carry, x_t: cell.apply({"params": weights}, carry, x_t)[0])
    found = []
    for layer in range(model.num_layers):
        outputs = []
        for direction in range(2 if model.bidirectional else 1):
            weights = jax.tree.map(
                np.asarray, params["recurrent"][direction_name(layer, direction)]
            )
            carry = (jnp.zeros((1, model.hidden_size)), jnp.zeros((1, model.hidden_size)))
            steps = []
            for x_t in x[:: -1 if direction else 1]:
                before = np.asarray(carry[1])
                carry = step(weights, carry, x_t[None])
                z = {
                    k: x_t @ weights[f"i{k}"]["kernel"]
                    + before[0] @ weights[f"h{k}"]["kernel"]
                    + weights[f"h{k}"]["bias"]
                    for k in "ifgo"
                }
                values = {k: np.tanh(v) if k == "g" else 1 / (1 + np.exp(-v)) for k, v in z.items()}
                c, h = np.asarray(carry)[:, 0]
                steps.append(values | {"c": c, "h": h})
            steps = steps[:: -1 if direction else 1]
            found.append({k: np.stack([step[k] for step in steps]) for k in steps[0]})
            outputs.append(found[-1]["h"])
        merged = model.direction_merge == "sum"
        x = sum(outputs) if merged else np.concatenate(outputs, axis=1)
    return found


@pytest.fixture(scope="module")
def stacks(ngram_predictor: Predictor) -> dict[str, Predictor]:
    shape = {"num_layers": 2, "bidirectional": True}
    return {
        name: rebuilt(ngram_predictor, **shape, implementation=name) for name in ("scan", "fused")
    }


def test_two_layers_of_two_directions_hold_what_flax_computes(stacks: dict[str, Predictor]) -> None:
    states = stacks["scan"].states(TEXT)
    places = [(d.layer, d.direction) for d in states.directions]
    assert places == [(0, "forward"), (0, "backward"), (1, "forward"), (1, "backward")]
    for direction, wanted in zip(states.directions, by_hand(stacks["scan"], TEXT), strict=True):
        np.testing.assert_allclose(direction.outputs, wanted["h"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(direction.cell, wanted["c"], rtol=0, atol=1e-6)
        for gate, values in direction.gates.items():
            np.testing.assert_allclose(values, wanted[gate], rtol=0, atol=1e-6)
    last = np.concatenate([d.outputs for d in states.directions[-2:]], axis=1)
    np.testing.assert_array_equal(states.outputs, last)


def test_a_merged_layer_hands_on_what_is_merged(ngram_predictor: Predictor) -> None:
    shape = {"num_layers": 2, "bidirectional": True, "implementation": "scan"}
    predictor = rebuilt(ngram_predictor, **shape, direction_merge="sum")
    states, wanted = predictor.states(TEXT), by_hand(predictor, TEXT)
    for direction, by_step in zip(states.directions, wanted, strict=True):
        np.testing.assert_allclose(direction.outputs, by_step["h"], rtol=0, atol=1e-6)


def test_scan_and_fused_hold_the_same(stacks: dict[str, Predictor]) -> None:
    scan, fused = (stacks[name].states(TEXT) for name in ("scan", "fused"))
    for a, b in zip(scan.directions, fused.directions, strict=True):
        for left, right in [(a.outputs, b.outputs), (a.cell, b.cell)]:
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-6)
        assert list(a.gates) == list("ifgo")
        for gate in a.gates:
            np.testing.assert_allclose(a.gates[gate], b.gates[gate], rtol=0, atol=1e-6)


def test_the_answer_follows_from_the_outputs(ngram_predictor: Predictor) -> None:
    """The states are those that the answer was made of: pooled and weighed, they give it."""
    trained = ngram_predictor.trained
    assert trained.model.pooling == "concat"
    states = ngram_predictor.states(TEXT)
    hidden = trained.model.hidden_size
    ends = [states.outputs[-1, :hidden], states.outputs[0, hidden:]]
    pooled = np.concatenate([*ends, states.outputs.max(axis=0), states.outputs.mean(axis=0)])
    head = trained.params["head"]
    logits = (pooled @ head["kernel"] + head["bias"]) / trained.metadata.history.temperature
    expected = ngram_predictor.predict([TEXT])[0].probabilities["pos"]
    assert 1 / (1 + np.exp(logits[0] - logits[1])) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("cell", "gates"), [("gru", "rzn"), ("rnn", "")])
def test_other_cells_have_their_own_gates(
    ngram_predictor: Predictor, cell: str, gates: str
) -> None:
    predictor = rebuilt(ngram_predictor, cell=cell)
    states = predictor.states(TEXT)
    assert CELLS[cell].spec.name == cell.upper()
    forward = states.directions[0]
    assert "".join(forward.gates) == gates
    assert forward.cell is None
    if cell == "gru":  # h_t = (1 - z) n + z h_{t-1}
        before = np.vstack([np.zeros_like(forward.outputs[:1]), forward.outputs[:-1]])
        z, n = forward.gates["z"], forward.gates["n"]
        np.testing.assert_allclose(forward.outputs, (1 - z) * n + z * before, atol=1e-6)


def test_tokens_stand_where_they_are_in_the_text(ngram_predictor: Predictor) -> None:
    states = ngram_predictor.states(TEXT)
    assert all(TEXT[token.start : token.end] == token.text for token in states.tokens)
    assert [token.text for token in states.tokens][:4] == ["A", "superb", ",", "moving"]


def test_of_a_long_text_the_states_of_what_is_read(ngram_predictor: Predictor) -> None:
    data = ngram_predictor.trained.metadata.config.data
    assert data.truncation == "head_tail"
    text = "first " + "warm film " * 100 + "last"
    states = ngram_predictor.states(text)
    assert len(states.tokens) == data.max_length == len(states.outputs)
    assert (states.tokens[0].text, states.tokens[-1].text) == ("first", "last")


def test_several_classifiers_have_no_states_in_common(ngram_predictor: Predictor) -> None:
    both = Predictor(ngram_predictor.trained, ngram_predictor.trained)
    with pytest.raises(UserError, match="states is of one classifier"):
        both.states(TEXT)
    with pytest.raises(UserError, match="empty"):
        ngram_predictor.states(" ")
