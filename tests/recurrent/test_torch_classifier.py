"""Whole torch classifiers to `TextClassifier` and back; torch only where it is installed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax import torch_weights
from lstm_flax.errors import UserError
from lstm_flax.models import TextClassifier
from tests.recurrent.test_torch_weights import state_dict

TOKEN_IDS = np.array([[4, 5, 6, 7, 8], [9, 3, 0, 0, 0], [2, 2, 7, 1, 0]], np.int32)
LENGTHS = np.array([5, 2, 4], np.int32)


def classifier(gates: int = 4, outputs: int = 3, **changes: Any) -> dict[str, np.ndarray]:
    """The state dict of a two-layer bidirectional classifier; None takes an entry out."""
    rng = np.random.default_rng(1)
    arrays = {"embedding.weight": rng.normal(size=(10, 2)).astype(np.float32)}
    arrays |= {f"lstm.{name}": array for name, array in state_dict(gates, layers=2).items()}
    arrays["fc.weight"] = rng.normal(size=(outputs, 6)).astype(np.float32)
    arrays["fc.bias"] = rng.normal(size=outputs).astype(np.float32)
    arrays |= changes
    return {name: array for name, array in arrays.items() if array is not None}


def logits(attributes: dict, params: dict) -> np.ndarray:
    model = TextClassifier(**attributes)
    return np.asarray(jax.jit(model.apply)({"params": params}, TOKEN_IDS, LENGTHS))


@pytest.mark.slow  # CI has torch for the slow tests alone
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("cell", "outputs", "bias", "names", "wrapped"),
    [
        ("LSTM", 3, True, ("embedding", "lstm", "fc"), False),
        ("LSTM", 1, True, ("embedding", "lstm", "linear"), True),
        ("LSTM", 2, False, ("embed", "encoder", "classifier"), True),
        ("GRU", 1, True, ("emb", "gru", "out"), False),
        ("GRU", 2, False, ("word_embeddings", "rnn", "head"), False),
        ("RNN", 4, True, ("embedding", "rnn", "fc"), True),
    ],
)
def test_equals_a_torch_classifier_on_packed_sequences(
    cell: str, outputs: int, bias: bool, names: tuple, wrapped: bool, bidirectional: bool
) -> None:
    torch = pytest.importorskip("torch")
    from torch.nn.utils.rnn import pack_padded_sequence

    embedding, recurrent, linear = names

    class Classifier(torch.nn.Module):
        """As tutorials have it."""

        def __init__(self) -> None:
            super().__init__()
            options = {"num_layers": 2, "bidirectional": bidirectional, "batch_first": True}
            layer = getattr(torch.nn, cell)(6, 5, bias=bias, **options)
            setattr(self, embedding, torch.nn.Embedding(10, 6, padding_idx=0))
            setattr(self, recurrent, layer)
            setattr(self, linear, torch.nn.Linear(5 * (1 + bidirectional), outputs))

        def forward(self, token_ids: Any, lengths: Any) -> Any:
            embedded = getattr(self, embedding)(token_ids)
            packed = pack_padded_sequence(embedded, lengths, True, enforce_sorted=False)
            _, states = getattr(self, recurrent)(packed)
            hidden = states[0] if cell == "LSTM" else states
            last = torch.cat((hidden[-2], hidden[-1]), dim=1) if bidirectional else hidden[-1]
            return getattr(self, linear)(last)

    torch.manual_seed(0)
    theirs = Classifier()
    wrapper = torch.nn.Sequential()
    wrapper.add_module("module", theirs)
    weights = (wrapper if wrapped else theirs).state_dict()
    attributes, params = torch_weights.classifier_from_torch(weights)
    assert attributes["head"] == ("sigmoid" if outputs == 1 else "softmax")
    assert attributes["num_classes"] == max(outputs, 2)
    inputs = torch.from_numpy(TOKEN_IDS).long(), torch.from_numpy(LENGTHS).long()
    expected = theirs(*inputs).detach().numpy()
    actual = logits(attributes, params)
    np.testing.assert_allclose(actual[:, -outputs:], expected, atol=1e-5)
    if outputs == 1:
        assert not actual[:, 0].any()

    prefixed = tuple(("module." if wrapped else "") + name for name in names)
    back = torch_weights.classifier_to_torch(attributes, params, prefixed)
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in back.items()}
    if not bias:  # zeros were put in their place
        assert all(not np.any(back[name]) for name in set(back) - set(weights))
        tensors = {name: tensor for name, tensor in tensors.items() if name in weights}
    (wrapper if wrapped else theirs).load_state_dict(tensors)
    np.testing.assert_allclose(theirs(*inputs).detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("gates", "cell"), [(4, "lstm"), (3, "gru"), (1, "rnn")])
@pytest.mark.parametrize("outputs", [1, 3])
def test_attributes_and_the_way_back(gates: int, cell: str, outputs: int) -> None:
    arrays = classifier(gates, outputs)
    attributes, params = torch_weights.classifier_from_torch(arrays)
    assert attributes == {
        "vocab_size": 10,
        "num_classes": max(outputs, 2),
        "embedding_size": 2,
        "hidden_size": 3,
        "num_layers": 2,
        "bidirectional": True,
        "cell": cell,
        "pooling": "last",
        "head": "sigmoid" if outputs == 1 else "softmax",
    }
    model = TextClassifier(**attributes)
    shapes = jax.eval_shape(model.init, jax.random.key(0), TOKEN_IDS, LENGTHS)["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(jnp.shape, shapes)
    back = torch_weights.classifier_to_torch(attributes, params, ("embedding", "lstm", "fc"))
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        if "bias_" not in name:
            np.testing.assert_array_equal(back[name], array)
    again = torch_weights.classifier_from_torch(back)
    assert again[0] == attributes
    jax.tree.map(np.testing.assert_array_equal, again[1], params)
    default = torch_weights.classifier_to_torch(attributes, params)
    assert f"{cell}.weight_ih_l0" in default


def test_the_row_of_the_padding_is_kept() -> None:
    arrays = classifier()
    _, params = torch_weights.classifier_from_torch(arrays)
    np.testing.assert_array_equal(params["embedding"]["embedding"], arrays["embedding.weight"])


@pytest.mark.parametrize("names", [("embedding.weight", "fc.weight"), ("0.emb.weight", "9.weight")])
def test_a_linear_layer_without_bias_has_a_bias_of_zero(names: tuple[str, str]) -> None:
    arrays = classifier(**{"fc.bias": None})
    whole = {
        {"embedding.weight": names[0], "fc.weight": names[1]}.get(name, name): array
        for name, array in arrays.items()
    }
    _, params = torch_weights.classifier_from_torch(whole)
    assert not params["head"]["bias"].any()
    np.testing.assert_array_equal(params["head"]["kernel"], arrays["fc.weight"].T)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"norm.weight": np.ones(6), "norm.bias": np.ones(6)}, ["norm.bias", "norm.weight"]),
        ({"fc2.weight": np.ones((2, 3)), "fc2.bias": np.ones(2)}, ["fc.weight", "fc2.weight"]),
        ({"position.weight": np.ones((9, 2))}, ["embedding.weight", "position.weight"]),
        ({"conv.weight": np.ones((2, 2, 3))}, ["conv.weight"]),
        ({"other.weight_ih_l0": np.ones((12, 2))}, ["lstm.", "other."]),
        ({"embedding.weight": None}, ["no embedding"]),
        ({"fc.weight": None, "fc.bias": None}, ["no linear layer"]),
        ({"fc.weight": np.ones((3, 3))}, ["fc.weight", "(3, 3)", "6 columns"]),
        ({"fc.weight": np.ones((3, 9))}, ["fc.weight", "(3, 9)"]),
        ({"fc.bias": np.ones(2)}, ["fc.bias", "(2,)"]),
        ({"embedding.weight": np.ones((10, 4))}, ["embedding.weight", "(10, 4)", "2 columns"]),
        ({"lstm.weight_hh_l1": None}, ["weight_hh_l1 is missing"]),
        ({"lstm.weight_ih_l0_reverse": None}, ["weight_ih_l0_reverse is missing"]),
    ],
)
def test_entries_left_over_missing_or_of_another_shape_are_named(
    changes: dict, facts: list[str]
) -> None:
    with pytest.raises(UserError) as error:
        torch_weights.classifier_from_torch(classifier(**changes))
    assert all(fact in str(error.value) for fact in facts)


def test_no_recurrent_layer_and_projections_are_refused() -> None:
    arrays = classifier()
    with pytest.raises(UserError, match=r"fc\.weight"):
        torch_weights.classifier_from_torch(
            {name: array for name, array in arrays.items() if not name.startswith("lstm")}
        )
    projected = {
        "embedding.weight": np.ones((10, 2)),
        "lstm.weight_ih_l0": np.ones((12, 2)),
        "lstm.weight_hh_l0": np.ones((12, 2)),
        "lstm.weight_hr_l0": np.ones((2, 3)),
        "fc.weight": np.ones((2, 2)),
        "fc.bias": np.ones(2),
    }
    with pytest.raises(UserError, match=r"lstm\.weight_hr_l0.*proj_size"):
        torch_weights.classifier_from_torch(projected)


def test_classifiers_without_a_counterpart_are_refused() -> None:
    attributes, params = torch_weights.classifier_from_torch(classifier())
    with pytest.raises(UserError, match="concat"):
        torch_weights.classifier_to_torch(attributes | {"pooling": "concat"}, params)
    with pytest.raises(UserError, match=r"ngrams.*left over"):
        torch_weights.classifier_to_torch(attributes, params | {"ngrams": {}})
    with pytest.raises(UserError, match=r"head.*missing"):
        torch_weights.classifier_to_torch(
            attributes, {name: params[name] for name in ("embedding", "recurrent")}
        )


def test_parameters_are_copies_of_torch_s() -> None:
    """A module that goes on training changes nothing here, whatever its widths."""
    one = {"weight_ih_l0": (4, 1), "weight_hh_l0": (4, 1), "bias_ih_l0": (4,), "bias_hh_l0": (4,)}
    lstm = {name: np.ones(shape, np.float32) for name, shape in one.items()}
    whole = {f"lstm.{name}": array for name, array in lstm.items()}
    whole |= {"embedding.weight": np.ones((5, 1), np.float32)}
    whole |= {"fc.weight": np.ones((1, 1), np.float32), "fc.bias": np.ones(1, np.float32)}
    params = [torch_weights.from_torch(lstm), torch_weights.classifier_from_torch(whole)[1]]
    before = [leaf.copy() for leaf in jax.tree.leaves(params)]
    for array in [*lstm.values(), *whole.values()]:
        array[:] = 9
    for leaf, was in zip(jax.tree.leaves(params), before, strict=True):
        np.testing.assert_array_equal(leaf, was)


@pytest.mark.parametrize(
    ("attributes", "names", "message"),
    [
        ({"hierarchy": "sentences"}, None, "hierarchy = 'sentences'"),
        ({}, ("a", "a", "b"), "three different names"),
        ({}, "abc", "three different names"),
        ({}, ("a", "b"), "three different names"),
        ({}, ("a", "b", "c", "c"), "three different names"),
    ],
)
def test_what_torch_s_classifier_lacks_is_refused(
    attributes: dict, names: Any, message: str
) -> None:
    found, params = torch_weights.classifier_from_torch(classifier())
    with pytest.raises(UserError, match=message):
        torch_weights.classifier_to_torch(found | attributes, params, names)
