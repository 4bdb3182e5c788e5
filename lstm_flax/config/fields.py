"""Nested, frozen dataclasses of checked values: what `config/` is made of."""

import dataclasses
import difflib
import inspect
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from lstm_flax.errors import UserError

T = TypeVar("T")


def changeable(default: T) -> T:
    """A field that may differ when a run continues: it cannot change the steps already taken."""
    return dataclasses.field(default=default, metadata={"changeable": True})


def require(condition: bool, path: str, value: object, rule: str) -> None:
    """Raises a `UserError` that names the field, unless the condition holds."""
    if not condition:
        raise UserError(f"config.{path} = {value!r}: {rule}")


def leaves(cls: type, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field]]:
    """Every field of a nested dataclass that is not one itself, with its dotted path."""
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(field.type):
            yield from leaves(typing.cast(type, field.type), f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field


def meanings(cls: type, prefix: str = "") -> dict[str, str]:
    """What the classes' docstrings say of every field of a nested dataclass, by dotted path."""
    lines = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2].splitlines()
    told: dict[str, str] = {}
    name = ""
    for line in lines:
        if match := re.match(r" {4}(\w+): (.*)", line):
            name, words = match.groups()
            told[name] = words
        elif name:
            told[name] += " " + line.strip()
    found: dict[str, str] = {}
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(field.type):
            found |= meanings(typing.cast(type, field.type), f"{prefix}{field.name}.")
        else:
            found[f"{prefix}{field.name}"] = told.get(field.name, "").strip()
    return found


def value_at(instance: Any, path: str) -> Any:
    """The value of a dotted path such as `model.hidden_size`."""
    for name in path.split("."):
        instance = getattr(instance, name)
    return instance


def check_path(cls: type, path: str) -> None:
    """Makes sure that a dotted path names a field.

    Raises:
        UserError: suggesting the nearest one.
    """
    known = [known for known, _ in leaves(cls)]
    if path not in known:
        name = path.rpartition(".")[2]
        alike = [other for other in known if other.rpartition(".")[2] == name] or known
        near = difflib.get_close_matches(path, alike, n=1, cutoff=0.0)[0]
        raise UserError(f"config.{path}: no such field; did you mean config.{near}?")


def build(cls: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Builds a nested dataclass from nested values; fields not given keep their defaults.

    An empty text leaves a field that may be None empty: None.

    Raises:
        UserError: naming the field, for an unknown field, a wrong type or a bad value.
    """
    hints = typing.get_type_hints(cls)
    built = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if name not in hints:
            known = ", ".join(sorted(hints))
            raise UserError(f"config.{path}: no such field; known are {known}")
        if dataclasses.is_dataclass(hints[name]):
            require(isinstance(value, Mapping), path, value, "must hold fields of its own")
            built[name] = build(hints[name], value, f"{path}.")
        else:
            built[name] = _checked(value, hints[name], path)
    return cls(**built)


def _checked(value: Any, hint: Any, path: str) -> Any:
    """The value in the field's type, or a `UserError` that names the field."""
    if isinstance(hint, types.UnionType):  # only `X | None` is used
        if value is None or value == "":  # the second is what `--config.area.field=` gives
            return None
        hint = typing.get_args(hint)[0]
    rule = f"must be {in_words(hint)}"
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        value = () if value in ("", ("",)) else value  # what `--config.area.field=` gives
        fits = isinstance(value, list | tuple) and all(_fits(v, item) for v in value)
        require(fits, path, value, rule)
        return tuple(_checked(v, item, f"{path}[{i}]") for i, v in enumerate(value))
    require(_fits(value, hint), path, value, rule)
    if hint is float:
        require(math.isfinite(value), path, value, "must be finite")
        return float(value)
    return value


def _fits(value: Any, hint: type) -> bool:
    """Whether a value is of a plain type; a whole number is a number, a truth value is neither."""
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)


def in_words(hint: Any) -> str:
    """What a field takes, as its user would say it.

    >>> in_words(tuple[int, ...])
    'whole numbers, separated by commas'
    """
    if isinstance(hint, types.UnionType):
        hint = typing.get_args(hint)[0]
    one = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    many = {int: "whole numbers", float: "numbers", str: "texts"}
    if typing.get_origin(hint) is tuple:
        return f"{many[typing.get_args(hint)[0]]}, separated by commas"
    return one[hint]
