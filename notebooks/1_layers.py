# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The layer: one step, padding, gates
#
# `pip install -e '.[notebook]'`. Half a minute. The [tutorial](../docs/tutorial.md) has more words.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from lstm_flax import LSTM, Predictor

# %% [markdown]
# ## One step by hand
#
# Four gates, one unit, x = 2, h = 1, c = 1. The sums before the gates are 0, 1, 0.5 and 2.

# %%
weights = {"i": (0.5, -1.0, 0.0), "f": (0.5, -1.0, 1.0), "g": (0.0, 0.5, 0.0), "o": (1.0, 0.0, 0.0)}
cell = {}
for gate, (w, u, b) in weights.items():
    cell["i" + gate] = {"kernel": jnp.array([[w]])}
    cell["h" + gate] = {"kernel": jnp.array([[u]]), "bias": jnp.array([b])}
one = jnp.array([[1.0]])
_, (h_1, c_1) = LSTM(1).apply(
    {"params": {"layers_0_forward": cell}}, jnp.array([[2.0]]), initial_state=(one, one)
)


def sigmoid(z):
    """Between 0 and 1."""
    return 1 / (1 + np.exp(-z))


c = sigmoid(1) * 1 + sigmoid(0) * np.tanh(0.5)
h = sigmoid(2) * np.tanh(c)
print(f"by hand: c' = {c:.4f}, h' = {h:.4f}; the layer: {c_1.item():.4f}, {h_1.item():.4f}")
assert abs(c - c_1.item()) < 1e-6
assert abs(h - h_1.item()) < 1e-6

# %% [markdown]
# ## Padding
#
# Without lengths the layer reads the padding as if it were text. With lengths the outputs are zero
# there, and the final state is the one after the last token.

# %%
inputs = jax.random.normal(jax.random.key(0), (1, 24, 4)).at[:, 8:].set(0.5)
layer = LSTM(4)
params = layer.init(jax.random.key(1), inputs)
unmasked, _ = layer.apply(params, inputs)
masked, (h_n, _) = layer.apply(params, inputs, jnp.array([8]))
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.axvspan(8.5, 24.5, color="#f0f0f0")
axes.plot(range(1, 25), unmasked[0, :, 0], "o-", color="#c85500", label="without lengths")
axes.plot(range(1, 25), masked[0, :, 0], "o-", color="#0050b3", label="with lengths")
axes.set(xlabel="step (padding is grey)", ylabel="h of one unit")
axes.legend(frameon=False)
plt.show()
assert jnp.allclose(h_n[0, 0], masked[0, 7])

# %% [markdown]
# ## Gates of the packaged model
#
# The forward direction over one sentence: the gates' means over 64 units, every unit's cell state.

# %%
states = Predictor.from_checkpoint().states("I expected to hate it, but it won me over.")
forward = states.directions[0]
figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(7, 5), layout="constrained", sharex=True, height_ratios=(1, 2)
)
gates = np.stack([forward.gates[name].mean(axis=1) for name in "ifo"])
image = top.imshow(gates, aspect="auto", cmap="Blues", vmin=0, vmax=1)
top.set_yticks(range(3), ["input", "forget", "output"])
top.set(ylabel="gate")
figure.colorbar(image, ax=top, label="mean, 0 closed, 1 open")
largest = np.abs(forward.cell).max()
image = bottom.imshow(forward.cell.T, aspect="auto", cmap="PuOr", vmin=-largest, vmax=largest)
bottom.set(ylabel="unit", xlabel="token")
figure.colorbar(image, ax=bottom, label="cell state")
bottom.set_xticks(range(len(states.tokens)), [t.text for t in states.tokens], rotation=45)
plt.show()
