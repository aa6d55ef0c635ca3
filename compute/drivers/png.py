"""PNG out of raw pixels, with nothing but zlib: a hypervisor hands out PPM, which no browser shows."""

from __future__ import annotations

import struct
import zlib

MAGIC = b"\x89PNG\r\n\x1a\n"
PIXELS_MAX = 7680 * 4320


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def from_rgb(width: int, height: int, rgb: bytes) -> bytes:
    """A PNG of 8-bit RGB pixels given row by row."""
    assert len(rgb) == width * height * 3
    row = width * 3
    # Each row begins with its filter; 0 is none. Level 1: a mostly flat screen shrinks well at any level, and this runs often.
    lines = b"".join(b"\0" + rgb[at : at + row] for at in range(0, len(rgb), row))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return MAGIC + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(lines, 1)) + _chunk(b"IEND", b"")


def from_ppm(ppm: bytes) -> bytes:
    """A PNG of a binary PPM (P6, 8 bits a channel); ValueError when it is not one."""
    fields: list[bytes] = []
    at = 0
    while len(fields) < 4:
        while ppm[at : at + 1].isspace():
            at += 1
        if ppm[at : at + 1] == b"#":
            at = ppm.index(b"\n", at)
            continue
        end = at
        while end < len(ppm) and not ppm[end : end + 1].isspace():
            end += 1
        if end == at:
            raise ValueError("The picture ends in its header.")
        fields.append(ppm[at:end])
        at = end
    width, height, depth = (int(word) for word in fields[1:])
    body = ppm[at + 1 :]
    if fields[0] != b"P6" or depth != 255 or not 0 < width * height <= PIXELS_MAX or len(body) != width * height * 3:
        raise ValueError("The picture is not a whole 8-bit PPM.")
    return from_rgb(width, height, body)
