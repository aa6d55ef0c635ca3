"""A small read-only disc in memory, whose label says to a guest what it holds.

ECMA-119 (ISO 9660) with the real names twice: as Rock Ridge (IEEE P1282, on SUSP, IEEE P1281), which Linux and the BSDs read, and as
Joliet, which Windows reads. Nobody depends on the short names beneath, so they are numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

SECTOR = 2048
NAME_LENGTH_MAX = 64  # Joliet's
LABEL_LENGTH_MAX = 16  # Joliet's, in two bytes each
SIZE_BYTES_MAX = 16 * 2**20
_SYSTEM_SECTORS = 16
_DIRECTORY_MODE, _FILE_MODE = 0o040555, 0o100444


@dataclass
class _Node:
    """A file (with `data`) or a directory. `at`: its first sector; of a directory that of the plain tree, then that of the Joliet one."""

    name: str
    data: bytes | None = None
    children: dict[str, _Node] = field(default_factory=dict)
    parent: _Node | None = None
    number: int = 0  # in the path tables, from 1
    short: bytes = b""
    at: list[int] = field(default_factory=lambda: [0, 0])
    size: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def is_directory(self) -> bool:
        return self.data is None

    def sorted(self) -> list[_Node]:
        return [self.children[name] for name in sorted(self.children)]


def disc(label: str, files: Mapping[str, bytes], *, at: datetime) -> bytes:
    """The whole disc. `files`: paths of printable ASCII with "/" between their parts, and what is in them. The same input gives the same
    bytes. ValueError: a name, the label or all of it is too long."""
    if not 1 <= len(label) <= LABEL_LENGTH_MAX or not label.isascii():
        raise ValueError(f"A label has 1 to {LABEL_LENGTH_MAX} letters.")
    root = _tree(files)
    directories = [*_directories(root)]
    sector = _SYSTEM_SECTORS + 3
    tables = []
    for joliet in (False, True):
        length = sum(len(_path_entry(each, joliet, "<")) for each in directories)
        tables.append((length, sector, sector + _sectors(length)))
        sector += 2 * _sectors(length)
    for joliet in (False, True):
        for each in directories:
            each.size[joliet] = _sectors(len(_records(each, joliet, at))) * SECTOR
            each.at[joliet] = sector
            sector += each.size[joliet] // SECTOR
    seen: dict[bytes, int] = {}
    for each in _files(root):
        assert each.data is not None
        if each.data not in seen:  # the same bytes under two names lie there once
            seen[each.data] = sector
            sector += _sectors(len(each.data))
        each.at = [seen[each.data]] * 2
        each.size = [len(each.data)] * 2
    if sector * SECTOR > SIZE_BYTES_MAX:
        raise ValueError(f"A disc has at most {SIZE_BYTES_MAX} bytes.")
    made = bytearray(sector * SECTOR)

    def put(place: int, data: bytes) -> None:
        made[place * SECTOR : place * SECTOR + len(data)] = data

    for joliet in (False, True):
        put(_SYSTEM_SECTORS + joliet, _descriptor(label, root, joliet=joliet, sectors=sector, table=tables[joliet], at=at))
        for order, place in (("<", tables[joliet][1]), (">", tables[joliet][2])):
            put(place, b"".join(_path_entry(each, joliet, order) for each in directories))
        for each in directories:
            put(each.at[joliet], _records(each, joliet, at))
    put(_SYSTEM_SECTORS + 2, b"\xffCD001\x01")
    for data, place in seen.items():
        put(place, data)
    return bytes(made)


def _sectors(length: int) -> int:
    return -(-length // SECTOR)


def _tree(files: Mapping[str, bytes]) -> _Node:
    root = _Node("")
    for path, data in files.items():
        here = root
        *folders, name = path.split("/")
        for part in (*folders, name):
            if not 1 <= len(part) <= NAME_LENGTH_MAX or not part.isascii() or not part.isprintable():
                raise ValueError(f"{part[:80]!r} is no name on a disc.")
        for folder in folders:
            here = here.children.setdefault(folder, _Node(folder, parent=here))
            assert here.is_directory, path
        here.children[name] = _Node(name, data, parent=here)
    for number, each in enumerate(_directories(root), start=1):
        each.number = number
        for place, child in enumerate(each.sorted()):
            child.short = b"%08d" % place + (b"" if child.is_directory else b".;1")
    return root


def _directories(root: _Node) -> Iterator[_Node]:
    """Level by level, which is the order of a path table (ECMA-119, 6.9.1)."""
    level = [root]
    while level:
        yield from level
        level = [child for each in level for child in each.sorted() if child.is_directory]


def _files(node: _Node) -> Iterator[_Node]:
    for child in node.sorted():
        if child.is_directory:
            yield from _files(child)
        else:
            yield child


def _both(form: str, value: int) -> bytes:
    """A number in both byte orders (ECMA-119, 7.2.3 and 7.3.3)."""
    return struct.pack(f"<{form}", value) + struct.pack(f">{form}", value)


def _time(at: datetime) -> bytes:
    at = at.astimezone(UTC)
    return bytes([at.year - 1900, at.month, at.day, at.hour, at.minute, at.second, 0])


def _record(node: _Node, name: bytes, joliet: bool, at: datetime, extra: bytes = b"") -> bytes:
    """A directory record (ECMA-119, 9.1)."""
    body = bytes([0]) + _both("I", node.at[joliet]) + _both("I", node.size[joliet]) + _time(at)
    body += bytes([2 if node.is_directory else 0, 0, 0]) + _both("H", 1) + bytes([len(name)]) + name
    if len(name) % 2 == 0:
        body += b"\x00"
    body += extra + (b"\x00" if len(extra) % 2 else b"")
    return bytes([len(body) + 1]) + body


def _posix(node: _Node) -> bytes:
    """Rock Ridge's PX: mode, links, owner and group."""
    mode = _DIRECTORY_MODE if node.is_directory else _FILE_MODE
    links = 2 + sum(child.is_directory for child in node.children.values()) if node.is_directory else 1
    return b"PX\x24\x01" + _both("I", mode) + _both("I", links) + _both("I", 0) + _both("I", 0)


def _named(node: _Node) -> bytes:
    return b"NM" + bytes([5 + len(node.name), 1, 0]) + node.name.encode()


# SUSP's first entry, which says that others follow, and the one that names Rock Ridge.
_SUSP = b"SP\x07\x01\xbe\xef\x00"
_EXTENSION = b"ER" + bytes([8 + 10, 1, 10, 0, 0, 1]) + b"RRIP_1991A"


def _records(node: _Node, joliet: bool, at: datetime) -> bytes:
    """A directory's content: itself, its parent, then what is in it; no record lies across two sectors."""
    parent = node.parent or node
    extra: Callable[[_Node], bytes] = (lambda each: b"") if joliet else _posix
    first = extra(node) if joliet or node.parent else _SUSP + extra(node) + _EXTENSION
    records = [_record(node, b"\x00", joliet, at, first), _record(parent, b"\x01", joliet, at, extra(parent))]
    for child in node.sorted():
        if joliet:
            name = (child.name + ("" if child.is_directory else ";1")).encode("utf-16-be")
            records.append(_record(child, name, joliet, at))
        else:
            records.append(_record(child, child.short, joliet, at, extra(child) + _named(child)))
    made = b""
    for record in records:
        left = SECTOR - len(made) % SECTOR
        made += (b"\x00" * left if len(record) > left else b"") + record
    return made


def _path_entry(node: _Node, joliet: bool, order: str) -> bytes:
    """ECMA-119, 9.4."""
    name = b"\x00" if node.parent is None else node.name.encode("utf-16-be") if joliet else node.short
    entry = bytes([len(name), 0]) + struct.pack(f"{order}IH", node.at[joliet], (node.parent or node).number) + name
    return entry + (b"\x00" if len(name) % 2 else b"")


def _descriptor(label: str, root: _Node, *, joliet: bool, sectors: int, table: tuple[int, int, int], at: datetime) -> bytes:
    """The volume descriptor (ECMA-119, 8.4), and Joliet's beside it (8.5, with the escape sequence of UCS-2 level 3)."""

    def text(value: str, length: int) -> bytes:
        if joliet:
            return value.ljust(length // 2).encode("utf-16-be").ljust(length, b"\x00")
        return value.encode().ljust(length)

    length, little, big = table
    made = bytes([2 if joliet else 1]) + b"CD001" + bytes([1, 0])
    made += text("", 32) + text(label, 32) + bytes(8) + _both("I", sectors)
    made += (b"%/E" if joliet else b"").ljust(32, b"\x00")
    made += _both("H", 1) + _both("H", 1) + _both("H", SECTOR) + _both("I", length)
    made += struct.pack("<II", little, 0) + struct.pack(">II", big, 0)
    made += _record(root, b"\x00", joliet, at)
    made += text("", 128) * 4 + text("", 37) * 3
    made += (at.astimezone(UTC).strftime("%Y%m%d%H%M%S").encode() + b"00\x00") * 2 + (b"0" * 16 + b"\x00") * 2
    return made + bytes([1, 0])
