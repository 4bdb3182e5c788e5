"""The plan of the rooms (top-level packages), and their imports, read from the code.

`LEVELS` is the plan; `tests/project/test_architecture.py` checks the code against it, and
`draw_rooms.py` draws both.
"""

import ast
import io
import tokenize
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lstm_flax"

# The rooms from the ground up. A room may import only rooms of lower levels.
LEVELS = (
    ("errors", "types", "version"),
    ("display", "untrusted"),
    ("files",),
    ("config",),
    ("text", "recurrent"),
    ("data", "models"),
    ("devices",),
    ("checkpoints",),
    ("evaluation", "exporting"),
    ("training",),
    ("recipes",),
    ("inference",),
    ("reports", "serving", "estimator"),
    ("cli",),
)
# Further rules: a room, and rooms that it must not import, lower or not.
FORBIDDEN = (
    ("inference", "training"),
    ("inference", "recipes"),
    ("reports", "training"),
    ("reports", "recipes"),
)
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
DOOR = "the package itself"  # `__init__` and `__main__`: above all rooms


def files_of(room: str) -> list[Path]:
    """Returns the Python files of a room; those at the package's top for `DOOR`."""
    if room == DOOR:
        return sorted(PACKAGE.glob("__*__.py"))
    return sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]


def all_rooms() -> list[str]:
    """Returns the rooms of the plan, from the top down."""
    return [room for level in reversed(LEVELS) for room in level]


def room_of(path: Path) -> str:
    """Returns the room that contains a file of the package."""
    first = path.relative_to(PACKAGE).with_suffix("").parts[0]
    return DOOR if first.startswith("__") else first


def line_count(paths: Iterable[Path]) -> int:
    """Counts the lines of several files."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def code_count(paths: Iterable[Path]) -> int:
    """Counts the lines of several files that are not blank, comment or docstring."""
    return sum(map(_code_lines, paths))


def _code_lines(path: Path) -> int:
    source = path.read_text(encoding="utf-8")
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            first = node.body[0]
            documented |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - documented)


def imported_modules(path: Path) -> set[str]:
    """Returns the dotted modules and names that a file imports anywhere.

    Raises:
        ValueError: an import is relative.
    """
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}:{node.lineno}: relative import")
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def imported_files(path: Path) -> set[Path]:
    """Returns the package files that a file imports; a folder's `__init__` only by its own name."""
    found = set()
    for module in imported_modules(path):
        names = module.split(".")
        if names[0] != PACKAGE.name:
            continue
        while names:  # the last name may be a function
            target = PACKAGE.parent.joinpath(*names)
            for candidate in (target.with_suffix(".py"), target / "__init__.py"):
                if candidate.is_file():
                    found.add(candidate)
                    names = []
                    break
            names = names[:-1]
    return found - {path}


def imports_of_rooms() -> dict[str, set[str]]:
    """Returns the other rooms that each room imports."""
    return {
        room: {room_of(file) for path in files_of(room) for file in imported_files(path)} - {room}
        for room in all_rooms()
    }


def without_detours(imports: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """Removes imports that follow from others: the transitive reduction.

    >>> sorted(without_detours({"a": {"b", "c"}, "b": {"c"}, "c": set()}))
    [('a', 'b'), ('b', 'c')]
    """

    def below(room: str) -> set[str]:
        return imports[room].union(*(below(other) for other in imports[room]))

    return {
        (room, target)
        for room, targets in imports.items()
        for target in targets
        if not any(target in below(other) for other in targets - {target})
    }
