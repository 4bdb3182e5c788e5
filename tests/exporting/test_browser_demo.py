"""The browser's encoder against ours, in node; the page itself is looked at by hand."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from make_browser_demo import DEMO, pack_table

from lstm_flax.data.batching import Batcher
from lstm_flax.exporting.description import describe_model
from lstm_flax.exporting.export import _ratios
from lstm_flax.models import TextClassifier
from tests.exporting.export_cases import make_predictor, mixed_texts
from tests.exporting.strange_texts import STRANGE

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
PROGRAM = """
const { Encoder, unpackTable } = await import(process.argv[1]);
const { readFileSync } = await import("node:fs");
const given = JSON.parse(readFileSync(0, "utf8"));
const packed = Buffer.from(given.table, "hex");
const table = unpackTable(packed, given.size);
const unescape = (entity) => given.entities[entity];
const encoder = new Encoder(given.about, given.pieces, table, unescape);
console.log(JSON.stringify(given.texts.map((text) => encoder.encode(text))));
"""


@pytest.mark.parametrize("truncation", ["head", "head_tail"])
def test_the_browser_encodes_texts_as_we_do(truncation: str) -> None:
    predictor = make_predictor("bilstm_ngrams", max_length=25, truncation=truncation)
    trained = predictor.trained
    encoder, config = trained.metadata.encoder, trained.metadata.config
    assert isinstance(trained.model, TextClassifier)
    # JSON has no lone surrogates, nor has a page's text field.
    texts = [
        text for text in (*STRANGE, *mixed_texts()[:10]) if text.isprintable() or "lone" not in text
    ]
    arrays = _ratios(encoder)
    entities = {e for text in texts for e in re.findall(r"&[#\w]+;", text)}
    given = {
        "about": describe_model(trained.model, encoder, config, ("neg", "pos"), 1.0),
        "pieces": encoder.tokenizer.pieces(range(encoder.vocab_size)),
        "table": pack_table(arrays["keys"], arrays["ratios"]).hex(),
        "size": len(arrays["keys"]),
        "entities": {entity: html.unescape(entity) for entity in entities},
        "texts": texts,
    }
    done = subprocess.run(
        ["node", "--input-type=module", "-e", PROGRAM, str(DEMO / "encode.mjs")],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    split = encoder.encode_split(texts)
    batcher = Batcher.from_config(split, encoder, config.data, len(texts))
    batch = batcher.make(np.arange(len(texts)), 32)
    assert batch.token_features is not None
    for row, found in enumerate(json.loads(done.stdout)):
        length = batch.lengths[row]
        assert found["ids"] == batch.token_ids[row, :length].tolist(), texts[row]
        features = np.array(found["features"]).reshape(length, -1)
        np.testing.assert_array_equal(features, batch.token_features[row, :length])


def test_the_demo_refers_to_its_own_files_alone() -> None:
    names = {path.name for path in Path(DEMO).iterdir()}
    assert names == {"index.html", "app.mjs", "encode.mjs"}
    for name in names:
        assert "http" not in (DEMO / name).read_text(encoding="utf-8")
