r"""One self-contained HTML page: no script, no request, and text is never interpreted as markup.

>>> markup("<b>\0 \u202e&")
'&lt;b&gt;� �&amp;'
"""

import html
import re
from collections.abc import Sequence

# Characters that draw nothing or reorder the text around them: controls, halves of surrogate pairs,
# and the embeddings, overrides and isolates of right-to-left text. The marks U+200E and U+200F
# stay: Arabic and Hebrew texts need them, and their effect ends with their word.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .9rem; }
th, td { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
tr + tr td { border-top: 1px solid #eee; }
section { border-top: 1px solid #ccc; padding-top: .6rem; }
img { max-width: 100%; } figure { margin: .8rem 0; }
figcaption, .small { color: #555; font-size: .85rem; }
.text { line-height: 1.9; overflow-wrap: anywhere; white-space: pre-wrap; }
.text bdi { border-radius: 3px; padding: .1em .05em; }
.scroll { overflow-x: auto; }
.scroll img { max-width: none; image-rendering: pixelated; display: block; }
"""


def visible(text: str) -> str:
    r"""Replaces each character that is invisible or reorders others by a visible sign.

    >>> visible("a\x1b[31m\u202eb")
    'a�[31m�b'
    """
    return _UNSHOWN.sub("\ufffd", text)


def markup(text: object) -> str:
    """Escapes any text for HTML, inside an element or inside quotes."""
    return html.escape(visible(str(text)), quote=True)


def page(title: str, body: str, style: str = "") -> str:
    """Builds a whole page.

    Args:
        title: plain text.
        body: markup; any text in it must have gone through `markup`.
        style: additional CSS rules.

    Returns:
        The page. Its policy forbids scripts and everything that is not in the page itself.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{markup(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{markup(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]], numbers: bool = True) -> str:
    """Formats a table of plain texts; if `numbers`, all columns but the first are right-aligned.

    >>> print(table(["label", "texts"], [["<neg>", 3]]))
    <table><tr><th>label</th><th class="n">texts</th></tr>
    <tr><td><bdi>&lt;neg&gt;</bdi></td><td class="n"><bdi>3</bdi></td></tr></table>
    """
    kinds = ["", *[' class="n"' if numbers else ""] * (len(head) - 1)]
    lines = ["".join(f"<th{k}>{markup(cell)}</th>" for k, cell in zip(kinds, head, strict=True))]
    lines += [
        "".join(
            f"<td{k}><bdi>{markup(cell)}</bdi></td>" for k, cell in zip(kinds, row, strict=True)
        )
        for row in rows
    ]
    return "<table>" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
