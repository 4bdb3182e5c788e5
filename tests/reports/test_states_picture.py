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


def test_a_long_token_stays_in_the_picture() -> None:
    words = ["とても良い映画とても良い映画とても良い映画", " "]
    states = np.ones((len(words), 3), np.float32)
    direction = DirectionStates(0, "forward", states, None, {})
    tokens = tuple(Token(word, 0, len(word)) for word in words)
    root = ElementTree.fromstring(states_picture(States("", tokens, states, (direction,))))
    left, _, width, _ = map(float, root.attrib["viewBox"].split())
    (label,) = (
        n for n in root.iter("{http://www.w3.org/2000/svg}text") if "映画" in (n.text or "")
    )
    assert label.text is not None
    assert "␣" in [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert label.text.endswith("…")
    assert words[0].startswith(label.text[:-1])
    reach = 12 * len(label.text) * np.cos(np.radians(50))  # 12 pixels each, slanted
    assert left <= float(label.attrib["x"]) - reach
    assert width == float(root.attrib["width"])
