"""Draws the rooms (top-level packages) of `lstm_flax` and the imports between them, from the code.

    python scripts/draw_rooms.py            # writes docs/pictures/rooms.svg, docs/architecture.md
    python scripts/draw_rooms.py --check    # exit status 1 if one of them is stale

The plan is in `rooms.py`.
"""

import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rooms import (
    DOOR,
    LEVELS,
    PACKAGE,
    all_rooms,
    code_count,
    files_of,
    imports_of_rooms,
    line_count,
    without_detours,
)

ROOT = PACKAGE.parent
PICTURE = ROOT / "docs" / "pictures" / "rooms.svg"
DOCUMENT = ROOT / "docs" / "architecture.md"
MARKER = "<!-- rooms -->"

WIDTH, MARGIN, GROUND_GAP = 960, 30, 26
NARROW = 390
LEVEL_GAP, LINE, LANE = 34, 15, 12
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
    "display": (560, 170),
    "files": (760, 170),
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


def table() -> str:
    """Formats the rooms from the top down with their files and lines, in Markdown."""
    rows = [(f"`{room}`", files_of(room)) for room in all_rooms()]
    rows.append((DOOR, files_of(DOOR)))
    rows.append(("**together**", [path for _, paths in rows for path in paths]))
    lines = ["| room | files | lines | code |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {len(paths)} | {line_count(paths):,} | {code_count(paths):,} |"
        for name, paths in rows
    ]
    return "\n".join(lines)


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


def free_way(x: float, level: Iterable[Box]) -> float:
    """Finds the x nearest to the given one at which a line misses a level's rooms."""
    for box in level:
        if box.left - LANE < x < box.left + box.width + LANE:
            ways = (box.left - 2 * LANE, box.left + box.width + 2 * LANE)
            inside = [way for way in ways if MARGIN / 3 < way < WIDTH - MARGIN / 3]
            return min(inside, key=lambda way: abs(way - x))
    return x


class Arrow:
    """An import as a line: where it leaves, the levels that it passes, where it ends."""

    def __init__(self, source: str, target: str, boxes: Mapping[str, Box]) -> None:
        self.source, self.target = source, target
        height = {room: index for index, level in enumerate(LEVELS) for room in level}
        start, end = boxes[source], boxes[target]
        self.passes: list[tuple[int, float]] = []
        x = start.middle
        for level in range(height[source] - 1, height[target], -1):
            remaining = level - height[target] + 1
            x += (end.middle - x) / remaining / 1.5
            x = free_way(x, [boxes[room] for room in LEVELS[level]])
            self.passes.append((level, x))

    def toward(self, side: int, boxes: Mapping[str, Box]) -> float:
        """Returns the preferred x to leave its room (side 0) or to enter its target (side 1)."""
        if self.passes:
            return self.passes[-side][1]
        start, end = boxes[self.source], boxes[self.target]
        low = max(start.left, end.left)
        high = min(start.left + start.width, end.left + end.width)
        if high - low > 2 * LEVEL_GAP:  # one above the other: straight down
            return (low + high) / 2
        return (end, start)[side].middle


def spread(arrows: list[Arrow]) -> None:
    """Separates lines that would pass a level at the same place."""
    for level in range(len(LEVELS)):
        here = [
            (arrow, index)
            for arrow in arrows
            for index, (passed, _) in enumerate(arrow.passes)
            if passed == level
        ]
        here.sort(key=lambda item: item[0].passes[item[1]][1])
        last = -1e9
        for arrow, index in here:
            x = max(arrow.passes[index][1], last + LANE)
            arrow.passes[index] = (level, x)
            last = x


def ports(arrows: list[Arrow], boxes: Mapping[str, Box]) -> dict[tuple[int, str, str], float]:
    """Computes the x at which each arrow leaves its room (side 0) and enters its target (1)."""
    found: dict[tuple[int, str, str], float] = {}
    for side in (0, 1):
        for room, box in boxes.items():
            mine = [arrow for arrow in arrows if (arrow.source, arrow.target)[side] == room]
            mine.sort(key=lambda arrow: arrow.toward(side, boxes))
            low, high = box.left + 20, box.left + box.width - 20
            step = min(40.0, (high - low) / max(len(mine), 1))
            wanted = [min(max(arrow.toward(side, boxes), low), high) for arrow in mine]
            for index in range(1, len(wanted)):
                wanted[index] = max(wanted[index], wanted[index - 1] + step)
            over = max(wanted[-1] - high, 0) if wanted else 0
            for arrow, x in zip(mine, wanted, strict=True):
                found[side, arrow.source, arrow.target] = x - over
    return found


def draw_arrows(edges: set[tuple[str, str]], boxes: Mapping[str, Box]) -> list[str]:
    """Draws all arrows as SVG, straight down past rooms and bent between levels."""
    arrows = [Arrow(source, target, boxes) for source, target in sorted(edges)]
    spread(arrows)
    at = ports(arrows, boxes)
    parts = []
    for arrow in arrows:
        start, end = boxes[arrow.source], boxes[arrow.target]
        x, y = at[0, arrow.source, arrow.target], start.top + start.height
        path = [f"M{x:.1f} {y:.1f}"]
        for level, across in arrow.passes:
            tops = [boxes[room] for room in LEVELS[level]]
            into, out = min(b.top for b in tops), max(b.top + b.height for b in tops)
            bend = (into - y) / 2
            path.append(
                f"C{x:.1f} {y + bend:.1f} {across:.1f} {into - bend:.1f} {across:.1f} {into:.1f}"
                f"V{out:.1f}"
            )
            x, y = across, out
        last, tip = at[1, arrow.source, arrow.target], end.top - 7
        bend = (tip - y) / 2
        path.append(f"C{x:.1f} {y + bend:.1f} {last:.1f} {tip - bend:.1f} {last:.1f} {tip:.1f}")
        parts.append(
            f'<path d="{"".join(path)}" fill="none" stroke="#555" stroke-width="1.4"/>'
            f'<path d="M{last:.1f} {end.top:g}l-4 -8h8z" fill="#555"/>'
        )
    return parts


def draw() -> str:
    """Draws the picture as SVG."""
    boxes = place_rooms()
    imports = imports_of_rooms()
    ground = set(LEVELS[0])
    edges = without_detours(
        {room: targets - ground for room, targets in imports.items() if room not in ground}
    )
    bottom = max(box.top + box.height for box in boxes.values()) + GROUND_GAP
    height = bottom + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" font-family="Helvetica, Arial, sans-serif">',
        "<title>The rooms of lstm_flax and the imports between them</title>",
        f'<rect width="{WIDTH}" height="{height:g}" fill="white"/>',
        *draw_arrows(edges, boxes),
    ]
    for room, box in boxes.items():
        parts += draw_box(room, box)
    parts.append(
        f'<rect x="{MARGIN}" y="{bottom:g}" width="{WIDTH - 2 * MARGIN}" height="32" rx="6" '
        f'fill="{PLAIN}" stroke="#8a8a8a"/>'
    )
    share = (WIDTH - 2 * MARGIN) / (len(LEVELS[0]) + 1)
    for index, room in enumerate(LEVELS[0]):
        x = MARGIN + 12 + share * index
        parts.append(
            f'<text x="{x:g}" y="{bottom + 21:g}" font-size="15" font-weight="bold">{room}'
            f'<tspan font-size="11" font-weight="normal" fill="#555" dx="8">'
            f"{line_count(files_of(room))} lines</tspan></text>"
        )
    parts.append(
        f'<text x="{WIDTH - MARGIN - 12}" y="{bottom + 20:g}" font-size="11" text-anchor="end" '
        'fill="#555">the ground: any room may import it</text>'
    )
    parts.append(
        f'<text x="{WIDTH / 2:g}" y="{bottom + 54:g}" font-size="11" text-anchor="middle" '
        'fill="#555">An arrow is an import. Imports that follow from other arrows '
        "(cli of training, by way of recipes) are left out.</text>"
    )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def document() -> str:
    """Returns `docs/architecture.md` with a current table."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, after = text.split(MARKER)
    return f"{before}{MARKER}\n{table()}\n{MARKER}{after}"


def main() -> int:
    """Writes, or with `--check` compares; returns the exit status."""
    wanted = {PICTURE: draw(), DOCUMENT: document()}
    if "--check" not in sys.argv[1:]:
        for path, content in wanted.items():
            path.write_text(content, encoding="utf-8")
        return 0
    stale = [
        str(path.relative_to(ROOT))
        for path, content in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]
    for name in stale:
        print(f"{name} is stale; run: python scripts/draw_rooms.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
