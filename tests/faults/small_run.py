"""A run of seconds as a user starts it: files of texts, a configuration, the command."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from lstm_flax.config import Config
from tests.cli.run_files import write_config
from tests.conftest import small_config, write_small_texts

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class SmallRun:
    """Texts and a configuration in a folder, the same for every run made of them.

    Attributes:
        folder: holds the texts, the configuration, the cache of texts and of compiled programs.
    """

    folder: Path

    @classmethod
    def write(cls, folder: Path, epochs: int = 4) -> "SmallRun":
        """Writes the texts and the configuration: 7 steps an epoch, a save every third step."""
        folder.mkdir(parents=True, exist_ok=True)
        write_small_texts(folder)
        config = small_config(folder)
        config.data.cache_dir = str(folder / "cache")
        config.model.ngram_order = 2
        config.training.ema_decay = 0.9
        config.training.epochs = epochs
        config.training.checkpoint_interval = 3
        write_config(folder / "config.py", Config.from_config_dict(config))
        return cls(folder)

    def arguments(self, command: str, workdir: Path) -> list[str]:
        """The words of `train`, `evaluate` or `predict` for a run in a folder."""
        words = [command, f"--workdir={workdir}"]
        if command == "predict":
            return [*words, "a superb film with warm actors", "dull and wooden"]
        return [*words, f"--config={self.folder / 'config.py'}"]

    def start(self, command: str, workdir: Path, output: Path) -> subprocess.Popen[bytes]:
        """Starts the command in a process group of its own; what it prints goes to a file."""
        environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(self.folder / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        with output.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "lstm_flax", *self.arguments(command, workdir)],
                cwd=ROOT,
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
