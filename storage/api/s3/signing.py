"""From a request's headers and claims to its body as an application wants it: decoded, with everything to be checked at its end.

incoming = signing.incoming(request.body, request.headers, claims, key, digests=["MD5"])
data = await incoming.body.read_all(limit)          # or read_into, with incoming.digests among the engine's hashers
await incoming.digests.take(data)
incoming.finish()                                   # raises if any digest is not the one that the client said
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cloudbox.common.errors import Invalid
from identity.authn.signatures import Claims, Payload, Reason, Refused
from storage.api.s3 import checksums
from storage.api.s3.checksums import HEADERS, Digests
from storage.api.s3.chunked import AwsChunkedBody, ChunkKey, TrailerMalformed
from storage.errors import DigestMismatch, InvalidDigest
from storage.server import Body


class LengthMissing(Invalid):
    """The length of the body has to be said. (S3: MissingContentLength)"""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A body and its digests. `algorithm` is the checksum that the client chose, if any; `checksum` is known after `finish`."""

    body: Body
    digests: Digests
    algorithm: str = ""
    sha256: bytes = b""  # what the signature says

    @property
    def length(self) -> int:
        assert self.body.length is not None
        return self.body.length

    def finish(self) -> None:
        """After the last byte has gone through `digests`. Raises DigestMismatch, InvalidDigest, or Refused (XAmzContentSHA256Mismatch)."""
        if isinstance(self.body, AwsChunkedBody):
            for header, text in self.body.trailers.items():
                name = HEADERS.get(header)
                if name is not None:
                    self.digests.expect(name, checksums.decoded(name, text, header=header), header)
        if self.sha256 and self.digests.digest("SHA256") != self.sha256:
            raise Refused(
                Reason.BODY,
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                ClientComputedContentSHA256=self.sha256.hex(),
                S3ComputedContentSHA256=self.digests.hex("SHA256"),
            )
        self.digests.check()

    @property
    def checksum(self) -> str:
        """In base64."""
        return self.digests.base64(self.algorithm)


def incoming(
    body: Body,
    headers: Mapping[str, str],
    claims: Claims | None,
    key: bytes = b"",
    *,
    digests: Iterable[str] = ("MD5",),
    sized: bool = True,
) -> Incoming:
    """Prepare to read a body; nothing is read yet. `key` is sigv4.signing_key (needed for signed chunks); `digests` are those wanted
    in any case.

    `sized` is false where a body in chunked coding may come without saying its length.
    Raises LengthMissing, InvalidDigest, TrailerMalformed; TooLarge is the caller's to decide by `length`.
    """
    names = list(digests)
    expected: list[tuple[str, bytes, str]] = []
    if "content-md5" in headers:
        expected.append(("MD5", checksums.decoded("MD5", headers["content-md5"], header="content-md5"), "content-md5"))
    said = checksums.announced(headers)
    algorithm = ""
    if said is not None:
        algorithm, text = said
        header = f"x-amz-checksum-{algorithm.lower()}"
        expected.append((algorithm, checksums.decoded(algorithm, text, header=header), header))
    sha256 = b""
    if claims is not None and claims.payload is Payload.HASHED:
        sha256 = bytes.fromhex(claims.sha256)
        names.append("SHA256")
    payload = claims.payload if claims is not None else Payload.UNSIGNED
    if payload is Payload.UNSIGNED:
        # Without a signature over the body nothing but the header says that chunks follow.
        payload = _unsigned_mode(headers)
    if payload.is_chunked:
        trailers = frozenset(name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip())
        unknown = trailers - HEADERS.keys()
        if unknown or len(trailers) > 1 or (trailers and payload is Payload.CHUNKS):
            raise TrailerMalformed("The header x-amz-trailer must name one checksum header.", field="x-amz-trailer")
        if trailers:
            if said is not None:
                raise InvalidDigest("A checksum is said either in a header or in a trailer, not in both.")
            algorithm = HEADERS[next(iter(trailers))]
        chunk_key = ChunkKey.of(claims, key) if claims is not None and payload is not Payload.UNSIGNED_TRAILER else None
        body = AwsChunkedBody(body, payload=payload, length=_decoded_length(headers), announced=trailers, key=chunk_key)
    elif body.length is None and sized:
        raise LengthMissing("You must provide the Content-Length HTTP header.")
    if algorithm:
        names.append(algorithm)
    names += [name for name, _, _ in expected]
    made = Digests(names)
    for item in expected:
        made.expect(*item)
    return Incoming(body, made, algorithm, sha256)


def _unsigned_mode(headers: Mapping[str, str]) -> Payload:
    word = headers.get("x-amz-content-sha256", "")
    return Payload.UNSIGNED_TRAILER if word == Payload.UNSIGNED_TRAILER.value else Payload.UNSIGNED


def _decoded_length(headers: Mapping[str, str]) -> int:
    text = headers.get("x-amz-decoded-content-length")
    if text is None:
        raise LengthMissing("You must provide the x-amz-decoded-content-length HTTP header.")
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Invalid("The header x-amz-decoded-content-length is not a number of bytes.", field="x-amz-decoded-content-length")
    return int(text)


__all__ = ["DigestMismatch", "Incoming", "LengthMissing", "incoming"]
