"""The walls of the house: imports run downward only, and only Orbax's own room knows Orbax."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lstm_flax"
# Each room may import the rooms named and itself.
_BELOW = {"config", "errors", "files", "types"}
ROOMS = {
    "version": set(),
    "errors": set(),
    "types": {"errors"},
    "files": {"errors"},
    "config": {"errors", "types"},
    "recurrent": {"errors", "types"},
    "text": {"config", "errors", "types"},
    "data": {"config", "errors", "files", "text", "types"},
    "models": {"config", "errors", "recurrent", "types"},
    "devices": {"errors", "types"},
    "checkpoints": _BELOW | {"data", "devices", "models", "text", "training"},
    "evaluation": _BELOW | {"checkpoints", "data", "devices", "models", "text", "version"},
    "training": _BELOW
    | {"checkpoints", "data", "devices", "evaluation", "models", "recurrent", "recipes", "text"},
    "recipes": _BELOW
    | {"checkpoints", "data", "devices", "evaluation", "models", "text", "training"},
    "inference": _BELOW
    | {"checkpoints", "data", "devices", "evaluation", "models", "text", "training"},
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
            assert parts == ("checkpoints", "folder"), f"{path.name} imports Orbax"
        assert module.split(".")[0] not in ("torch", "tensorflow", "pickle"), (
            f"{path.name}: {module}"
        )


def test_the_data_half_loads_without_jax() -> None:
    files = [*(PACKAGE / "data").rglob("[a-z]*.py"), *(PACKAGE / "text").glob("[a-z]*.py")]
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in files]
    code = f"import sys, {', '.join(names)}; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
