"""FAT12, FAT16 and FAT32, with long names."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from compute.filesystems.nodes import FOLDER_BYTES_MAX, Node, shown
from compute.filesystems.source import Source, Unreadable

_READ_ONLY, _HIDDEN, _SYSTEM, _LABEL, _FOLDER = 1, 2, 4, 8, 16
_LONG = _READ_ONLY | _HIDDEN | _SYSTEM | _LABEL
_LONG_PARTS_MAX = 20  # 255 letters, 13 in each


def is_there(source: Source) -> bool:
    if source.size_bytes < 512 or not source.has(510, b"\x55\xaa"):
        return False
    sector = source.read(0, 64)
    size, each, reserved, tables = struct.unpack_from("<HBHB", sector, 11)
    return (
        sector[0] in (0xEB, 0xE9)
        and size in (512, 1024, 2048, 4096)
        and each in (1, 2, 4, 8, 16, 32, 64, 128)
        and reserved > 0
        and tables in (1, 2)
        and sector[21] >= 0xF0
    )


@dataclass(frozen=True)
class _Place:
    """Where contents begin; cluster 0: nowhere, or in the root of FAT12 and FAT16."""

    cluster: int
    size_bytes: int
    is_root: bool = False


class Fat:
    note = ""

    def __init__(self, source: Source) -> None:
        self._source = source
        sector = source.read(0, 512)
        size, each, reserved, tables, roots, few = struct.unpack_from("<HBHBHH", sector, 11)
        (short,), (many,), (long,) = (
            struct.unpack_from("<H", sector, 22),
            struct.unpack_from("<I", sector, 32),
            struct.unpack_from("<I", sector, 36),
        )
        table, total = short or long, few or many
        self._table_at = reserved * size
        self._root_at = (reserved + tables * table) * size
        self._root_bytes = roots * 32
        self._data_at = self._root_at + -(-self._root_bytes // size) * size
        self._cluster = each * size
        clusters = (total * size - self._data_at) // self._cluster
        if clusters <= 0 or not table:
            raise Unreadable("The file system is damaged: its first block says what cannot be.")
        # The number of clusters says which, but some make small ones with FAT32's header; Linux goes by that, too.
        self._bits = 32 if not short else 12 if clusters < 4085 else 16
        self._last = clusters + 1
        self._table_bytes = table * size
        self._root_cluster = struct.unpack_from("<I", sector, 44)[0] if self._bits == 32 else 0
        self.title = f"FAT{self._bits}"
        raw = sector[71:82] if self._bits == 32 else sector[43:54]
        self.label = "" if raw == b"NO NAME    " else shown(raw.decode("cp437").strip())

    def root(self) -> Node:
        return Node("", "folder", 0, None, _Place(self._root_cluster, 0, is_root=True))

    def entries(self, folder: Node) -> Iterator[Node]:
        if folder.kind != "folder":
            raise Unreadable(f"{folder.name} is no folder.")
        long: list[bytes] = []
        for entry in self._rows(folder.handle):
            kind = entry[11]
            if entry[0] == 0:
                return
            if entry[0] == 0xE5:
                long = []
            elif kind & 0x3F == _LONG:
                # From the last part to the first; the last is marked.
                long = [*([] if entry[0] & 0x40 else long), entry[1:11] + entry[14:26] + entry[28:32]][-_LONG_PARTS_MAX:]
            elif kind & _LABEL:
                long = []
            else:
                node = self._node(entry, long)
                long = []
                if node.name not in (".", ".."):
                    yield node

    def read(self, file: Node) -> Iterator[bytes]:
        if file.kind != "file":
            raise Unreadable(f"{file.name} is no file.")
        left = file.handle.size_bytes
        for cluster in self._chain(file.handle.cluster, left):
            yield self._source.read(self._data_at + (cluster - 2) * self._cluster, min(left, self._cluster))
            left -= min(left, self._cluster)
        if left:
            raise Unreadable(f"{file.name} ends before its end: the file system is damaged.")

    # --- folders

    def _rows(self, place: _Place) -> Iterator[bytes]:
        """32 bytes each."""
        if place.is_root and self._bits != 32:
            data = self._source.read(self._root_at, self._root_bytes)
            yield from (data[at : at + 32] for at in range(0, len(data) - 31, 32))
            return
        for cluster in self._chain(place.cluster, FOLDER_BYTES_MAX):
            data = self._source.read(self._data_at + (cluster - 2) * self._cluster, self._cluster)
            yield from (data[at : at + 32] for at in range(0, len(data) - 31, 32))

    def _node(self, entry: bytes, long: list[bytes]) -> Node:
        high, time, date, low, size = struct.unpack_from("<HHHHI", entry, 20)
        cluster = low | (high << 16 if self._bits == 32 else 0)
        kind = "folder" if entry[11] & _FOLDER else "file"
        place = _Place(cluster, 0 if kind == "folder" else size)
        return Node(_name(entry, long), kind, place.size_bytes, _time(date, time), place)

    # --- clusters

    def _chain(self, cluster: int, size_bytes: int) -> Iterator[int]:
        """The clusters of so many bytes, or fewer if the chain ends before. What leads in a circle ends with them."""
        for _ in range(-(-size_bytes // self._cluster)):
            if not 2 <= cluster <= self._last:
                return
            yield cluster
            cluster = self._after(cluster)

    def _after(self, cluster: int) -> int:
        at = cluster * self._bits // 8
        if at + (4 if self._bits == 32 else 2) > self._table_bytes:
            raise Unreadable("The table of clusters ends too early: the file system is damaged.")
        if self._bits == 32:
            return int.from_bytes(self._source.read(self._table_at + at, 4), "little") & 0x0FFFFFFF
        pair = int.from_bytes(self._source.read(self._table_at + at, 2), "little")
        if self._bits == 16:
            return pair
        return pair >> 4 if cluster & 1 else pair & 0xFFF


def _name(entry: bytes, long: list[bytes]) -> str:
    if long:
        text = b"".join(reversed(long)).decode("utf-16-le", "replace").split("\0")[0]
        if text:
            return shown(text)
    first = (b"\xe5" if entry[0] == 5 else entry[:1]) + entry[1:8]
    stem, end = (part.decode("cp437").rstrip(" ") for part in (first, entry[8:11]))
    # Windows keeps in byte 12 which half of a short name was written in lower case.
    stem = stem.lower() if entry[12] & 0x08 else stem
    end = end.lower() if entry[12] & 0x10 else end
    return shown(f"{stem}.{end}" if end else stem)


def _time(date: int, time: int) -> dt.datetime | None:
    """The disk does not say of which zone; taken as UTC."""
    try:
        return dt.datetime(1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2, tzinfo=dt.UTC)
    except ValueError:
        return None
