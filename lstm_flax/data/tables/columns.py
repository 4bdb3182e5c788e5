"""Finds the columns of texts and labels, by name or else by content.

1. A column named `text`, and one named `label`.
2. Otherwise one of the usual other names, alone or at the end of a name, as in `review_text`.
3. Otherwise a rarer name: `title`, `stars`.
4. Otherwise the only column of words, and the only one with few distinct values.

If two columns qualify, an error names them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lstm_flax.data.tables.mistakes import some_names
from lstm_flax.data.tables.table import Record
from lstm_flax.errors import UserError

SAMPLE = 10_000  # number of records to find columns by, at most
FLAGS = ("--config.data.text_column", "--config.data.label_column")
_USUAL = {
    "text": "texts sentence sentences review reviews content body comment comments message "
    "messages tweet question query utterance document post phrase sms article",
    "label": "labels class classes category sentiment target intent topic polarity emotion mood y",
}
_RARER = {
    "text": "title headline description summary abstract subject statement answer",
    "label": "rating ratings stars score tag genre",
}
_OTHERS = "id index idx number date time timestamp created user author name url source"
# Two letters of a script without spaces, or two words.
_WORDS = re.compile(r"[぀-ヿ㐀-鿿豈-﫿฀-໿က-႟ក-៿\U00020000-\U0003134f]{2}|[^\W\d_]\W*\s\W*[^\W\d_]")
_LONG_NAME = 6  # words: a name this long is a text


class FoundColumns(NamedTuple):
    """The names of the columns of texts and labels."""

    text: str
    label: str


def find_columns(
    records: Sequence[Record],
    where: str,
    text: str | None = None,
    label: str | None = None,
    flags: tuple[str, str] = FLAGS,
) -> FoundColumns:
    """Finds the text and label columns of a table.

    >>> rows = [("1", "good", "a fine film"), ("2", "bad", "a dull one"), ("3", "bad", "oh no")]
    >>> names = ("id", "mood", "body")
    >>> find_columns([Record("a.csv", names, row) for row in rows], "a.csv")
    FoundColumns(text='body', label='mood')

    Args:
        records: its first records, at most `SAMPLE`.
        where: the file, for messages.
        text: name of the text column, if known already.
        label: name of the label column, if known already.
        flags: the options that set the two names, for messages.

    Raises:
        UserError: no column or several qualify, or the first line does not hold names.
    """
    columns = _gather(records)
    if text is None:
        text = find_text_column(records, where, label, flags[0])
    if label is None:
        others = {name: column for name, column in columns.items() if name != text}
        named = _by_name("label", others, lambda column: column.may_be_label)
        few = [name for name, column in others.items() if column.is_few]
        if not few and len(others) == 1 and next(iter(others.values())).repeats:
            few = list(others)
        label = _only(named or few, "labels", where, list(columns), flags[1])
        _refuse_examples_as_names(columns, text, label, where)
    return FoundColumns(text, label)


def find_text_column(
    records: Sequence[Record], where: str, label: str | None = None, flag: str = FLAGS[0]
) -> str:
    """Finds the text column of a table; see `find_columns`."""
    columns = {name: column for name, column in _gather(records).items() if name != label}
    named = _by_name("text", columns, lambda column: column.is_text)
    words = [name for name, column in columns.items() if column.is_words]
    if not words and len(columns) == 1:
        words = list(columns)
    return _only(named or words, "texts", where, list(columns), flag)


def text_column_by_name(names: Sequence[str]) -> str | None:
    """Returns the only column whose name says that it holds texts; None if not exactly one.

    >>> text_column_by_name(["id", "Review Text"]), text_column_by_name(["a", "b"])
    ('Review Text', None)
    """
    found = _by_name("text", {name: _Column(["a text"]) for name in names}, lambda column: True)
    return found[0] if len(found) == 1 else None


def is_header(names: Sequence[str], usual: str = "text") -> bool:
    """Returns True if these are certainly column names: one for texts and another usual one.

    >>> is_header(["id", "Review"]), is_header(["Review", "please"]), is_header(["text"])
    (True, False, False)
    >>> is_header(["id", "stars", "review text"]), is_header(["a", "verbatim"], "verbatim")
    (True, True)

    Args:
        names: the fields of a first line.
        usual: the text column in the data of a model.
    """
    if len(names) > 1 and usual in names and usual != "text":
        return True
    words = {_plain(name) for name in names}
    if len(names) > 2:  # prose split into two parts may end in such words
        words |= {_last_word(name) for name in names}
    texts = {"text", *_USUAL["text"].split()}
    known = {"label", "", *_USUAL["label"].split(), *_OTHERS.split(), *texts}
    for rarer in _RARER.values():
        known.update(rarer.split())
    return len(names) > 1 and bool(texts & words) and len(known & words) > 1


def _by_name(
    meant: str, columns: Mapping[str, "_Column"], fits: Callable[["_Column"], bool]
) -> list[str]:
    """Returns the columns with the best-ranked names for `meant`."""
    if meant in columns:
        return [meant]
    usual = {meant, *_USUAL[meant].split()}
    tiers: list[Callable[[str], bool]] = [
        lambda name: _plain(name) == meant,
        lambda name: _plain(name) in usual,
        lambda name: _last_word(name) in usual,
        lambda name: _plain(name) in _RARER[meant].split(),
    ]
    for holds in tiers:
        if found := [name for name, column in columns.items() if holds(name) and fits(column)]:
            return found
    return []


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", name).casefold()


def _last_word(name: str) -> str:
    """Returns the last word of a compound name.

    >>> _last_word("airline_sentiment"), _last_word("SentimentText"), _last_word("text_2")
    ('sentiment', 'text', '2')
    """
    return re.split(r"[\s_.-]+|(?<=[a-z])(?=[A-Z])", name.strip())[-1].casefold()


class _Column:
    """Values of a column, over the records of a sample.

    Attributes:
        values: the values as text.
        is_text: all values are strings.
        is_words: most are texts of several words, and not a few repeated ones.
        is_few: there are few distinct values for so many rows.
        repeats: some values occur more than once.
        may_be_label: enough values repeat for them to be classes, if the name says so.
    """

    def __init__(self, given: Sequence[Any]) -> None:
        given = [value for value in given if value is not None and str(value).strip()]
        rows = len(given)
        self.values = {str(value).strip() for value in given}
        distinct = len(self.values)
        plain = all(isinstance(value, str | int | float) for value in given)
        self.is_text = rows > 0 and all(isinstance(value, str) for value in given)
        few = max(2, min(rows // 3, 50 + rows // 50))
        self.is_few = plain and 2 <= distinct <= few and distinct < rows
        self.repeats = plain and 2 <= distinct < max(rows, 3)
        self.may_be_label = plain and 2 <= distinct <= max(8, rows // 2)
        worded = sum(_WORDS.search(value) is not None for value in given if isinstance(value, str))
        self.is_words = self.is_text and not self.is_few and 2 * worded >= rows


def _gather(records: Sequence[Record]) -> dict[str, _Column]:
    values: dict[str, list[Any]] = {}
    for record in records:
        for name, value in zip(record.names, record.values, strict=True):
            values.setdefault(name, []).append(value)
    return {name: _Column(column) for name, column in values.items()}


def _only(found: Sequence[str], meant: str, where: str, names: Sequence[str], flag: str) -> str:
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{where}: {some_names(found)} could each hold the {meant}; set {flag}=NAME"
        )
    raise UserError(
        f"{where}: cannot tell which column holds the {meant}, of {some_names(names)}; set "
        f"{flag}=NAME, or add a first line of column names if there is none"
    )


def _refuse_examples_as_names(
    columns: Mapping[str, _Column], text: str, label: str, where: str
) -> None:
    if label in columns[label].values or len(text.split()) >= _LONG_NAME:
        raise UserError(
            f"{where}: its first line looks like an example, not like names of columns "
            f"({some_names([text, label])}); add a first line such as text,label"
        )
