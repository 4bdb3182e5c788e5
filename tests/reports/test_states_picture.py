"""The picture of gates and states: every token as text, in any script, and nothing of it markup."""

import xml.etree.ElementTree as ElementTree

import numpy as np

from lstm_flax.inference.reading import Token
from lstm_flax.inference.states import DirectionStates, States
from lstm_flax.reports.states_picture import states_picture


def test_tokens_are_text_in_the_order_of_their_letters() -> None:
    words = ["<b>&", "סרט", "فيلم", "好电影", "a\u202eb"]
    rng = np.random.default_rng(0)
    states = rng.normal(size=(len(words), 3)).astype(np.float32)
    gates = {name: np.full_like(states, 0.25 * k) for k, name in enumerate("ifgo", 1)}
    direction = DirectionStates(0, "forward", np.tanh(states), states, gates)
    tokens = tuple(Token(word, 0, len(word)) for word in words)
    picture = states_picture(States(" ".join(words), tokens, states, (direction,)))
    root = ElementTree.fromstring(picture)
    shown = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    for word in words[:4]:
        assert word in shown
    assert "a\ufffdb" in shown  # what turns the text around is shown as a sign
    assert shown.count("0.25") == shown.count("0.50") == shown.count("1.00") == len(words)
    assert "<b>" not in picture
