"""A folder of texts with a folder per class."""

from collections.abc import Iterator
from pathlib import Path

from lstm_flax.data.tables.lines import read_lines
from lstm_flax.data.tables.mistakes import Mistake, UnreadableError, some_names
from lstm_flax.errors import UserError


def read_folder(path: Path) -> Iterator[tuple[str, str, str] | Mistake]:
    """Text, label and file of each example.

    Raises:
        UserError: as `folder_files`, or its folders are splits.
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
    """The files below the class folders, in an order that no file system decides.

    Hidden files and folders, backups and what file managers leave are passed over.

    Raises:
        UserError: there is none, or a link leads out of the folder.
    """
    inside = path.resolve()
    files = []
    for file in sorted(path.glob("*/**/*")):
        parts = file.relative_to(path).parts
        if any(map(_is_litter, parts)) or not file.is_file():
            continue
        is_link = file.is_symlink() or (path / parts[0]).is_symlink()
        if is_link and not file.resolve().is_relative_to(inside):
            raise UserError(f"{file}: a link out of {path}; put the text itself there")
        files.append(file)
    if not files:
        raise UserError(f"{path}: no examples; put the texts of each class in a folder of its own")
    return files


def _is_litter(name: str) -> bool:
    """True for the name of a file or folder that nobody wrote as a text or a class.

    >>> [_is_litter(name) for name in (".ipynb_checkpoints", "a.txt~", "Thumbs.db", "a.txt")]
    [True, True, True, False]
    """
    return (
        name.startswith((".", "~$"))
        or name.endswith("~")
        or name.lower() in ("thumbs.db", "desktop.ini", "__macosx", "__pycache__")
    )
