"""Files from elsewhere take no more memory than their size justifies, whatever lies in them."""

import json
import subprocess
import sys
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
        "from lstm_flax.training.workdir import stored_results\n"
        "stored_results(folder, 'test', 1, 1)"
    ),
    "log": "from lstm_flax.training.progress import RunLog; RunLog(folder / 'log.jsonl', 5)",
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
    "data set": "dataset.json",
    "split": "split.json",
    "encoder": "encoder.json",
}
CONTENTS = {
    "many lists": LISTS,
    "five times as many": b"[" + b"[]," * (5 * MOST // 3 - 100) + b"[]]\n",  # just below 50 MB
    "short lines": b"ab\n" * (5 * MOST // 3),
    "a long line": b"x" * (20 * MOST) + b"\n",
}
# The peak that reading adds, from the kernel: writing 5 sets it back to what is held now.
PROGRAM = """
import sys
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
    + [("log", "short lines"), ("log", "a long line")],
)
def test_what_is_read_takes_twice_its_size_and_a_constant(
    name: str, content: str, tmp_path: Path
) -> None:
    path = tmp_path / FILES[name]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CONTENTS[content])
    assert peak(READERS[name], tmp_path) < 2 * len(CONTENTS[content]) + CONSTANT
