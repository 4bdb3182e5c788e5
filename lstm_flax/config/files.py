"""Loads configurations by name or path, and applies the flags that change their fields."""

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_flax.config import Config, as_config_dict, read_config
from lstm_flax.config.fields import check_path, leaves
from lstm_flax.config.recipes import recipe_section
from lstm_flax.config.values import parse
from lstm_flax.errors import UserError, one_line

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def load_config(
    name: str | None, overrides: Sequence[str], base: "ConfigDict | None" = None
) -> "ConfigDict":
    """Reads a configuration and applies `--config.area.field=value` flags.

    A flag for a field of an absent section creates the section with its defaults.

    >>> load_config("imdb", ["--config.model.hidden_size=32"]).model.hidden_size
    32

    Args:
        name: a .py file or the name of a built-in configuration, optionally with `:argument` for
            its `get_config`; or a run's `config.json`; None to start from `base`.
        overrides: the flags.
        base: the `ConfigDict` to override if no name is given; None for the defaults.

    Returns:
        A locked `ConfigDict`.

    Raises:
        UserError: names the file, field or value that is wrong.
    """
    changes = [_parsed(flag) for flag in overrides]
    if name is None:
        config = as_config_dict(Config()) if base is None else base
    elif name.endswith(".json"):
        config = as_config_dict(read_config(Path(name)))
    else:
        config = _from_program(name)
    for path, value in changes:
        *sections, field = path.split(".")
        section = config
        for part in sections:
            if section[part] is None:
                section[part] = recipe_section(part)
            section = section[part]
        with section.ignore_type():  # for example, None where a string was
            section[field] = value
    return config


def _parsed(flag: str) -> tuple[str, object]:
    """Splits `--config.path=value` into the path and the parsed value."""
    path, equals, text = flag.removeprefix("--config.").partition("=")
    check_path(Config, path)
    hint = dict(leaves(Config)).get(path)
    if not equals:
        value = "true or " + flag + "=false" if hint and hint.type is bool else "VALUE"
        raise UserError(f"{flag}: needs a value; write {flag}={value}")
    if hint is None:  # an optional section
        if text:
            raise UserError(
                f"config.{path} = {text!r}: a section; set its fields, or leave it empty for none"
            )
        return path, None
    return path, parse(text, hint.type, path)


def _from_program(name: str) -> "ConfigDict":
    """Returns the result of a .py file's `get_config`, given the argument after a colon, if any."""
    name, argument = _split_argument(name)
    path = find_config(name)
    try:
        spec = importlib.util.spec_from_file_location(f"configuration_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config(*argument)
        from ml_collections import ConfigDict  # here, because --help works without it

        if not isinstance(config, ConfigDict):
            raise TypeError("get_config must return default_config(), changed")
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # the file is a program and may raise anything
        advice = "correct the file"
        if isinstance(error, AttributeError) and error.obj is None:
            advice = "put an absent section in first: config.recipes.NAME = recipe_section(NAME)"
        raise UserError(
            f"--config={':'.join([name, *argument])}: cannot be read as a configuration "
            f"({type(error).__name__}: {one_line(error)}); {advice}"
        ) from error
    return config


def _split_argument(name: str) -> tuple[str, list[str]]:
    """Splits off the argument for `get_config`, if there is one, from the file or name.

    >>> _split_argument("mine.py:a:b"), _split_argument("imdb")
    (('mine.py', ['a:b']), ('imdb', []))
    """
    if Path(name).is_file():
        return name, []
    file, *argument = re.split(r"(?<=\.py):" if ".py:" in name else ":", name, maxsplit=1)
    return file, argument


def find_config(name: str) -> Path:
    """Finds the file of a configuration: a path, or the name of one inside the package.

    Raises:
        UserError: there is no such file; the message lists the built-in names.
    """
    if not name:
        raise UserError(f"--config: is empty; built in are {', '.join(built_in_configs())}")
    path = Path(name)
    if path.is_file() and path.suffix == ".py":
        return path
    built_in = built_in_configs()
    if name in built_in:
        return built_in[name]
    if path.exists():
        raise UserError(
            f"--config={name}: a configuration is a .py file, or the name of a built-in one; "
            f"own texts: lstm-flax train {name} --workdir=DIR"
        )
    raise UserError(
        f"--config={name}: no such file, nor a built-in configuration; built in are "
        + ", ".join(built_in)
    )


def built_in_configs() -> dict[str, Path]:
    """Returns the configurations inside the package, by name."""
    package = Path(__file__).parent.parent
    installed, checkout = package / "configs", package.parent / "configs"
    folder = installed if installed.is_dir() else checkout
    return {file.stem: file for file in sorted(folder.glob("*.py")) if file.stem != "__init__"}
