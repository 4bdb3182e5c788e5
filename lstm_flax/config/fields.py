"""Sections of the configuration: nested, frozen dataclasses whose fields carry their bounds.

>>> @dataclasses.dataclass(frozen=True)
... class CoffeeConfig(Section, at="coffee"):
...     cups: int = field(1, at_least=1)
>>> CoffeeConfig(cups=0)
Traceback (most recent call last):
...
lstm_flax.errors.UserError: config.coffee.cups = 0: must be at least 1
"""

import dataclasses
import difflib
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from lstm_flax.config.values import checked, require
from lstm_flax.errors import UserError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The values that a field, or each item of a tuple, may take.

    >>> str(Bounds(at_least=0, below=1)), str(Bounds(choices=("lstm", "gru", "rnn")))
    ('at least 0 and below 1', 'lstm, gru or rnn')
    """

    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def allow(self, value: Any) -> bool:
        """Returns True if the value, or each item of a tuple, is within the bounds; allows None.

        >>> Bounds(above=0).allow((0.5, 2.0)), Bounds(above=0).allow((0.5, 0.0))
        (True, False)
        """
        if isinstance(value, tuple):
            return all(self.allow(item) for item in value)
        return value is None or (
            (not self.choices or value in self.choices)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.choices:
            *others, last = self.choices
            return f"{', '.join(others)} or {last}"
        limits = {
            "at least": self.at_least,
            "above": self.above,
            "at most": self.at_most,
            "below": self.below,
        }
        return " and ".join(f"{word} {n}" for word, n in limits.items() if n is not None)


def field(
    default: T,
    *,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    changeable: bool = False,
) -> T:
    """Defines a field of a section.

    Args:
        default: its default value.
        choices: the strings it may hold.
        at_least: its smallest value.
        above: an exclusive lower bound.
        at_most: its largest value.
        below: an exclusive upper bound.
        changeable: True if a run may continue with another value, since no past step depends on it.
    """
    bounds = Bounds(choices, at_least, above, at_most, below)
    return dataclasses.field(default=default, metadata={"bounds": bounds, "changeable": changeable})


def bounds_of(defined: dataclasses.Field) -> Bounds:
    """Returns the bounds that a field was defined with; none for an ordinary dataclass field."""
    return defined.metadata.get("bounds", Bounds())


@dataclasses.dataclass(frozen=True)
class Section:
    """Base class of the configuration and its sections: checks the bounds of every new instance.

    A subclass names its place, as in `class DataConfig(Section, at="data")`. Rules that involve
    several fields belong in its `__post_init__`, after a call of this one.

    Raises:
        UserError: names the first field that has the wrong type or is out of bounds.
    """

    _prefix: ClassVar[str] = ""

    def __init_subclass__(cls, at: str = "") -> None:
        cls._prefix = f"{at}." if at else ""

    def __post_init__(self) -> None:
        for defined in dataclasses.fields(self):
            bounds = bounds_of(defined)
            rule = f"choose {bounds}" if bounds.choices else f"must be {bounds}"
            value = getattr(self, defined.name)
            section = section_class(defined.type)
            if section is None:
                checked(value, defined.type, f"{self._prefix}{defined.name}")
            else:
                absent = value is None and isinstance(defined.type, types.UnionType)
                fits = absent or isinstance(value, section)
                self.require(fits, defined.name, f"must be of class {section.__name__}")
            self.require(bounds.allow(value), defined.name, rule)
            values = value if isinstance(value, tuple) else (value,)
            fits = all(-(2**63) <= n < 2**63 for n in values if type(n) is int)
            self.require(fits, defined.name, "must fit in 64 bits")

    def require(self, condition: bool, name: str, rule: str) -> None:
        """Raises a `UserError` with the field, its value and the rule if the condition is false."""
        if not condition:
            raise UserError(f"config.{self._prefix}{name} = {value_at(self, name)!r}: {rule}")


def section_class(hint: Any) -> type[Section] | None:
    """Returns the class of a section, optional or not; None for the type of a plain field.

    >>> section_class(Section | None), section_class(int)
    (<class 'lstm_flax.config.fields.Section'>, None)
    """
    if isinstance(hint, types.UnionType):  # only `X | None` is used
        hint = typing.get_args(hint)[0]
    return hint if isinstance(hint, type) and issubclass(hint, Section) else None


def leaves(cls: type[Section], prefix: str = "") -> Iterator[tuple[str, dataclasses.Field]]:
    """Yields every plain field with its dotted path, including those of optional sections."""
    for defined in dataclasses.fields(cls):
        if section := section_class(defined.type):
            yield from leaves(section, f"{prefix}{defined.name}.")
        else:
            yield f"{prefix}{defined.name}", defined


def optional_sections(cls: type[Section], prefix: str = "") -> Iterator[str]:
    """Yields the dotted paths of all optional sections."""
    for defined in dataclasses.fields(cls):
        if section := section_class(defined.type):
            if isinstance(defined.type, types.UnionType):
                yield f"{prefix}{defined.name}"
            yield from optional_sections(section, f"{prefix}{defined.name}.")


def meanings(cls: type[Section], prefix: str = "") -> dict[str, str]:
    """Maps the dotted path of every plain field to its meaning, from the sections' docstrings."""
    lines = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2].splitlines()
    documented: dict[str, str] = {}
    name = ""
    for line in lines:
        if match := re.match(r" {4}(\w+): (.*)", line):
            name, words = match.groups()
            documented[name] = words
        elif name:
            documented[name] += " " + line.strip()
    found: dict[str, str] = {}
    for defined in dataclasses.fields(cls):
        if section := section_class(defined.type):
            found |= meanings(section, f"{prefix}{defined.name}.")
        else:
            found[f"{prefix}{defined.name}"] = documented.get(defined.name, "").strip()
    return found


def value_at(instance: Any, path: str) -> Any:
    """Returns the value of a dotted path like `model.hidden_size`; None below an absent section."""
    for name in path.split("."):
        instance = None if instance is None else getattr(instance, name)
    return instance


def check_path(cls: type[Section], path: str) -> None:
    """Checks that a dotted path names a plain field or an optional section.

    Raises:
        UserError: suggests the nearest one.
    """
    known = [known for known, _ in leaves(cls)]
    if path not in known and path not in optional_sections(cls):
        name = path.rpartition(".")[2]
        alike = [other for other in known if other.rpartition(".")[2] == name] or known
        near = difflib.get_close_matches(path, alike, n=1, cutoff=0.0)[0]
        raise UserError(f"config.{path}: no such field; did you mean config.{near}?")


SectionType = TypeVar("SectionType", bound=Section)


def build(cls: type[SectionType], values: Mapping[str, Any], prefix: str = "") -> SectionType:
    """Builds a section from nested values; fields not given keep their defaults.

    None makes an optional section absent, and an empty string makes an optional field None.

    Raises:
        UserError: a field is unknown, or has the wrong type or a bad value; it is named.
    """
    hints = {defined.name: defined.type for defined in dataclasses.fields(cls)}
    built = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if name not in hints:
            known = ", ".join(sorted(hints))
            raise UserError(f"config.{path}: no such field; known are {known}")
        hint = hints[name]
        section = section_class(hint)
        if section is None:
            built[name] = checked(value, hint, path)
        elif value is None and isinstance(hint, types.UnionType):
            built[name] = None
        else:
            require(isinstance(value, Mapping), path, value, "must be a section with fields")
            built[name] = build(section, value, f"{path}.")
    return cls(**built)


def to_config_dict(section: Section) -> "ConfigDict":
    """Converts a section to a locked `ConfigDict`; optional parts become references."""
    from ml_collections import ConfigDict, FieldReference  # here, because --help works without it

    values = {}
    for defined in dataclasses.fields(section):
        value = getattr(section, defined.name)
        if isinstance(value, Section):
            value = to_config_dict(value)
        if isinstance(defined.type, types.UnionType):
            kind = ConfigDict if section_class(defined.type) else str
            value = FieldReference(value, field_type=kind)
        values[defined.name] = value
    return ConfigDict(values).lock()
