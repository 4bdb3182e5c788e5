"""Saves a caller's in-memory texts and labels in the run's folder, so the run can be continued."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lstm_flax.data.examples import check_texts
from lstm_flax.display import to_json
from lstm_flax.errors import UserError
from lstm_flax.files import make_folder, write_text
from lstm_flax.untrusted import require_own_files


def keep_texts(texts: Sequence[str], labels: Sequence[Any], workdir: Path) -> Path:
    """Writes texts and labels into a run's folder; the same texts and labels are the same run.

    Args:
        texts: texts, none of them empty.
        labels: the name of each text's label.
        workdir: the folder; created if missing.

    Returns:
        The file, with the columns `text` and `label`.

    Raises:
        UserError: texts are empty, the numbers of texts and labels differ, or the folder holds a
            run on other texts or cannot be written.
    """
    if len(texts) != len(labels):
        raise UserError(f"{len(texts)} texts but {len(labels)} labels; give each text its own")
    check_texts(texts)
    names = [plain_label(label, index) for index, label in enumerate(labels)]
    make_folder(workdir)
    require_own_files(workdir)
    rows = zip(texts, names, strict=True)
    lines = [to_json({"text": text, "label": name}) for text, name in rows]
    path, content = workdir / "train.jsonl", "\n".join(lines) + "\n"
    has_run = (workdir / "config.json").exists()
    if has_run and not (path.exists() and path.read_text(encoding="utf-8") == content):
        raise UserError(f"{workdir}: holds a run on other texts; choose another folder")
    write_text(path, content)
    return path


def plain_label(label: Any, index: int) -> str | int:
    """Converts a label to a type that JSON can hold; accepts numpy strings and integers.

    >>> import numpy as np
    >>> plain_label(np.int64(3), 0), plain_label(np.str_("pos"), 1)
    (3, 'pos')

    Raises:
        UserError: it is neither a string nor an integer.
    """
    value = label.item() if isinstance(label, np.generic) else label
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise UserError(
            f"labels[{index}] is {type(label).__name__}, not text or a whole number; give names"
        )
    return str(value) if isinstance(value, str) else value
