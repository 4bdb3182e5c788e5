"""Classifies texts: `python run.py TEXT ...`, or one text per line of standard input.

`python run.py --check` repeats the answers of examples.json and prints the largest difference.
"""

import hashlib
import json
import sys

import numpy as np
from classifier import Classifier
from encode import FOLDER, Encoder


class Model:
    """From texts to calibrated probabilities."""

    def __init__(self):
        check_files()
        self.encoder = Encoder()
        self.about = self.encoder.about
        self.classifier = Classifier(FOLDER, self.about)

    def predict(self, texts, batch_size=64):
        """Probabilities f64[N, C] of N texts, the classes in the order of the labels."""
        rows = [self.encoder.encode(text) for text in texts]
        logits = np.zeros((len(texts), len(self.about["labels"])))
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
        for batch in (order[k : k + batch_size] for k in range(0, len(order), batch_size)):
            lengths = np.array([len(rows[i][0]) for i in batch], np.int32)
            ids = np.zeros((len(batch), lengths[-1]), np.int32)
            features = np.zeros((*ids.shape, rows[0][1].shape[1]), np.float32)
            for k, (n, i) in enumerate(zip(lengths, batch, strict=True)):
                ids[k, :n], features[k, :n] = rows[i]
            logits[batch] = self.classifier(ids, lengths, features)
        logits /= self.about["temperature"]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def check_files():
    """Checks that the files are the exported ones; raises ValueError if one is not."""
    try:
        lines = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        needed = {"model.json", "examples.json", "tokenizer.model", "ngram_ratios.npz"}
        if not needed.union(path.name for path in FOLDER.glob("model.*")) <= sums.keys():
            raise ValueError("SHA256SUMS is not the file that was exported")
        for name, digest in sums.items():
            path = FOLDER / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise ValueError(f"{name} is not the file that was exported")
    except (OSError, UnicodeError) as error:
        raise ValueError(f"the files cannot be checked ({error})") from error


def main():
    """Prints one JSON object per text."""
    try:
        model = Model()
    except ValueError as error:
        sys.exit(f"error: {FOLDER}: {error}; export the model again, or copy the folder again")
    if sys.argv[1:] == ["--check"]:
        examples = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
        differences = model.predict(examples["texts"]) - examples["probabilities"]
        print(f"largest difference: {abs(differences).max():.1e}")
        return
    if not sys.argv[1:] and sys.stdin is None:
        sys.exit("error: standard input is closed; give texts as arguments")
    texts = sys.argv[1:] or [line for line in sys.stdin.read().split("\n") if line.strip()]
    for text, row in zip(texts, model.predict(texts), strict=True):
        answer = dict(zip(model.about["labels"], row.tolist(), strict=True))
        label = max(answer, key=answer.get)
        print(json.dumps({"text": text, "label": label, "probabilities": answer}))


if __name__ == "__main__":
    main()
