"""Files from elsewhere take no more memory than their size justifies, whatever lies in them."""

import itertools
import json
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONSTANT = 300_000_000  # bytes, beside twice the files' size
MOST = 10_000_000  # bytes of JSON that is read at all
LISTS = b"[" + b"[]," * (MOST // 3 - 100) + b"[]]"  # 64 bytes of memory for 3 of the file

# Each is called in a process of its own: it takes a folder, and reads what lies there.
READERS = {
    "metadata": "from lstm_flax.checkpoints.metadata import read_values; read_values(folder)",
    "first format": (
        "from lstm_flax.checkpoints.format_1 import is_checkpoint; is_checkpoint(folder)"
    ),
    "manifest": "from lstm_flax.checkpoints.manifest import verify; verify(folder)",
    "configuration": (
        "from lstm_flax.config import read_config; read_config(folder / 'config.json')"
    ),
    "results": (
        "from lstm_flax.training.run.workdir import stored_results\n"
        "stored_results(folder, 'test', 1, 1, [])"
    ),
    "log": "from lstm_flax.training.run.progress import RunLog; RunLog(folder / 'log.jsonl', 5)",
    "curves": "from lstm_flax.reports.curves import read_curves; read_curves(folder / 'log.jsonl')",
    "data set": "from lstm_flax.data.cache_files import read_manifest; read_manifest(folder, 1)",
    "split": ("from lstm_flax.data.token_cache import read_split; read_split(folder)"),
    "encoder": (
        "from lstm_flax.text.encoder import TextEncoder\n"
        "TextEncoder.from_files({'encoder.json': (folder / 'encoder.json').read_bytes()})"
    ),
}
FILES = {
    "metadata": "metadata/metadata",
    "first format": "metadata/metadata",
    "manifest": "verification/manifest.json",
    "configuration": "config.json",
    "results": "results.json",
    "log": "log.jsonl",
    "curves": "log.jsonl",
    "data set": "dataset.json",
    "split": "split.json",
    "encoder": "encoder.json",
}
CONTENTS = {
    "many lists": LISTS,
    "five times as many": b"[" + b"[]," * (5 * MOST // 3 - 100) + b"[]]\n",  # just below 50 MB
    "points": b'{"event":"train","step":1,"loss":1}\n' * 1_000_000,
    "short lines": b"ab\n" * (5 * MOST // 3),
    "a long line": b"x" * (20 * MOST) + b"\n",
}


def message(field: int, content: bytes) -> bytes:
    """A field, from 1 to 2,047, of a serialised protobuf message, of at most 127 bytes."""
    tag = field << 3 | 2
    head = [tag] if tag < 128 else [tag & 127 | 128, tag >> 7]
    return bytes([*head, len(content)]) + content


# SentencePiece models of up to 50 MB, each with what takes most memory for its bytes.
SPECIAL = b"".join(
    message(1, message(1, piece) + bytes([3 << 3, kind]))
    for piece, kind in ((b"<pad>", 3), (b"<unk>", 2), (b"<s>", 3), (b"</s>", 3))
)
WORDS = message(2, bytes([3 << 3, 3]))  # a trainer's settings: model_type = WORD
TOKENIZERS: dict[str, Callable[[], bytes]] = {
    "many pieces": lambda: b"".join(
        message(1, message(1, "".join(word).encode()))
        for word in itertools.islice(itertools.product(string.ascii_letters, repeat=4), 6_000_000)
    ),
    "empty pieces": lambda: message(1, b"") * 25_000_000,
    "many settings": lambda: message(2, message(31, b"") * 40) * 400_000,  # symbols of the user
}
# The peak that reading adds, from the kernel: writing 5 sets it back to what is held now.
PROGRAM = """
import sys
from collections.abc import Callable
from pathlib import Path
from lstm_flax.errors import UserError
folder = Path(sys.argv[1])
def read():
{reader}
def held(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
import jax, {modules}
Path("/proc/self/clear_refs").write_text("5")
before = held("VmRSS")
try:
    read()
except Exception as error:
    print(type(error).__name__, str(error)[:200], file=sys.stderr)
print(held("VmHWM") - before)
"""


def peak(reader: str, folder: Path) -> int:
    """Bytes that a reader takes at most, beyond what its process had."""
    module = reader.split()[1]
    indented = "".join(f"    {line.strip()}\n" for line in reader.replace("; ", "\n").splitlines())
    program = PROGRAM.format(reader=indented, modules=module)
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("name", "content"),
    [(name, content) for name in READERS for content in ("many lists", "five times as many")]
    + [(name, content) for name in ("log", "curves") for content in ("short lines", "a long line")]
    + [("curves", "points")],
)
def test_what_is_read_takes_twice_its_size_and_a_constant(
    name: str, content: str, tmp_path: Path
) -> None:
    path = tmp_path / FILES[name]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CONTENTS[content])
    assert peak(READERS[name], tmp_path) < 2 * len(CONTENTS[content]) + CONSTANT


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize("content", TOKENIZERS)
def test_a_tokenizer_takes_twice_its_size_and_a_constant(content: str, tmp_path: Path) -> None:
    model = SPECIAL + TOKENIZERS[content]() + WORDS
    (tmp_path / "tokenizer.model").write_bytes(model)
    reader = (
        "from lstm_flax.text.tokenizer import Tokenizer\n"
        "Tokenizer('word', True, (folder / 'tokenizer.model').read_bytes())"
    )
    assert peak(reader, tmp_path) < 2 * len(model) + CONSTANT
