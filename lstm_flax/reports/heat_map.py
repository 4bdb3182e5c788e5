"""Arrays as small pictures: one pixel per value, sixteen colours, a PNG inside the page.

>>> heat_map(np.array([[0.0, 0.5, 1.0]]), signed=False)[:30]
'data:image/png;base64,iVBORw0K'
"""

import base64
import struct
import zlib

import numpy as np

_LEVELS = 15  # of the sixteen colours; an odd number keeps zero in the middle


def colours(signed: bool) -> list[tuple[int, int, int]]:
    """Returns fifteen colours: white to blue or, for signed values, orange to white to blue.

    Colour-blind readers can distinguish both scales.

    >>> colours(signed=True)[0], colours(signed=True)[7], colours(signed=True)[14]
    ((200, 85, 0), (255, 255, 255), (0, 80, 179))
    """
    return [
        mixed_colour(2 * k / (_LEVELS - 1) - 1 if signed else k / (_LEVELS - 1))
        for k in range(_LEVELS)
    ]


def mixed_colour(value: float) -> tuple[int, int, int]:
    """Mixes from orange (-1) over white to blue (1): red, green and blue, from 0 to 255."""
    end = (0, 80, 179) if value >= 0 else (200, 85, 0)
    part = abs(value)
    red, green, blue = (round(255 + (c - 255) * part) for c in end)
    return red, green, blue


def heat_map(values: np.ndarray, signed: bool) -> str:
    """Encodes the picture of an array as an address for `<img src=...>`.

    Args:
        values: f[h, w], one pixel per value, from 0 to 1, or from -1 to 1 if signed.
        signed: True for values from -1 to 1.
    """
    scaled = (values + 1) / 2 if signed else values
    levels = np.rint(np.clip(np.nan_to_num(scaled), 0, 1) * (_LEVELS - 1)).astype(np.uint8)
    height, width = levels.shape
    levels = np.pad(levels, [(0, 0), (0, width % 2)])
    packed = (levels[:, ::2] << 4) | levels[:, 1::2]  # two pixels per byte
    rows = np.pad(packed, [(0, 0), (1, 0)])  # each row begins with its filter type, none
    palette = bytes(part for colour in colours(signed) for part in colour)
    header = struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)
    chunks = [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    ]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()
