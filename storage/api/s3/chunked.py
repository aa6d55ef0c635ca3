"""The aws-chunked coding of bodies: chunks that may each be signed, and trailers that say a checksum, maybe signed as well.

    SIZE;chunk-signature=HEX CRLF data CRLF … 0;chunk-signature=HEX CRLF [NAME:VALUE CRLF … x-amz-trailer-signature:HEX CRLF] CRLF

Bytes are passed on before their chunk's signature can be checked, so whoever reads must not keep them unless reading ends without
an error: then every signature was good, and the decoded length is the announced one.
Public documents: "Signature calculations for the Authorization header: transferring payload in multiple chunks", "… with trailing
headers", in the reference of Amazon S3's REST API.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cloudbox.common.errors import Invalid
from identity.authn import sigv4
from identity.authn.signatures import Claims, Payload, Reason, Refused
from storage.api.s3.checksums import SLOW_FROM_BYTES
from storage.server import Body, BodyTooLarge, BodyTruncated
from storage.server.messages import PIECE_BYTES

LINE_MAX_BYTES = 1024
TRAILER_MAX_BYTES = 8 << 10
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;chunk-signature=([0-9a-f]{64}))?")
# Some clients end a trailer with LF CR LF, as the document's example shows it.
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([\x21-\x7e]{0,512})[ \t]*\n?")


class ChunksMalformed(Invalid):
    """The coding breaks its grammar."""


class TrailerMalformed(Invalid):
    """The trailer is not what was announced. (S3: MalformedTrailerError)"""


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """What chunk signatures are made with: the day's key, and the signature of the request, which begins the chain."""

    key: bytes
    timestamp: str
    scope: str
    seed: str

    @classmethod
    def of(cls, claims: Claims, key: bytes) -> ChunkKey:
        """`key` is sigv4.signing_key of the claims' secret."""
        return cls(key, claims.timestamp, claims.scope, claims.signature)

    def chunk(self, before: str, sha256: str) -> str:
        return self._sign(f"AWS4-HMAC-SHA256-PAYLOAD\n{self.timestamp}\n{self.scope}\n{before}\n{_EMPTY_SHA256}\n{sha256}")

    def trailer(self, before: str, sha256: str) -> str:
        return self._sign(f"AWS4-HMAC-SHA256-TRAILER\n{self.timestamp}\n{self.scope}\n{before}\n{sha256}")

    def _sign(self, text: str) -> str:
        return sigv4.sign(self.key, text.encode("latin-1"))


class AwsChunkedBody:
    """A body decoded. It is a `Body` like the one it reads from; after the end `trailers` holds what the client said there."""

    def __init__(self, inner: Body, *, payload: Payload, length: int, announced: frozenset[str] = frozenset(), key: ChunkKey | None = None):
        """`length` is x-amz-decoded-content-length; `announced` are the names in x-amz-trailer; `key` is needed where chunks are signed."""
        assert payload.is_chunked
        if payload is not Payload.UNSIGNED_TRAILER and key is None:
            raise ValueError("signed chunks cannot be verified without a key")
        self.length: int | None = length
        self.trailers: dict[str, str] = {}
        self._inner = inner
        self._key = key if payload is not Payload.UNSIGNED_TRAILER else None
        self._with_trailer = payload is not Payload.CHUNKS
        self._announced = announced
        self._before = key.seed if key else ""
        self._signature = ""  # of the present chunk, as the client says
        self._sha256 = hashlib.sha256()
        self._read = b""  # encoded bytes that were read,
        self._at = 0  # and how far they have been looked at: cutting them would copy them each time
        self._left = 0  # bytes of the present chunk that have not been given out
        self._given = 0
        self._ended = False

    # --- Body

    async def read(self, limit: int = PIECE_BYTES) -> bytes:
        if not await self._in_chunk():
            return b""
        if self._at == len(self._read):
            self._read, self._at = await self._inner.read(PIECE_BYTES), 0
            if not self._read:
                raise self._truncated()
        piece = self._read[self._at : self._at + min(limit, self._left)]
        self._at += len(piece)
        await self._gave(piece)
        return piece

    async def read_all(self, limit: int) -> bytes:
        assert self.length is not None
        if self.length - self._given > limit:
            raise BodyTooLarge(f"The body is larger than {limit} bytes.")
        pieces = []
        while piece := await self.read(limit + 1):
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_into(self, view: memoryview) -> int:
        done = 0
        while done < len(view) and await self._in_chunk():
            room = min(len(view) - done, self._left)
            count = min(room, len(self._read) - self._at)
            if count:
                view[done : done + count] = memoryview(self._read)[self._at : self._at + count]
                self._at += count
            else:
                count = await self._inner.read_into(view[done : done + room])
                if not count:
                    raise self._truncated()
            await self._gave(view[done : done + count])
            done += count
        return done

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece

    # --- the coding

    async def _gave(self, piece: bytes | memoryview) -> None:
        self._left -= len(piece)
        self._given += len(piece)
        if self._key is not None:
            if len(piece) >= SLOW_FROM_BYTES:
                await asyncio.get_running_loop().run_in_executor(None, self._sha256.update, piece)
            else:
                self._sha256.update(piece)

    async def _in_chunk(self) -> bool:
        """Come to where bytes of a chunk follow; False at the body's end, which is checked once."""
        while self._left == 0:
            if self._ended:
                return False
            if self._signature:
                await self._end_chunk()
            size, signature = self._size(await self._line())
            self._signature = signature
            assert self.length is not None
            if self._given + size > self.length:
                raise ChunksMalformed(f"The chunks hold more than the {self.length} bytes that x-amz-decoded-content-length says.")
            self._left = size
            if size == 0:
                await self._end()
        return True

    async def _end_chunk(self) -> None:
        self._verify(self._signature)
        if await self._line():
            raise ChunksMalformed("A chunk does not end where its size says.")

    def _verify(self, signature: str) -> None:
        """The present chunk's signature; it is also the beginning of the next one's."""
        if self._key is None:
            return
        expected = self._key.chunk(self._before, self._sha256.hexdigest())
        if not hmac.compare_digest(expected, signature):
            raise Refused(Reason.NO_MATCH, "The signature of a chunk does not match its bytes.", SignatureProvided=signature)
        self._before = expected
        self._sha256 = hashlib.sha256()

    async def _end(self) -> None:
        """After the chunk of size 0: trailers, their signature, nothing more."""
        self._verify(self._signature)
        text = await self._trailer()
        if self._key is not None and self._with_trailer:
            signature = self.trailers.pop("x-amz-trailer-signature", "")
            if not hmac.compare_digest(self._key.trailer(self._before, hashlib.sha256(text).hexdigest()), signature):
                raise Refused(Reason.NO_MATCH, "The signature of the trailer does not match it.", SignatureProvided=signature[:64])
        if set(self.trailers) != self._announced:
            raise TrailerMalformed("The trailers are not those that the header x-amz-trailer announces.")
        if self._given != self.length:
            raise BodyTruncated(f"The body has {self._given} bytes; x-amz-decoded-content-length says {self.length}.")
        if self._at < len(self._read) or await self._inner.read(1):
            raise ChunksMalformed("Bytes follow the last chunk.")
        self._ended = True

    async def _trailer(self) -> bytes:
        """Read the trailers; returns the text that is signed: name:value lines in lower case, without the signature."""
        text = b""
        while line := await self._line():
            match = _TRAILER.fullmatch(line)
            if not match or len(text) > TRAILER_MAX_BYTES:
                raise TrailerMalformed("A trailer is not of the form name:value, or they are too long.")
            name = match[1].lower()
            key = name.decode("ascii")
            if not self._with_trailer or key in self.trailers:
                raise TrailerMalformed("A trailer came that was not announced, or came twice.")
            self.trailers[key] = match[2].decode("ascii")
            if key != "x-amz-trailer-signature":
                text += name + b":" + match[2] + b"\n"
        return text

    def _size(self, line: bytes) -> tuple[int, str]:
        match = _SIZE.fullmatch(line)
        if not match or (match[2] is None) != (self._key is None):
            raise ChunksMalformed("A chunk does not begin with its size" + (" and its signature." if self._key else "."))
        return int(match[1], 16), (match[2] or b"-").decode("ascii")

    async def _line(self) -> bytes:
        """The next line, without its CR LF."""
        while (end := self._read.find(b"\r\n", self._at, self._at + LINE_MAX_BYTES)) < 0:
            if len(self._read) - self._at >= LINE_MAX_BYTES:
                raise ChunksMalformed("A line between chunks is too long.")
            more = await self._inner.read(PIECE_BYTES)
            if not more:
                raise self._truncated()
            self._read, self._at = self._read[self._at :] + more, 0
        line = self._read[self._at : end]
        self._at = end + 2
        return line

    def _truncated(self) -> BodyTruncated:
        return BodyTruncated("The body ended before its last chunk.")
