"""ext2, ext3 and ext4. https://docs.kernel.org/filesystems/ext4/"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from compute.filesystems.nodes import FOLDER_BYTES_MAX, Node, moment, shown
from compute.filesystems.source import Source, Unreadable

ROOT = 2
READ_BYTES = 2**20
_HAS_JOURNAL = 0x4  # compatible features
# Incompatible ones: those that change nothing for who only reads, and those that are understood.
_RECOVER, _META_BG, _EXTENTS, _64BIT = 0x4, 0x10, 0x40, 0x80
_UNDERSTOOD = 0x2 | _RECOVER | _EXTENTS | _64BIT | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
_ENCRYPTED, _IN_EXTENTS, _INLINE = 0x800, 0x80000, 0x10000000
_EXTENT_MAGIC, _EXTENT_DEPTH_MAX, _UNWRITTEN = 0xF30A, 5, 32768
_INLINE_BYTES = 60
_LINK_BYTES_MAX = 4096


def is_there(source: Source) -> bool:
    return source.has(1024 + 56, b"\x53\xef")


@dataclass(frozen=True)
class _Inode:
    mode: int
    size_bytes: int
    modified: int
    flags: int
    block: bytes  # 60 bytes: a tree of extents, a map of blocks, or the contents themselves


class Ext:
    def __init__(self, source: Source) -> None:
        self._source = source
        block = source.read(1024, 1024)
        inodes, blocks = struct.unpack_from("<II", block)
        (first,), (log_size,) = struct.unpack_from("<I", block, 20), struct.unpack_from("<I", block, 24)
        (self._per_group,) = struct.unpack_from("<I", block, 40)
        (revision,) = struct.unpack_from("<I", block, 76)
        (inode_size,) = struct.unpack_from("<H", block, 88)
        compatible, features = struct.unpack_from("<II", block, 92)
        if log_size > 6 or not self._per_group or not inodes:
            raise Unreadable("The file system is damaged: its first block says what cannot be.")
        if revision == 0:
            inode_size, features = 128, 0
        if unknown := features & ~_UNDERSTOOD:
            raise Unreadable(f"The file system has features that are not known here (0x{unknown:x}). Restore the disk as a volume.")
        self._size = 1024 << log_size
        self._inodes, self._inode_size = inodes, inode_size
        if features & _64BIT:
            blocks |= struct.unpack_from("<I", block, 0x150)[0] << 32
        self._blocks = blocks
        self._group_size = struct.unpack_from("<H", block, 254)[0] if features & _64BIT else 32
        if not 128 <= inode_size <= self._size or not 32 <= self._group_size <= 1024:
            raise Unreadable("The file system is damaged: its first block says what cannot be.")
        self._groups_at = (first + 1) * self._size
        self.label = shown(block[120:136].split(b"\0")[0])
        self.title = "ext4" if features & _EXTENTS else "ext3" if compatible & _HAS_JOURNAL else "ext2"
        in_use = "It was in use at that moment, so what was changed in the last seconds before may be missing or half done here."
        self.note = in_use if features & _RECOVER else ""

    # --- what all file systems do

    def root(self) -> Node:
        return self._node(ROOT, "")

    def entries(self, folder: Node) -> Iterator[Node]:
        inode = self._inode(folder.handle)
        if not stat.S_ISDIR(inode.mode):
            raise Unreadable(f"{folder.name} is no folder.")
        if inode.size_bytes > FOLDER_BYTES_MAX:
            raise Unreadable(f"{folder.name or 'The root'} is too large a folder to be looked through here.")
        if inode.flags & _ENCRYPTED:
            raise Unreadable(f"{folder.name} is encrypted by the guest: only the guest can read it.")
        if inode.flags & _INLINE:
            yield from self._names(self._inline(inode)[4:])
            return
        for data in self._contents(inode, self._size):
            yield from self._names(data)

    def read(self, file: Node) -> Iterator[bytes]:
        inode = self._inode(file.handle)
        if not stat.S_ISREG(inode.mode):
            raise Unreadable(f"{file.name} is no file.")
        if inode.flags & _ENCRYPTED:
            raise Unreadable(f"{file.name} is encrypted by the guest: only the guest can read it.")
        if inode.flags & _INLINE:
            yield self._inline(inode)
            return
        yield from self._contents(inode, READ_BYTES)

    # --- inodes and names

    def _inode(self, number: int) -> _Inode:
        if not 0 < number <= self._inodes:
            raise Unreadable("A name leads to a file that cannot be: the file system is damaged.")
        group, place = divmod(number - 1, self._per_group)
        entry = self._source.read(self._groups_at + group * self._group_size, self._group_size)
        (table,) = struct.unpack_from("<I", entry, 8)
        if self._group_size >= 64:
            table |= struct.unpack_from("<I", entry, 0x28)[0] << 32
        body = self._source.read(table * self._size + place * self._inode_size, 128)
        (mode,), (low,), (modified,) = struct.unpack_from("<H", body), struct.unpack_from("<I", body, 4), struct.unpack_from("<I", body, 16)
        (flags,), (high,) = struct.unpack_from("<I", body, 32), struct.unpack_from("<I", body, 108)
        return _Inode(mode, low | high << 32, modified, flags, body[40:100])

    def _node(self, number: int, name: str) -> Node:
        inode = self._inode(number)
        kind = {stat.S_IFDIR: "folder", stat.S_IFREG: "file", stat.S_IFLNK: "link"}.get(stat.S_IFMT(inode.mode), "other")
        link = self._target(inode) if kind == "link" else ""
        return Node(name, kind, inode.size_bytes if kind == "file" else 0, moment(inode.modified), number, link)

    def _target(self, inode: _Inode) -> str:
        if inode.size_bytes > _LINK_BYTES_MAX:
            return ""
        # A short one stands where otherwise the map of blocks is.
        if inode.size_bytes < _INLINE_BYTES and not inode.flags & _IN_EXTENTS:
            return _path(inode.block[: inode.size_bytes])
        return _path(b"".join(self._contents(inode, self._size)))

    def _names(self, data: bytes) -> Iterator[Node]:
        at = 0
        while at + 8 <= len(data):
            number, length, name_length = struct.unpack_from("<IHB", data, at)
            if length < 8 or at + length > len(data) or name_length > length - 8:
                raise Unreadable("A folder of the file system is damaged.")
            name = data[at + 8 : at + 8 + name_length]
            at += length
            if number and name not in (b"", b".", b".."):
                yield self._entry(number, name)

    def _entry(self, number: int, name: bytes) -> Node:
        try:
            return self._node(number, shown(name))
        except Unreadable:
            # One broken file does not hide its neighbours.
            return Node(shown(name), "other", 0, None, number)

    # --- contents

    def _inline(self, inode: _Inode) -> bytes:
        if inode.size_bytes > _INLINE_BYTES:
            raise Unreadable("It lies within its own record in a way that is not read here. Restore the disk as a volume.")
        return inode.block[: inode.size_bytes]

    def _contents(self, inode: _Inode, at_once: int) -> Iterator[bytes]:
        """From start to end, `at_once` bytes at most at a time, holes as zeros."""
        done, end = 0, inode.size_bytes
        runs = self._extents(inode.block, None) if inode.flags & _IN_EXTENTS else self._mapped(inode)
        for start, block, count in runs:
            place, length = start * self._size, count * self._size
            if place < done:
                raise Unreadable("A file's blocks are out of order: the file system is damaged.")
            yield from _zeros(min(place, end) - done, at_once)
            done = min(place, end)
            if done >= end:
                return
            length = min(length, end - done)
            for offset in range(0, length, at_once):
                yield self._source.read(block * self._size + offset, min(at_once, length - offset))
            done += length
        yield from _zeros(end - done, at_once)

    def _extents(self, node: bytes, depth: int | None) -> Iterator[tuple[int, int, int]]:
        """(logical block, block, count) of all that is written, in order. A tree grows shallower with each step, or is refused."""
        magic, entries, _, here = struct.unpack_from("<HHHH", node)
        wanted = here if depth is None else depth
        if magic != _EXTENT_MAGIC or here != wanted or here > _EXTENT_DEPTH_MAX or 12 + entries * 12 > len(node):
            raise Unreadable("A file's table of blocks is damaged.")
        for at in range(12, 12 + entries * 12, 12):
            if here:
                low, high = struct.unpack_from("<IH", node, at + 4)
                yield from self._extents(self._source.read((low | high << 32) * self._size, self._size), here - 1)
            else:
                start, count, high, low = struct.unpack_from("<IHHI", node, at)
                if count <= _UNWRITTEN:  # more: there is room, but nothing was written into it
                    yield start, low | high << 32, count

    def _mapped(self, inode: _Inode) -> Iterator[tuple[int, int, int]]:
        """The same of ext2 and ext3: 12 blocks by number, then by one, two and three tables of numbers."""
        per, last = self._size // 4, -(-inode.size_bytes // self._size)
        numbers = struct.unpack("<15I", inode.block)
        start = 0
        for place, number in enumerate(numbers):
            depth = max(0, place - 11)
            if start >= last:
                return
            yield from self._below(number, depth, start, last)
            start += per**depth

    def _below(self, number: int, depth: int, start: int, last: int) -> Iterator[tuple[int, int, int]]:
        if not number or start >= last:
            return
        if not depth:
            yield start, number, 1
            return
        per = self._size // 4
        for place, each in enumerate(struct.unpack(f"<{per}I", self._source.read(number * self._size, self._size))):
            yield from self._below(each, depth - 1, start + place * per ** (depth - 1), last)


def _zeros(count: int, at_once: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, at_once))
        count -= at_once


def _path(data: bytes) -> str:
    """Where a link points, as text."""
    return "/".join(shown(name) for name in data.split(b"/"))
