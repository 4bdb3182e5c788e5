"""Draws the imports between rooms as arrows that pass the rooms between, for `draw_rooms.py`."""

from collections.abc import Iterable, Mapping

from room_boxes import LEVEL_GAP, MARGIN, WIDTH, Box
from rooms import LEVELS

LANE = 12  # between two lines, and between a line and a room


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
