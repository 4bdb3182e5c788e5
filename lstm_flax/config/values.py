"""Values of the configuration's fields: parses text, and checks values against a field's type."""

import os
import sys
import types
import typing
from typing import Any

from lstm_flax.errors import UserError

_TRUTH = dict.fromkeys(("true", "t", "1"), True) | dict.fromkeys(("false", "f", "0"), False)


def parse(text: str, hint: Any, path: str) -> Any:
    """Parses a flag's text as the value of a field.

    >>> parse("64,128", tuple[int, ...], "data.bucket_widths")
    (64, 128)

    Raises:
        UserError: the text does not fit the field's type; the field is named.
    """
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        items = [part.strip() for part in text.strip("()[] ").split(",") if part]
        return checked(tuple(_converted(part, item) for part in items), hint, path)
    return checked(_converted(text, hint), hint, path)


def _converted(text: str, hint: Any) -> Any:
    """Converts the text to a number or boolean, or returns it unchanged if it is neither."""
    if hint is bool:
        return _TRUTH.get(text.lower(), text)
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            return text
    return text


def checked(value: Any, hint: Any, path: str) -> Any:
    """Converts the value to the field's type, or raises a `UserError` that names the field."""
    if isinstance(hint, types.UnionType):
        if value is None or value == "":  # "" is what `--config.area.field=` gives
            return None
        hint = typing.get_args(hint)[0]
    rule = f"must be {in_words(hint)}"
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        fits = isinstance(value, list | tuple) and all(_fits(v, item) for v in value)
        require(fits, path, value, rule)
        return tuple(checked(v, item, f"{path}[{i}]") for i, v in enumerate(value))
    require(_fits(value, hint), path, value, rule)
    if hint is float:
        require(abs(value) <= sys.float_info.max, path, value, "must be a finite number")
        return float(value)
    if hint is str:
        require(_is_encodable(value), path, value, "must be text without NUL or lone surrogates")
    return value


def _is_encodable(text: str) -> bool:
    """Returns True if the text can be a file name."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # a lone surrogate
        return False


def require(condition: bool, path: str, value: object, rule: str) -> None:
    """Raises a `UserError` with the field, its value and the rule if the condition is false."""
    if not condition:
        raise UserError(f"config.{path} = {value!r}: {rule}")


def _fits(value: Any, hint: type) -> bool:
    """Checks a plain type: an int passes as a float, but a bool passes as neither."""
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)


def in_words(hint: Any) -> str:
    """Describes the values that a type allows.

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
