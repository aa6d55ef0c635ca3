"""Digests of bodies: MD5 and every checksum of S3, in one pass; and how the checksums of parts make one of the whole.

Public document: "Checking object integrity in Amazon S3". CRC values are big-endian bytes, shown in base64 like all the others.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from awscrt import checksums as crt
from isal import isal_zlib

from storage.errors import DigestMismatch, InvalidDigest

SLOW_FROM_BYTES = 128 << 10  # MD5 and SHA run at one or two GB/s: from here on they are worth a thread


class _Running(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc:
    """A CRC with the interface of hashlib. They run at tens of GB/s: no thread is worth it."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[..., int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_MAKERS: dict[str, Callable[[], _Running]] = {
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "CRC32": lambda: Crc(isal_zlib.crc32, 4),  # twenty times the others' speed here
    "CRC32C": lambda: Crc(crt.crc32c, 4),
    "CRC64NVME": lambda: Crc(crt.crc64nvme, 8),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
}
_SIZES = {"MD5": 16, "CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
_SLOW = frozenset(["MD5", "SHA1", "SHA256"])
_COMBINE: dict[str, Callable[[int, int, int], int]] = {
    "CRC32": crt.combine_crc32,
    "CRC32C": crt.combine_crc32c,
    "CRC64NVME": crt.combine_crc64nvme,
}
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
HEADERS = {f"x-amz-checksum-{name.lower()}": name for name in ALGORITHMS}


class Digests:
    """Digests of one body. `update` may run in any thread, one call at a time; the engine takes it as one of its hashers.

    What the client said the digests are is told by `expect`, before or after the bytes; `check` compares.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._running = {name: _MAKERS[name]() for name in dict.fromkeys(names)}
        self._updates = [running.update for running in self._running.values()]
        self._slow = not _SLOW.isdisjoint(self._running)
        self._expected: list[tuple[str, bytes, str]] = []
        self._done: dict[str, bytes] = {}
        self.size = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the body."""
        self.size += len(data)
        for update in self._updates:
            update(data)

    async def take(self, data: bytes | memoryview) -> None:
        """The same in the event loop: what takes long goes to a thread meanwhile."""
        if self._slow and len(data) >= SLOW_FROM_BYTES:
            await asyncio.get_running_loop().run_in_executor(None, self.update, data)
        else:
            self.update(data)

    def expect(self, name: str, digest: bytes, said_by: str) -> None:
        """The client says this. `said_by` is the header that said so. Have the digest among the names given at the start."""
        assert name in self._running, name
        self._expected.append((name, digest, said_by))

    def check(self) -> None:
        """After the last byte. Raises DigestMismatch with the header's name."""
        for name, digest, said_by in self._expected:
            if not hmac.compare_digest(self.digest(name), digest):
                raise DigestMismatch(
                    f"The {name} of the bytes that arrived is not the one that the header {said_by} says. Send them again.", field=said_by
                )

    def digest(self, name: str) -> bytes:
        done = self._done.get(name)
        if done is None:
            done = self._done[name] = self._running[name].digest()
        return done

    def hex(self, name: str) -> str:
        return self.digest(name).hex()

    def base64(self, name: str) -> str:
        return encoded(self.digest(name))

    def __contains__(self, name: str) -> bool:
        return name in self._running


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def decoded(name: str, text: str, *, header: str) -> bytes:
    """A digest that came in base64. Raises InvalidDigest if it cannot be one of that algorithm."""
    try:
        digest = base64.b64decode(text.encode("latin-1"), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _SIZES[name]:
        raise InvalidDigest(f"The header {header} is not the base64 form of a digest of {_SIZES[name]} bytes.", field=header)
    return digest


def composite(name: str, parts: Sequence[bytes]) -> str:
    """The checksum over the checksums of the parts, as S3 shows it: base64, a hyphen, the number of parts."""
    running = _MAKERS[name]()
    running.update(b"".join(parts))
    return f"{encoded(running.digest())}-{len(parts)}"


def whole(name: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The CRC of a body from (CRC, size) of its consecutive parts, without reading a byte. Raises KeyError for what is no CRC."""
    combine, value = _COMBINE[name], 0
    for digest, size in parts:
        value = combine(value, int.from_bytes(digest, "big"), size)
    return value.to_bytes(_SIZES[name], "big")


def of(name: str, data: bytes | memoryview) -> bytes:
    """The digest of bytes at hand."""
    running = _MAKERS[name]()
    running.update(data)
    return running.digest()


def announced(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """(algorithm, base64) of the checksum header of a request, or None. Raises InvalidDigest if there are several."""
    found = [(name, headers[header]) for header, name in HEADERS.items() if header in headers]
    if len(found) > 1:
        raise InvalidDigest("A request can have one checksum header, not several.")
    return found[0] if found else None
