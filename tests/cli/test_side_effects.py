"""Settings of the whole process: changed by the command line alone, not by importing the rest."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import csv, logging, pathlib, sys

def settings():
    loggers = {name: logging.getLogger(name).level for name in ("", "absl", "asyncio", "jax")}
    return csv.field_size_limit(), loggers, list(logging.getLogger().handlers)

def watch(event, arguments):
    if event == "ctypes.dlsym" and arguments[1] == "mallopt":
        calls.append("mallopt")

calls = []
sys.addaudithook(watch)
before = settings()
import lstm_flax, lstm_flax.cli, lstm_flax.config.files
from lstm_flax.data.sources.rows import read_rows
from lstm_flax.devices import allocator
assert list(read_rows(pathlib.Path(sys.argv[1]), "text", "label"))
lstm_flax.config.files.load_config("imdb", [])
assert settings() == before, settings()
assert calls == []

assert lstm_flax.cli.main(["fields", "seed"]) == 0
assert csv.field_size_limit() == 2**31 - 1
assert settings()[1] != before[1]
assert calls == ["mallopt"] or not sys.platform.startswith("linux")
"""


def test_only_the_command_line_changes_what_belongs_to_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\ngood,pos\nbad,neg\n")
    run = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
