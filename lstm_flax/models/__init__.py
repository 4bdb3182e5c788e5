"""The classifier and the language model.

    classifier       TextClassifier: embedding -> recurrent layers -> pooling -> head
    hierarchical     splits a row of tokens into sentences
    inputs           the classifier from its input vectors on, for explanations
    pooling          one vector per text from the outputs at each token
    head             probabilities and labels from logits
    language_model   LanguageModel: predicts the next token, in one or both directions
    sampled_softmax  cross-entropy over a large vocabulary
    initialization   freshly drawn parameters; attributes: attributes from a configuration

>>> import jax
>>> import jax.numpy as jnp
>>> model = TextClassifier(vocab_size=100, num_classes=3, embedding_size=8, hidden_size=8)
>>> params = init_params(model, jax.random.key(0))
>>> model.apply({"params": params}, jnp.array([[4, 5, 6], [7, 0, 0]]), jnp.array([3, 1])).shape
(2, 3)
"""

from lstm_flax.models.classifier import TextClassifier, apply_classifier
from lstm_flax.models.initialization import init_params
from lstm_flax.models.language_model import LanguageModel

__all__ = ["LanguageModel", "TextClassifier", "apply_classifier", "init_params"]
