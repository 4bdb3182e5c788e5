"""Places the rooms in the picture and draws them, for `draw_rooms.py`."""

import textwrap
from typing import NamedTuple

from rooms import LEVELS, PACKAGE, files_of, line_count

WIDTH, MARGIN = 960, 30
NARROW = 390
LEVEL_GAP, LINE = 34, 15
CHARACTER = 5.9  # width of a letter in a list of files, at 11 px
# The middle of a room and its width; rooms without an entry share their level evenly.
PLACES = {
    "cli": (480, 560),
    "serving": (785, 270),
    "estimator": (480, 270),
    "reports": (175, 270),
    "inference": (690, 300),
    "recipes": (270, NARROW),
    "training": (270, NARROW),
    "evaluation": (270, NARROW),
    "exporting": (700, NARROW),
    "checkpoints": (700, NARROW),
    "devices": (480, 240),
    "data": (230, NARROW),
    "models": (730, NARROW),
    "text": (230, NARROW),
    "recurrent": (730, NARROW),
    "config": (230, NARROW),
    "display": (510, 200),
    "untrusted": (760, 200),
    "files": (760, 200),
}
COLOURS = {
    "cli": "#e8e3f3",
    "serving": "#e8e3f3",
    "reports": "#e8e3f3",
    "inference": "#e8e3f3",
    "recipes": "#fbe6d4",
    "training": "#fbe6d4",
    "evaluation": "#fbe6d4",
    "exporting": "#e8e3f3",
    "checkpoints": "#fbe6d4",
    "devices": "#e6e6e6",
    "data": "#dcecdc",
    "text": "#dcecdc",
    "models": "#dbe8f6",
    "recurrent": "#dbe8f6",
}
PLAIN = "#f1f1f1"


class Box(NamedTuple):
    """A room in the picture: its left, top, width and height in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """The x of its middle."""
        return self.left + self.width / 2


def file_names(room: str) -> list[str]:
    """Returns the names of a room's files without suffix; `folder/name` for those in a folder."""
    paths = [path.relative_to(PACKAGE / room).with_suffix("") for path in files_of(room)]
    return sorted(
        (str(path) for path in paths if path.name != "__init__"), key=lambda name: "/" in name
    )


def listed(room: str, width: float) -> list[str]:
    """Formats the names of a room's files as lines of text; each inner folder has its own lines."""
    if not (PACKAGE / room).is_dir():
        return []
    groups: dict[str, list[str]] = {}
    for name in file_names(room):
        folder, _, stem = name.rpartition("/")
        groups.setdefault(folder, []).append(stem)
    lines: list[str] = []
    for folder, names in groups.items():
        text = (f"{folder}/: " if folder else "") + " · ".join(n.replace(" ", "") for n in names)
        unbroken = text.replace(" · ", "\u00a0· ").replace("/: ", "/:\u00a0")
        lines += textwrap.wrap(unbroken, int((width - 24) / CHARACTER), break_on_hyphens=False)
    return lines


def place_rooms() -> dict[str, Box]:
    """Places each room above the ground."""
    boxes: dict[str, Box] = {}
    top = float(MARGIN)
    for level in reversed(LEVELS[1:]):
        tallest = 0.0
        for index, room in enumerate(level):
            share = (WIDTH - 2 * MARGIN) / len(level)
            middle, width = PLACES.get(room, (MARGIN + share * (index + 0.5), share - MARGIN))
            height = 32.0 + LINE * len(listed(room, width))
            boxes[room] = Box(middle - width / 2, top, width, height)
            tallest = max(tallest, height)
        top += tallest + LEVEL_GAP
    return boxes


def escape(text: str) -> str:
    """Escapes text for XML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def draw_box(room: str, box: Box) -> list[str]:
    """Draws a room as SVG: its name, its size, its files."""
    paths = files_of(room)
    size = f"{len(paths)} file{'s' * (len(paths) > 1)} · {line_count(paths):,} lines"
    colour = COLOURS.get(room, PLAIN)
    parts = [
        f'<rect x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" height="{box.height:g}" '
        f'rx="6" fill="{colour}" stroke="#8a8a8a"/>',
        f'<text x="{box.left + 12:g}" y="{box.top + 21:g}" font-size="15" font-weight="bold">'
        f"{room}</text>",
        f'<text x="{box.left + box.width - 12:g}" y="{box.top + 20:g}" font-size="11" '
        f'text-anchor="end" fill="#555">{size}</text>',
    ]
    for row, line in enumerate(listed(room, box.width)):
        parts.append(
            f'<text x="{box.left + 12:g}" y="{box.top + 38 + LINE * row:g}" font-size="11" '
            f'fill="#333">{escape(line)}</text>'
        )
    return parts
