"""What the store keeps beside the bytes of a version: headers, user metadata, tags, ACL, lock, encryption, checksums.

Packed as JSON with short names, empty fields left out, since it lies in the index once per version and is read with every request.
Both dialects read and write the same properties.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import orjson

Json = Any


@dataclass(slots=True)
class Properties:
    """All times are in ns since 1970. Names of headers and of user metadata are in lower case."""

    content_type: str = field(default="", metadata={"short": "t"})
    headers: dict[str, str] = field(default_factory=dict, metadata={"short": "h"})  # cache-control, content-encoding, expires…
    user: dict[str, str] = field(default_factory=dict, metadata={"short": "m"})  # x-amz-meta-*, X-Object-Meta-*
    tags: dict[str, str] = field(default_factory=dict, metadata={"short": "g"})
    owner: str = field(default="", metadata={"short": "o"})  # The project's id in hex; empty: the bucket's project.
    acl: list[list[str]] = field(default_factory=list, metadata={"short": "a"})  # Grants (acls.py); empty: the owner's alone.
    checksums: dict[str, str] = field(default_factory=dict, metadata={"short": "c"})  # "crc32" -> base64 (with "-N" when composite)
    checksum_type: str = field(default="", metadata={"short": "ct"})  # FULL_OBJECT or COMPOSITE
    retention: list[Json] = field(default_factory=list, metadata={"short": "r"})  # [mode, until]
    legal_hold: bool = field(default=False, metadata={"short": "l"})
    encryption: dict[str, Json] = field(default_factory=dict, metadata={"short": "e"})  # See encryption.py.
    redirect: str = field(default="", metadata={"short": "w"})  # x-amz-website-redirect-location
    expires_ns: int = field(default=0, metadata={"short": "x"})  # Swift's X-Delete-At.
    storage_class: str = field(default="", metadata={"short": "s"})  # As the client called it; empty: STANDARD.
    parts: int = field(default=0, metadata={"short": "p"})  # Of how many parts it was completed; 0: it was not.
    extra: dict[str, Json] = field(default_factory=dict, metadata={"short": "z"})  # What only one dialect knows.

    def pack(self) -> bytes:
        packed = {short: value for short, value in zip(_SHORTS, _VALUES(self), strict=True) if value}
        return orjson.dumps(packed) if packed else b""


_SHORT = tuple((f.name, f.metadata["short"]) for f in fields(Properties))
_SHORTS, _VALUES = tuple(short for _, short in _SHORT), attrgetter(*(name for name, _ in _SHORT))
_LONG = {short: name for name, short in _SHORT}


def listed(meta: bytes) -> tuple[str, dict[str, str], str, str]:
    """What listings show of the properties: storage class, checksums and their type, owner; at a fifth of the cost of all."""
    if not meta:
        return "", {}, "", ""
    kept = orjson.loads(meta).get
    return kept("s", ""), kept("c", {}), kept("ct", ""), kept("o", "")


def unpack(meta: bytes) -> Properties:
    """The properties of a version; fields of a later release are passed over."""
    if not meta:
        return Properties()
    return Properties(**{_LONG[short]: value for short, value in orjson.loads(meta).items() if short in _LONG})
