"""The walls of the house: rooms import rooms below, no circle, and only one room knows Orbax."""

import itertools
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import rooms
from room_boxes import WIDTH, place_rooms
from rooms import (
    DOOR,
    FORBIDDEN,
    LEVELS,
    PACKAGE,
    all_rooms,
    imported_files,
    imported_modules,
    imports_of_rooms,
    room_of,
    without_detours,
)

FILES = sorted(PACKAGE.rglob("*.py"))
HEIGHT = {room: height for height, level in enumerate(LEVELS) for room in level}
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}
RUNNERS = PACKAGE / "exporting" / "runners"
WITHOUT_JAX = ("errors", "types", "version", "files", "config", "text", "data")


def names(paths: set[Path]) -> set[str]:
    return {str(path.relative_to(PACKAGE)) for path in paths}


@pytest.mark.smoke
def test_imports_run_downward() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {file.relative_to(PACKAGE)}"
        for path in FILES
        for file in imported_files(path)
        if room_of(path) != DOOR and not may_import(room_of(path), room_of(file))
    ]
    assert not wrong


def may_import(room: str, target: str) -> bool:
    if target == room:
        return True
    below = target != DOOR and HEIGHT[target] < HEIGHT[room]
    return below and (room, target) not in FORBIDDEN


@pytest.mark.smoke
def test_no_file_imports_itself_through_others() -> None:
    graph = {str(path.relative_to(PACKAGE)): names(imported_files(path)) for path in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def test_every_folder_and_file_is_a_room_of_the_plan() -> None:
    assert {room_of(path) for path in FILES} == {*all_rooms(), DOOR}


def test_the_wheel_has_every_folder() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {path.parent.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("__init__.py")}
    packages = {".".join(folder.parts) for folder in folders}
    assert set(project["tool"]["setuptools"]["packages"]) == packages | {"lstm_flax.configs"}


def test_what_rooms_must_not_know() -> None:
    wrong = []
    for path in FILES:
        room = room_of(path)
        refused = {"torch", "tensorflow", "pickle"}
        if room != "checkpoints":
            refused |= {"orbax"}
        if room != "reports":
            refused |= {"matplotlib"}
        if room in WITHOUT_JAX:
            refused |= JAX
        if path.parent == RUNNERS:  # copied into exports
            refused = {PACKAGE.name, "tensorflow", "pickle"}
        packages = {module.split(".")[0] for module in imported_modules(path)}
        wrong += [f"{path.relative_to(PACKAGE)} imports {name}" for name in packages & refused]
    assert not wrong


def test_runners_of_exports_are_copied_never_imported() -> None:
    assert not [path for path in FILES for file in imported_files(path) if file.parent == RUNNERS]


def test_a_wrong_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lstm_flax"
    (package / "data").mkdir(parents=True)
    (package / "training").mkdir()
    (package / "errors.py").touch()
    (package / "training" / "loop.py").touch()
    (package / "data" / "files.py").write_text(
        "def f():\n    from lstm_flax.training import loop\n    import lstm_flax.errors\n"
    )
    monkeypatch.setattr(rooms, "PACKAGE", package)
    assert imported_files(package / "data" / "files.py") == {
        package / "training" / "loop.py",
        package / "errors.py",
    }
    assert room_of(package / "training" / "loop.py") == "training"


def test_the_data_half_loads_without_jax() -> None:
    files = [*(PACKAGE / "data").rglob("[a-z]*.py"), *(PACKAGE / "text").glob("[a-z]*.py")]
    modules = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in files]
    code = f"import sys, {', '.join(modules)}; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_picture_and_table_show_the_code_as_it_is() -> None:
    script = Path(rooms.__file__).with_name("draw_rooms.py")
    run = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_no_two_rooms_of_the_picture_overlap() -> None:
    boxes = place_rooms()
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        beside = a.left + a.width < b.left or b.left + b.width < a.left
        above = a.top + a.height < b.top or b.top + b.height < a.top
        assert beside or above, (one, other)
    assert all(box.left >= 0 and box.left + box.width <= WIDTH for box in boxes.values())


def test_the_picture_leaves_out_only_what_follows_from_its_arrows() -> None:
    imports = imports_of_rooms()
    arrows = without_detours(imports)
    reached: dict[str, set[str]] = {}
    for room in reversed(all_rooms()):
        targets = {target for source, target in arrows if source == room}
        reached[room] = targets.union(*(reached[target] for target in targets))
    assert all(imports[room] <= reached[room] for room in imports)
    assert all(target in imports[room] for room, target in arrows)
