"""Converts a text to the arrays that the classifier reads, as described in model.json."""

import html
import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import sentencepiece

FOLDER = Path(__file__).parent


class Encoder:
    """Normalisation, tokenizer, truncation of long texts, naive-Bayes log ratios of n-grams."""

    def __init__(self):
        self.about = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
        self.pieces = sentencepiece.SentencePieceProcessor(str(FOLDER / "tokenizer.model"))
        runs = self.about["normalization"]["characters"]
        self.characters = {c: to for first, last, to in runs for c in range(first, last + 1)}
        self.ratios = dict(np.load(FOLDER / "ngram_ratios.npz"))

    def encode(self, text):
        """Returns token ids i32[T] and features f32[T, F]; a long text keeps only its ends."""
        ids = self.pieces.encode(self.normalize(text)) or [self.about["unknown_id"]]
        ids = np.array(ids, np.int32)
        kept = np.arange(min(len(ids), self.about["max_length"]))
        kept[self.about["head_length"] :] += len(ids) - len(kept)
        return ids[kept], self.features(ids)[kept]

    def normalize(self, text):
        """Returns the text that the tokenizer splits."""
        rules, words = self.about["normalization"], self.about["word_pattern"]
        text = re.sub(rules["entity"], lambda entity: html.unescape(entity[0]), text)
        text = re.sub(rules["break"], " ", text).translate(self.characters)
        parts = re.split(rules["kept"], text)
        parts[::2] = [unicodedata.normalize(rules["unicode"], part) for part in parts[::2]]
        text = re.sub(rules["space"], " ", "".join(parts)).strip()
        text = text.lower() if rules["lowercase"] else text
        return " ".join(re.findall(words, text)) if words else text

    def features(self, ids):
        """Returns the ratios of the n-grams that end at each token, n = 1, 2, ..."""
        keys, ratios = self.ratios["keys"], self.ratios["ratios"]
        columns, key = [np.zeros((len(ids), 0), np.float32)], np.zeros(len(ids), np.uint32)
        for n in range(self.about["ngram_order"]):
            key = key * np.uint32(0x9E3779B1) + np.roll(ids, n).astype(np.uint32) + np.uint32(n + 1)
            for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):  # MurmurHash3
                key = (key ^ (key >> np.uint32(shift))) * np.uint32(factor)
            row = np.searchsorted(keys, key)
            known = (keys[row] == key) & (np.arange(len(ids)) >= n)
            columns.append(np.where(known[:, None], ratios[row], 0))
        return np.concatenate(columns, axis=1).astype(np.float32)
