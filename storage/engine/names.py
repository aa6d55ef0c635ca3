"""Object names as index keys: exact byte order, names of up to 1,024 arbitrary bytes, keys of at most 511.

A name is escaped so that a NUL can end it (00 becomes 00 FF), and cut into pieces of at most `PIECE` bytes. The first piece lies in
the key space of its bucket, each further piece in a space whose id is a digest of the space and the piece above. Above, a *gate*
(piece + FF) stands in the order where all those longer names belong. Nearly every name is one piece: then this is `space + name + 00`.
"""

from __future__ import annotations

from hashlib import blake2b

PIECE = 440
END = b"\0"
GATE = b"\xff"
SPACE_BYTES = 16


def escape(name: bytes) -> bytes:
    return name.replace(b"\0", b"\0\xff") if b"\0" in name else name


def unescape(escaped: bytes) -> bytes:
    return escaped.replace(b"\0\xff", b"\0") if b"\0" in escaped else escaped


def below(space: bytes, piece: bytes) -> bytes:
    """The key space of the names that go on after this piece."""
    return blake2b(space + piece, digest_size=SPACE_BYTES, person=b"cbx names").digest()


def key(bucket: bytes, name: bytes) -> bytes:
    """Where the rows of this name are; ends with 00."""
    escaped = escape(name)
    if len(escaped) <= PIECE:
        return bucket + escaped + END
    space = bucket
    while len(escaped) > PIECE:
        space = below(space, escaped[:PIECE])
        escaped = escaped[PIECE:]
    return space + escaped + END


def gates(bucket: bytes, name: bytes) -> list[bytes]:
    """The gates that lead to this name, outermost first; none for a usual name."""
    if len(name) <= PIECE // 2:
        return []
    escaped, space, found = escape(name), bucket, []
    while len(escaped) > PIECE:
        found.append(space + escaped[:PIECE] + GATE)
        space = below(space, escaped[:PIECE])
        escaped = escaped[PIECE:]
    return found
