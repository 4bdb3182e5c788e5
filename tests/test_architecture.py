"""The walls of the house: imports run downward only, and only Orbax's own room knows Orbax."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lstm_flax"
# Each room may import the rooms named and itself.
ROOMS = {
    "allocator": set(),
    "version": set(),
    "errors": set(),
    "fields": {"errors"},
    "types": {"errors"},
    "config": {"errors", "fields", "types"},
    "config_files": {"config", "errors", "fields"},
    "data": {"config", "errors", "types"},
    "model": {"config", "errors", "types"},
    "training": {"config", "data", "errors", "model", "types", "version"},
    "inference": {"config", "data", "errors", "model", "training", "types"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    room = parts[0]
    modules = imported_modules(path)
    for module in modules:
        if module.startswith("lstm_flax.") and room in ROOMS:
            target = module.split(".")[1]
            assert target == room or target in ROOMS[room], f"{path.name} imports {module}"
        if room == "data":
            assert module.split(".")[0] not in ("jax", "flax", "optax"), f"{path.name} has {module}"
        if module.startswith("orbax"):
            assert parts == ("training", "checkpoints"), f"{path.name} imports Orbax"
        assert module.split(".")[0] not in ("torch", "tensorflow", "pickle"), (
            f"{path.name}: {module}"
        )


def test_the_data_half_loads_without_jax() -> None:
    names = [f"lstm_flax.data.{path.stem}" for path in (PACKAGE / "data").glob("[a-z]*.py")]
    code = f"import sys, {', '.join(names)}; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
