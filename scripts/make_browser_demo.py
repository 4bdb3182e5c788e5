"""Makes a page that classifies texts in the browser, from an export and onnxruntime-web.

    lstm-flax export exported --weights=int8
    npm install onnxruntime-web@1.30.0
    python scripts/make_browser_demo.py exported demo_site node_modules/onnxruntime-web
    python -m http.server --directory demo_site

The folder needs only a file server, and nothing from elsewhere.
"""

import gzip
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import sentencepiece

DEMO = Path(__file__).parents[1] / "demo"
WASM = "ort-wasm-simd-threaded"


def pack_table(keys: np.ndarray, ratios: np.ndarray) -> bytes:
    """Packs ascending keys u32[U] as differences, 7 bits per byte, then ratios f16[U].

    The lowest bits of a difference come first.

    >>> pack_table(np.array([3, 203], np.uint32), np.array([1.0, 0.0], np.float16)).hex()
    '03c801003c0000'
    """
    differences = np.diff(keys.astype(np.int64), prepend=0)
    pieces = [(differences >> (7 * k)) & 127 for k in range(5)]
    longer = np.stack([differences >= 1 << (7 * (k + 1)) for k in range(5)], axis=1)
    used = np.concatenate([np.ones((len(keys), 1), bool), longer[:, :-1]], axis=1)
    coded = np.stack(pieces, axis=1) | (longer * 128)
    return coded[used].astype(np.uint8).tobytes() + ratios.astype("<f2").tobytes()


def make_demo(export: Path, out: Path, runtime: Path) -> None:
    """Writes the page's folder, which must not exist yet."""
    about = json.loads((export / "model.json").read_text(encoding="utf-8"))
    if about["word_pattern"] is None:
        raise SystemExit(
            f"{export}: the page has no SentencePiece; it supports only the word tokenizer"
        )
    if out.exists():
        raise SystemExit(f"{out}: is there already; remove it first")
    (out / "ort").mkdir(parents=True)
    for name in ("index.html", "app.mjs", "encode.mjs"):
        shutil.copy(DEMO / name, out)
    shutil.copy(export / "model.onnx", out)
    processor = sentencepiece.SentencePieceProcessor(str(export / "tokenizer.model"))
    pieces = [processor.IdToPiece(i) for i in range(processor.GetPieceSize())]
    arrays = np.load(export / "ngram_ratios.npz")
    keys, ratios = arrays["keys"], arrays["ratios"]
    if ratios.shape[1] > 1:
        raise SystemExit(f"{export}: the page supports n-gram ratios of two classes only")
    about["table_size"] = len(keys)
    (out / "model.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    for name, data in {
        "pieces.gz.bin": json.dumps(pieces, ensure_ascii=False).encode(),
        "ratios.gz.bin": pack_table(keys, ratios),
        f"ort/{WASM}.wasm.gz.bin": (runtime / "dist" / f"{WASM}.wasm").read_bytes(),
    }.items():
        (out / name).write_bytes(gzip.compress(data, mtime=0))
    for name in ("ort.wasm.min.mjs", f"{WASM}.mjs"):
        shutil.copy(runtime / "dist" / name, out / "ort")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    make_demo(*map(Path, sys.argv[1:]))
    size = sum(path.stat().st_size for path in Path(sys.argv[2]).rglob("*") if path.is_file())
    print(f"{sys.argv[2]}: {size / 1e6:.1f} MB")
