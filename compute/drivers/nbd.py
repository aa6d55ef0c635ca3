"""A client of the Network Block Device protocol, as far as reading and filling a disk of qemu-nbd needs it.

Public document: "NBD protocol" of the NetworkBlockDevice project (doc/proto.md): fixed newstyle negotiation, structured replies, and the
meta context "base:allocation", which tells where a disk holds nothing. One request at a time: the disk is local, the wire a socket.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from cloudbox.common.errors import Unavailable

TIMEOUT_SECONDS = 120.0
REQUEST_BYTES_MAX = 16 * 2**20
_HELLO, _OPTION, _REPLY_MAGIC = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9
_REQUEST, _SIMPLE, _STRUCTURED = 0x25609513, 0x67446698, 0x668E33EF
_OPT_GO, _OPT_STRUCTURED, _OPT_META = 7, 8, 10
_REP_ACK, _REP_INFO, _REP_META = 1, 3, 4
_READ, _WRITE, _DISCONNECT, _FLUSH, _WRITE_ZEROES, _STATUS = 0, 1, 2, 3, 6, 7
_NONE, _DATA, _HOLE, _EXTENTS = 0, 1, 2, 5
_DONE = 1  # the flag of a reply's last chunk
_ZERO = 2  # the bit of base:allocation that says: reads as zeros


@dataclass
class Disk:
    """An open export. Not to be shared by threads."""

    _wire: socket.socket
    size_bytes: int = 0
    _context: int | None = None
    _cookie: int = 0

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the disk; those that it does not hold are zeros."""
        assert length <= REQUEST_BYTES_MAX
        found = bytearray(length)
        for kind, body in self._ask(_READ, offset, length):
            if kind == _DATA:
                (at,) = struct.unpack_from(">Q", body)
                piece = memoryview(body)[8:]
                _within(at - offset, len(piece), length)
                found[at - offset : at - offset + len(piece)] = piece
            elif kind == _HOLE:
                at, size = struct.unpack(">QI", body)
                _within(at - offset, size, length)
        return bytes(found)

    def is_zero(self, offset: int, length: int) -> bool:
        """True: it holds nothing there but zeros, and it cost no reading to know. False: it may hold something."""
        if self._context is None:
            return False
        end = offset + length
        while offset < end:
            covered, zero = 0, True
            for kind, body in self._ask(_STATUS, offset, end - offset):
                if kind == _EXTENTS:
                    for size, flags in struct.iter_unpack(">II", body[4:]):
                        covered, zero = covered + size, zero and bool(flags & _ZERO)
            if not zero or not covered:
                return False
            offset += covered
        return True

    def write(self, offset: int, data: bytes) -> None:
        """All zeros are written as a hole."""
        assert len(data) <= REQUEST_BYTES_MAX
        if data.count(0) == len(data):
            for _ in self._ask(_WRITE_ZEROES, offset, len(data)):
                pass
            return
        for _ in self._ask(_WRITE, offset, len(data), data):
            pass

    def flush(self) -> None:
        for _ in self._ask(_FLUSH, 0, 0):
            pass

    def close(self) -> None:
        try:
            self._wire.sendall(struct.pack(">IHHQQI", _REQUEST, 0, _DISCONNECT, 0, 0, 0))
        except OSError:
            pass  # it has ended before us
        self._wire.close()

    # --- requests

    def _ask(self, command: int, offset: int, length: int, data: bytes = b"") -> Iterator[tuple[int, bytes]]:
        self._cookie += 1
        _send(self._wire, struct.pack(">IHHQQI", _REQUEST, 0, command, self._cookie, offset, length) + data)
        while True:
            (magic,) = struct.unpack(">I", _take(self._wire, 4))
            if magic == _SIMPLE:
                error, cookie = struct.unpack(">IQ", _take(self._wire, 12))
                _check(error, cookie, self._cookie)
                return
            if magic != _STRUCTURED:
                raise Unavailable("The disk's server answered what is no NBD.")
            flags, kind, cookie, size = struct.unpack(">HHQI", _take(self._wire, 16))
            if size > length + 4096:
                raise Unavailable("The disk's server answered more than it was asked for.")
            body = _take(self._wire, size)
            _check(struct.unpack_from(">I", body)[0] if kind & 0x8000 else 0, cookie, self._cookie)
            if kind != _NONE:
                yield kind, body
            if flags & _DONE:
                return

    # --- negotiation

    def _negotiate(self) -> None:
        wire = self._wire
        if _take(wire, 8) != _HELLO or _take(wire, 8) != _OPTION:
            raise Unavailable("The disk's server does not speak NBD.")
        _take(wire, 2)
        _send(wire, struct.pack(">I", 3))  # fixed newstyle, no zeroes
        structured = any(kind == _REP_ACK for kind, _ in self._option(_OPT_STRUCTURED, b""))
        if structured:
            name = b"base:allocation"
            wanted = struct.pack(">II", 0, 1) + struct.pack(">I", len(name)) + name
            for kind, body in self._option(_OPT_META, wanted):
                if kind == _REP_META:
                    (self._context,) = struct.unpack_from(">I", body)
        for kind, body in self._option(_OPT_GO, struct.pack(">IH", 0, 0)):
            if kind == _REP_INFO and struct.unpack_from(">H", body)[0] == 0:
                (self.size_bytes,) = struct.unpack_from(">Q", body, 2)
            elif kind & 0x80000000:
                raise Unavailable(f"The disk's server refused: {body[:200].decode(errors='replace')}")

    def _option(self, option: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        _send(self._wire, _OPTION + struct.pack(">II", option, len(data)) + data)
        while True:
            magic, _, kind, length = struct.unpack(">QIII", _take(self._wire, 20))
            if magic != _REPLY_MAGIC or length > 65536:
                raise Unavailable("The disk's server does not speak NBD.")
            body = _take(self._wire, length)
            yield kind, body
            if kind == _REP_ACK or kind & 0x80000000:
                return


def connect(path: str) -> Disk:
    """Open the only export of the server on a unix socket."""
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    wire.settimeout(TIMEOUT_SECONDS)
    try:
        wire.connect(path)
        disk = Disk(wire)
        disk._negotiate()
    except (OSError, struct.error) as error:
        wire.close()
        raise Unavailable("The disk's server does not answer.") from error
    except Unavailable:
        wire.close()
        raise
    return disk


def _within(start: int, size: int, length: int) -> None:
    if start < 0 or start + size > length:
        raise Unavailable("The disk's server answered for another place than it was asked for.")


def _check(error: int, cookie: int, expected: int) -> None:
    if cookie != expected:
        raise Unavailable("The disk's server answered another question.")
    if error:
        raise Unavailable(f"The disk's server could not do it (error {error}).")


def _send(wire: socket.socket, data: bytes) -> None:
    try:
        wire.sendall(data)
    except OSError as error:
        raise Unavailable("The disk's server stopped in the middle.") from error


def _take(wire: socket.socket, count: int) -> bytes:
    found = bytearray(count)
    view, done = memoryview(found), 0
    try:
        while done < count:
            got = wire.recv_into(view[done:])
            if not got:
                raise Unavailable("The disk's server stopped in the middle.")
            done += got
    except OSError as error:
        raise Unavailable("The disk's server stopped in the middle.") from error
    return bytes(found)
