"""Configurations by name or path, with the flags that change their fields."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lstm_flax.errors import UserError, one_line


def load_config(name: str | None, overrides: Sequence[str], base: Any = None) -> Any:
    """Reads a configuration and applies `--config.area.field=value` flags.

    Args:
        name: a file, a run's `config.json`, or the name of a built-in configuration; None to start
            from `base`.
        overrides: the flags.
        base: the `ConfigDict` to override where no name is given.

    Returns:
        A locked `ConfigDict`.

    Raises:
        UserError: naming the file, field or value that is wrong.
    """
    from absl import flags
    from ml_collections import ConfigDict, config_flags

    from lstm_flax.config import Config, as_config_dict, read_config
    from lstm_flax.config.fields import check_path

    for flag in overrides:
        path, equals, _ = flag.removeprefix("--config.").partition("=")
        check_path(Config, path)
        if not equals:
            raise UserError(f"{flag}: needs a value; write {flag}=VALUE")
    if name is not None and name.endswith(".json"):
        base = as_config_dict(read_config(Path(name)))
        name = None
    values = flags.FlagValues()
    try:
        if name is None:
            argv = ["lstm-flax", *overrides]
            config_flags.DEFINE_config_dict("config", base, flag_values=values, sys_argv=argv)
        else:
            argv = ["lstm-flax", f"--config={find_config(name)}", *overrides]
            config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
        values(argv)
        if not isinstance(values.config, ConfigDict):
            raise TypeError("get_config must return default_config(), changed")
        return values.config
    except UserError:
        raise
    except flags.Error as error:
        for flag in overrides:
            if str(error).startswith(f"flag {flag}:"):
                raise UserError(_wrong_type(flag)) from None
        raise UserError(f"{one_line(error)}; `lstm-flax fields` lists every field") from None
    except Exception as error:  # the file is a program: whatever it raises
        raise UserError(
            f"--config={name}: cannot be read as a configuration "
            f"({type(error).__name__}: {one_line(error)}); correct the file"
        ) from error


def _wrong_type(flag: str) -> str:
    from lstm_flax.config import Config
    from lstm_flax.config.fields import in_words, leaves

    path, _, value = flag.removeprefix("--config.").partition("=")
    return f"config.{path} = {value!r}: must be {in_words(dict(leaves(Config))[path].type)}"


def find_config(name: str) -> Path:
    """The file of a configuration: a path, or the name of one inside the package.

    Raises:
        UserError: listing the built-in names.
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
            f"--config={name}: a configuration is a .py file, or the name of one that is built in; "
            "own texts: --config=sentences --config.data.source=files "
            f"--config.data.train_path={name}"
        )
    raise UserError(
        f"--config={name}: no such file, nor a built-in configuration; built in are "
        + ", ".join(built_in)
    )


def built_in_configs() -> dict[str, Path]:
    """The configurations inside the package, by name."""
    package = Path(__file__).parent.parent
    installed, checkout = package / "configs", package.parent / "configs"
    folder = installed if installed.is_dir() else checkout
    return {file.stem: file for file in sorted(folder.glob("*.py")) if file.stem != "__init__"}
