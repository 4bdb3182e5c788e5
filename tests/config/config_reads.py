"""Which fields of the configuration a source file reads, found in its syntax tree."""

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from lstm_flax.config import Config
from lstm_flax.config.fields import Section, section_class


def _areas(cls: type[Section], prefix: str = "") -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(cls):
        if section := section_class(field.type):
            yield section.__name__, f"{prefix}{field.name}"
            yield from _areas(section, f"{prefix}{field.name}.")


# Each area's dotted path by the name of its class; "" is the configuration itself.
AREAS = dict(_areas(Config)) | {"Config": ""}
LAST_NAMES = {path.rpartition(".")[2]: path for path in AREAS.values() if path}


def fields_read(source: str) -> set[str]:
    """The dotted paths of all fields that a file reads as attributes of a configuration.

    What holds an area is told by its name: the area's own (`config.data.batch_size`), or one that
    the file annotates with the area's class or assigns from it (`settings = config.training`).
    Text never counts, nor what is read only to be shown in an error that is raised.
    """
    tree = ast.parse(source)
    holders: dict[str, set[str]] = {name: {area} for name, area in LAST_NAMES.items()}
    for name, area in _bindings(tree):
        holders.setdefault(name, set()).add(area)
    return {
        f"{area}.{node.attr}".lstrip(".")
        for node in _outside_of_raise(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        for area in holders.get(_last_name(node.value), ())
    }


def fields_read_in(folder: Path, leave_out: str) -> set[str]:
    """The same of all files below a folder, apart from those in folders of the given name."""
    files = [path for path in folder.rglob("*.py") if path.parent.name != leave_out]
    return set().union(*(fields_read(path.read_text(encoding="utf-8")) for path in files))


def _bindings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that hold an area, with that area."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            name = node.arg if isinstance(node, ast.arg) else _last_name(node.target)
            named = {_last_name(part) for part in ast.walk(node.annotation or node)}
            yield from ((name, AREAS[class_name]) for class_name in named & AREAS.keys())
        elif isinstance(node, ast.Assign):
            for target, value in _pairs(node):
                if isinstance(value, ast.Attribute) and value.attr in LAST_NAMES:
                    yield _last_name(target), LAST_NAMES[value.attr]
                elif isinstance(value, ast.Call) and "Config" in ast.unparse(value.func):
                    yield _last_name(target), ""


def _pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=True)
        else:
            yield target, node.value


def _last_name(node: ast.AST) -> str:
    """`c` of `a.b.c`; "" of what has no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _outside_of_raise(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Raise):
            yield child
            yield from _outside_of_raise(child)
