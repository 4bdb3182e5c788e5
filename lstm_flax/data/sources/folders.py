"""A folder of texts with one folder per class."""

from collections.abc import Iterator
from pathlib import Path

from lstm_flax.data.tables.lines import read_lines
from lstm_flax.data.tables.mistakes import Mistake, UnreadableError, some_names
from lstm_flax.data.tables.reading import is_table
from lstm_flax.errors import UserError

_PART_NAMES = {
    "train": ("train", "training"),
    "development": ("development", "dev", "validation", "valid", "val"),
    "test": ("test", "testing"),
}
_UNLABELLED = "unsup"  # in IMDB's archive: reviews without a label


def parts_of(path: Path) -> dict[str, Path]:
    """Finds the parts of a data set in one folder: `train/` and `test/`, or `train.csv` and so on.

    Args:
        path: any folder.

    Returns:
        The path of `train`, and of `development` and `test` if present; empty for a folder of
        labels, or any other folder.

    Raises:
        UserError: a part occurs twice.
    """
    named = {name: part for part, names in _PART_NAMES.items() for name in names}
    entries = [entry for entry in sorted(path.iterdir()) if not _is_litter(entry.name)]
    folders = [entry for entry in entries if entry.is_dir()]
    given = folders or [entry for entry in entries if is_table(entry)]
    if any(_part_name(entry) not in named for entry in folders):
        return {}
    parts: dict[str, Path] = {}
    for entry in given:
        part = named.get(_part_name(entry))
        if part in parts:
            raise UserError(
                f"{path}: {parts[part].name} and {entry.name} could each be the {part} part; name "
                "the files one by one: the training part, then --test=FILE"
            )
        if part is not None:
            parts[part] = entry
    return parts if "train" in parts else {}


def _part_name(entry: Path) -> str:
    """Returns the name of a part: `train` for `Train.csv.gz`."""
    return (entry.name if entry.is_dir() else entry.name.partition(".")[0]).lower()


def read_folder(path: Path) -> Iterator[tuple[str, str, str] | Mistake]:
    """Yields the text, label and file of each example.

    Raises:
        UserError: see `folder_files`; or the class folders are really splits.
    """
    files = folder_files(path)
    folders = {file.relative_to(path).parts[0] for file in files}
    if folders & {"train", "test"}:
        raise UserError(
            f"{path}: holds the folders {some_names(sorted(folders))}, which look like splits, not "
            f"labels; name one of them, such as {path / 'train'}"
        )
    for file in files:
        try:
            text = "".join(line for _, line in read_lines(file))
        except UnreadableError as error:
            yield error.mistake
        else:
            yield text, file.relative_to(path).parts[0], str(file)


def folder_files(path: Path) -> list[Path]:
    """Returns the files in the class folders, in an order independent of the file system.

    Hidden files and folders, backups and files left by file managers are skipped, as is the folder
    `unsup` of IMDB's archive, whose reviews have no labels.

    Raises:
        UserError: there are no files, one is not a text, or a link points outside the folder.
    """
    inside = path.resolve()
    files = []
    for file in sorted(path.glob("*/**/*")):
        parts = file.relative_to(path).parts
        if any(map(_is_litter, parts)) or parts[0] == _UNLABELLED or file.is_dir():
            continue
        if not file.is_file():
            raise UserError(f"{file}: a broken link, pipe or device, not a text; remove it")
        is_link = file.is_symlink() or (path / parts[0]).is_symlink()
        if is_link and not file.resolve().is_relative_to(inside):
            raise UserError(f"{file}: a link out of {path}; put the text itself there")
        files.append(file)
    if not files:
        raise UserError(f"{path}: no examples; put the texts of each class in its own folder")
    return files


def _is_litter(name: str) -> bool:
    """Returns True for the name of a file or folder that is neither a text nor a class.

    >>> [_is_litter(name) for name in (".ipynb_checkpoints", "a.txt~", "Thumbs.db", "a.txt")]
    [True, True, True, False]
    """
    return (
        name.startswith((".", "~$"))
        or name.endswith("~")
        or name.lower() in ("thumbs.db", "desktop.ini", "__macosx", "__pycache__")
    )
