"""A classifier's attributes, and the names and shapes of its parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.config import LanguageModelConfig, ModelConfig
from lstm_flax.errors import UserError
from lstm_flax.models import LanguageModel, init_params
from lstm_flax.models.attributes import shared_attributes
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.pooling import Pooling

VOCAB = 50


@pytest.mark.smoke
def test_parameters_have_their_names_and_shapes() -> None:
    model = TextClassifier(VOCAB, 3, 8, 6, bidirectional=True, num_token_features=4)
    params = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    shapes = {
        "/".join(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]
    }
    expected = {
        "embedding/embedding": (VOCAB, 8),
        "ngrams/kernel": (4, 8),
        "head/kernel": (12, 3),
        "head/bias": (3,),
    }
    for direction in ("forward", "backward"):
        for gate in "ifgo":
            cell = f"recurrent/layers_0_{direction}"
            expected[f"{cell}/i{gate}/kernel"] = (8, 6)
            expected[f"{cell}/h{gate}/kernel"] = (6, 6)
            expected[f"{cell}/h{gate}/bias"] = (6,)
    assert shapes == expected
    attention = jax.eval_shape(
        lambda: init_params(TextClassifier(VOCAB, 3, pooling="attention"), jax.random.key(0))
    )
    assert set(attention) == {"embedding", "recurrent", "pooling", "head"}
    assert set(attention["pooling"]) == {"attention_hidden", "attention_score"}


def test_a_configuration_gives_every_attribute_it_has() -> None:
    config = ModelConfig(
        cell="gru",
        embedding_size=5,
        hidden_size=6,
        num_layers=2,
        bidirectional=True,
        direction_merge="mean",
        pooling="mean",
        head="sigmoid",
        embedding_dropout=0.1,
        word_dropout=0.2,
        dropout=0.3,
        recurrent_dropout=0.4,
        recurrent_dropout_per_step=True,
        head_dropout=0.6,
        truncate_gradient_every=7,
        implementation="scan",
        dtype="bfloat16",
    )
    model = TextClassifier.from_config(config, VOCAB, 2, num_token_features=3, sentence_ends=(5,))
    of_training = {"embedding_init", "pretrained_vectors", "freeze_embedding"}
    for field in dataclasses.fields(config):
        if field.name not in {*of_training, "ngram_order", "ngram_weights", "ngram_votes", "dtype"}:
            assert getattr(model, field.name) == getattr(config, field.name)
    assert model.sentence_ends == ()
    sentences = dataclasses.replace(
        config, truncate_gradient_every=0, hierarchy="sentences", sentence_length=9
    )
    model_of = TextClassifier.from_config(sentences, VOCAB, 2, sentence_ends=(5,))
    found = (model_of.hierarchy, model_of.sentence_length, model_of.sentence_ends)
    assert found == ("sentences", 9, (5,))
    assert model.dtype == jnp.bfloat16
    assert (model.vocab_size, model.num_classes, model.num_token_features) == (VOCAB, 2, 3)
    language_model = LanguageModel.from_config(config, LanguageModelConfig(weight_drop=0.7), VOCAB)
    assert language_model.weight_drop == 0.7
    for name in shared_attributes(config):
        assert getattr(language_model, name) == getattr(config, name)


@pytest.mark.parametrize(
    ("attributes", "facts"),
    [
        ({"cell": "LSTM"}, ["cell", "'LSTM'", "lstm", "gru", "rnn"]),
        ({"pooling": "first"}, ["pooling", "'first'", "last", "mean", "max", "attention"]),
        ({"direction_merge": "ave"}, ["direction_merge", "'ave'", "concat", "sum", "mean"]),
        ({"head": "linear"}, ["head", "'linear'", "softmax", "sigmoid"]),
        ({"head": "sigmoid"}, ["head", "sigmoid", "3 classes", "softmax"]),
    ],
)
def test_bad_choices_are_named(attributes: dict, facts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        TextClassifier(VOCAB, 3, **attributes)
    assert all(fact in str(error.value) for fact in facts)
    if "pooling" in attributes:
        with pytest.raises(UserError, match=r"'first'.*concat"):
            Pooling("first").apply({}, np.ones((1, 2, 3)), np.ones((1, 3)), np.array([2]))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"head_dropout": 1.0}, "head_dropout = 1.0: must be at least 0 and below 1"),
        ({"embedding_dropout": -1}, "embedding_dropout = -1: must be"),
        ({"word_dropout": float("nan")}, "word_dropout = nan: must be"),
        ({"num_classes": 0}, "num_classes = 0: must be at least 1"),
        ({"vocab_size": -1}, "vocab_size = -1: must be at least 1"),
        ({"sentence_length": 0}, "sentence_length = 0: must be at least 1"),
    ],
)
def test_sizes_and_rates_are_checked(attributes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TextClassifier(**{"vocab_size": VOCAB, "num_classes": 3} | attributes)


@pytest.mark.parametrize(
    "attributes", [{"weight_drop": 2}, {"head_dropout": 1.0}, {"vocab_size": 0}]
)
def test_sizes_and_rates_of_a_language_model_are_checked(attributes: dict) -> None:
    with pytest.raises(UserError, match=r"must be at least"):
        LanguageModel(**{"vocab_size": VOCAB} | attributes)
