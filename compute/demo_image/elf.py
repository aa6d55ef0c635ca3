"""What little has to be known about ELF files: a program's libraries and a kernel module's description.

https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html (64 bits, little endian: amd64 only)
"""

from __future__ import annotations

import struct
from pathlib import Path

from compute.demo_image.tools import BuildError

LOAD, DYNAMIC, INTERPRETER = 1, 2, 3
NEEDED, STRINGS = 1, 5


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == b"\x7fELF\x02\x01"


def needed(path: Path) -> list[str]:
    """The libraries a program or library asks for, by name."""
    data = path.read_bytes()
    segments = _segments(data)
    dynamic = next(((offset, size) for kind, offset, _, size in segments if kind == DYNAMIC), None)
    if dynamic is None:
        return []  # static
    entries = list(struct.iter_unpack("<QQ", data[dynamic[0] : dynamic[0] + dynamic[1]]))
    strings = next(value for tag, value in entries if tag == STRINGS)
    for kind, offset, address, size in segments:
        if kind == LOAD and address <= strings < address + size:
            table = offset + strings - address
            return [_text(data, table + value) for tag, value in entries if tag == NEEDED]
    raise BuildError(f"{path.name} is not a program this can read.")


def interpreter(path: Path) -> str | None:
    """The loader a program names, e.g. /lib64/ld-linux-x86-64.so.2."""
    data = path.read_bytes()
    return next((_text(data, offset) for kind, offset, _, _ in _segments(data) if kind == INTERPRETER), None)


def module_info(data: bytes) -> dict[str, str]:
    """The fields of a kernel module's .modinfo; of several with one name, the last."""
    (sections,) = struct.unpack_from("<Q", data, 0x28)
    size, number, names_index = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", data, sections + size * index) for index in range(number)]
    names = headers[names_index][4]
    for name, _, _, _, offset, length in headers:
        if _text(data, names + name) == ".modinfo":
            fields = data[offset : offset + length].decode("utf-8", "replace").split("\0")
            return dict(field.split("=", 1) for field in fields if "=" in field)
    return {}


def _segments(data: bytes) -> list[tuple[int, int, int, int]]:
    """(kind, offset, address, size in the file)"""
    (start,) = struct.unpack_from("<Q", data, 0x20)
    size, number = struct.unpack_from("<HH", data, 0x36)
    found = []
    for index in range(number):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, start + size * index)
        found.append((kind, offset, address, length))
    return found


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
