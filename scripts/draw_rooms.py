"""Draws the rooms (top-level packages) of `lstm_flax` and the imports between them, from the code.

    python scripts/draw_rooms.py            # writes docs/pictures/rooms.svg, docs/architecture.md
    python scripts/draw_rooms.py --check    # exit status 1 if one of them is stale

The plan is in `rooms.py`.
"""

import sys

from room_arrows import draw_arrows
from room_boxes import MARGIN, PLAIN, WIDTH, draw_box, place_rooms
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

GROUND_GAP = 26


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
