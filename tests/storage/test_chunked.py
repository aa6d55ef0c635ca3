"""Bodies in aws-chunked coding and the digests of bodies: cut into pieces in every way, with each signature, length and trailer
tried right and wrong. Encoding is done here from the public description; botocore's own encoder is tried where it has one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import zlib
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudbox.common.errors import CloudError, Invalid
from identity.authn.signatures import Claims, Payload, Reason, Refused
from identity.authn.sigv4 import signing_key
from storage.api.s3 import checksums, signing
from storage.api.s3.checksums import ALGORITHMS, Digests
from storage.api.s3.chunked import AwsChunkedBody, ChunksMalformed, TrailerMalformed
from storage.errors import DigestMismatch, InvalidDigest
from storage.server import BodyTooLarge, BodyTruncated

SECRET = "secret"
KEY = signing_key(SECRET, "20260131", "here-1", "s3")
SEED = "ab" * 32
EMPTY = hashlib.sha256(b"").hexdigest()


class Pieces:
    """A `Body` that gives what it was made of, in these pieces."""

    def __init__(self, data: bytes, sizes: list[int] | None = None, *, length: int | None = None) -> None:
        self.length = len(data) if length is None else length
        self._data = data
        self._sizes = iter(sizes or [])

    async def read(self, limit: int = 1 << 18) -> bytes:
        count = min(limit, next(self._sizes, 1 << 18))
        piece, self._data = self._data[:count], self._data[count:]
        return piece

    async def read_all(self, limit: int) -> bytes:
        data, self._data = self._data, b""
        return data

    async def read_into(self, view: memoryview) -> int:
        piece = await self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece


def claims(payload: Payload) -> Claims:
    return Claims(
        access_key="KEY",
        version=4,
        signature=SEED,
        timestamp="20260131T000000Z",
        date="20260131",
        region="here-1",
        service="s3",
        payload=payload,
    )


def sign(text: str) -> str:
    return hmac.digest(KEY, text.encode(), "sha256").hex()


def encoded(data: bytes, payload: Payload, chunk: int, trailer: tuple[str, str] | None = None, *, spoil: int = -1) -> bytes:
    """`spoil` is the number of a chunk whose signature is made over other bytes (-1: none; the trailer's is 1000)."""
    before, out = SEED, b""
    head = "20260131T000000Z\n20260131/here-1/s3/aws4_request\n"
    for number, at in enumerate([*range(0, len(data), chunk), len(data)]):
        piece = data[at : at + chunk]
        line = f"{len(piece):x}"
        if payload is not Payload.UNSIGNED_TRAILER:
            digest = hashlib.sha256(piece + (b"x" if spoil == number else b"")).hexdigest()
            before = sign(f"AWS4-HMAC-SHA256-PAYLOAD\n{head}{before}\n{EMPTY}\n{digest}")
            line += f";chunk-signature={before}"
        out += line.encode() + b"\r\n" + piece + (b"\r\n" if piece else b"")
    if trailer:
        name, value = trailer
        out += f"{name}:{value}\r\n".encode()
        if payload is Payload.CHUNKS_TRAILER:
            digest = hashlib.sha256(f"{name}:{value}{'x' if spoil == 1000 else ''}\n".encode()).hexdigest()
            out += f"x-amz-trailer-signature:{sign(f'AWS4-HMAC-SHA256-TRAILER{chr(10)}{head}{before}{chr(10)}{digest}')}\r\n".encode()
    return out + b"\r\n"


async def drink(body: AwsChunkedBody | signing.Body, how: str, digests: Digests | None = None) -> bytes:
    got = b""
    if how == "read_into":
        buffer = memoryview(bytearray(1000))
        while count := await body.read_into(buffer):
            got += buffer[:count]
    elif how == "read_all":
        got = await body.read_all(1 << 30)
    else:
        async for piece in body:
            got += piece
    if digests:
        await digests.take(got)
    return got


def receive(
    wire: bytes,
    headers: dict[str, str],
    payload: Payload,
    *,
    sizes: list[int] | None = None,
    how: str = "iterate",
    length: int | None = None,
) -> tuple[bytes, signing.Incoming]:
    async def go() -> tuple[bytes, signing.Incoming]:
        incoming = signing.incoming(Pieces(wire, sizes, length=length), headers, claims(payload), KEY)
        data = await drink(incoming.body, how, incoming.digests)
        incoming.finish()
        return data, incoming

    return asyncio.run(go())


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


MODES = st.sampled_from([Payload.CHUNKS, Payload.CHUNKS_TRAILER, Payload.UNSIGNED_TRAILER])


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=3000),
    MODES,
    st.integers(1, 1500),
    st.sampled_from(ALGORITHMS),
    st.lists(st.integers(1, 400)),
    st.sampled_from(["iterate", "read_all", "read_into"]),
)
def test_every_mode_gives_back_what_was_sent(data: bytes, payload: Payload, chunk: int, algorithm: str, sizes: list[int], how: str) -> None:
    headers = {"x-amz-decoded-content-length": str(len(data))}
    trailer = None
    if payload is not Payload.CHUNKS:
        headers["x-amz-trailer"] = f"x-amz-checksum-{algorithm.lower()}"
        trailer = (headers["x-amz-trailer"], b64(checksums.of(algorithm, data)))
    got, incoming = receive(encoded(data, payload, chunk, trailer), headers, payload, sizes=sizes, how=how)
    assert got == data
    assert incoming.length == len(data)
    assert incoming.digests.hex("MD5") == hashlib.md5(data, usedforsecurity=False).hexdigest()
    if trailer:
        assert (incoming.algorithm, incoming.checksum) == (algorithm, trailer[1])


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.sampled_from([Payload.CHUNKS, Payload.CHUNKS_TRAILER]), st.data())
def test_one_wrong_signature_spoils_the_body(data: bytes, payload: Payload, draw: st.DataObject) -> None:
    trailer = ("x-amz-checksum-crc32", b64(checksums.of("CRC32", data))) if payload is Payload.CHUNKS_TRAILER else None
    headers = {"x-amz-decoded-content-length": str(len(data))} | ({"x-amz-trailer": trailer[0]} if trailer else {})
    chunks = -(-len(data) // 50)
    spoil = draw.draw(st.sampled_from([*range(chunks + 1), *([1000] if trailer else [])]))
    with pytest.raises(Refused) as caught:
        receive(encoded(data, payload, 50, trailer, spoil=spoil), headers, payload)
    assert caught.value.reason is Reason.NO_MATCH


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), MODES, st.data())
def test_a_body_cut_or_changed_anywhere_is_never_taken_for_whole(data: bytes, payload: Payload, draw: st.DataObject) -> None:
    trailer = ("x-amz-checksum-crc32c", b64(checksums.of("CRC32C", data))) if payload is not Payload.CHUNKS else None
    headers = {"x-amz-decoded-content-length": str(len(data))} | ({"x-amz-trailer": trailer[0]} if trailer else {})
    wire = encoded(data, payload, 64, trailer)
    at = draw.draw(st.integers(0, len(wire) - 1))
    if draw.draw(st.booleans()):
        spoilt = wire[:at]
    else:
        spoilt = wire[:at] + bytes([wire[at] ^ draw.draw(st.integers(1, 255))]) + wire[at + 1 :]
    try:
        got, _ = receive(spoilt, headers, payload)
    except CloudError:
        return
    assert got == data  # only what means the same may differ: a letter's case in a size or a trailer's name


def bad(wire: bytes, kind: type[CloudError], payload: Payload = Payload.UNSIGNED_TRAILER, length: int = 3, **headers: str) -> None:
    with pytest.raises(kind):
        receive(wire, {"x-amz-decoded-content-length": str(length), **{k.replace("_", "-"): v for k, v in headers.items()}}, payload)


def test_wrong_codings_are_told_apart() -> None:
    bad(b"3\r\nabc\r\n0\r\n\r\nmore", ChunksMalformed)
    bad(b"3\r\nabcd\r\n0\r\n\r\n", ChunksMalformed)
    bad(b"4\r\nabcd\r\n0\r\n\r\n", ChunksMalformed)
    bad(b"ffffffffffffffffff\r\nabc", ChunksMalformed)
    bad(b"-3\r\nabc\r\n0\r\n\r\n", ChunksMalformed)
    bad(b"0x3\r\nabc\r\n0\r\n\r\n", ChunksMalformed)
    bad(b"3;chunk-signature=" + b"0" * 64 + b"\r\nabc\r\n0\r\n\r\n", ChunksMalformed)
    bad(b"3\r\nabc\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n", ChunksMalformed)
    bad(b"3\r\nabc\r\n0\r\n\r\n", ChunksMalformed, Payload.CHUNKS)
    bad(b"a" * 5000, ChunksMalformed)
    bad(b"2\r\nab\r\n0\r\n\r\n", BodyTruncated)
    bad(b"3\r\nab", BodyTruncated)
    bad(b"3\r\nabc\r\n0\r\n\r\n", TrailerMalformed, x_amz_trailer="x-amz-checksum-crc32")
    bad(b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", TrailerMalformed)
    bad(
        b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        TrailerMalformed,
        x_amz_trailer="x-amz-checksum-crc32",
    )
    bad(b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32\r\n\r\n", TrailerMalformed, x_amz_trailer="x-amz-checksum-crc32")
    bad(b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", DigestMismatch, x_amz_trailer="x-amz-checksum-crc32")
    bad(b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAA=\r\n\r\n", InvalidDigest, x_amz_trailer="x-amz-checksum-crc32")
    bad(b"", TrailerMalformed, x_amz_trailer="x-amz-meta-a")
    bad(b"", TrailerMalformed, x_amz_trailer="x-amz-checksum-crc32,x-amz-checksum-sha1")
    bad(b"", InvalidDigest, x_amz_trailer="x-amz-checksum-crc32", x_amz_checksum_sha1=b64(bytes(20)))
    bad(b"", Invalid, x_amz_decoded_content_length="-1")
    for payload in (Payload.CHUNKS, Payload.UNSIGNED_TRAILER):
        with pytest.raises(signing.LengthMissing):
            receive(b"", {}, payload)


def test_a_trailer_as_the_document_shows_it() -> None:
    value = b64(zlib.crc32(b"abc").to_bytes(4, "big"))
    headers = {"x-amz-decoded-content-length": "3", "x-amz-trailer": "x-amz-checksum-crc32"}
    wire = b"3\r\nabc\r\n0\r\nX-Amz-Checksum-Crc32: " + value.encode() + b"\n\r\n\r\n"
    assert receive(wire, headers, Payload.UNSIGNED_TRAILER)[1].checksum == value


def test_what_botocore_encodes() -> None:
    from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum

    data = bytes(range(256)) * 700
    wire = AwsChunkedWrapper(io.BytesIO(data), Crc32Checksum, "x-amz-checksum-crc32", chunk_size=64 << 10).read()
    headers = {"x-amz-decoded-content-length": str(len(data)), "x-amz-trailer": "x-amz-checksum-crc32"}
    got, incoming = receive(wire, headers, Payload.UNSIGNED_TRAILER)
    assert got == data
    assert incoming.checksum == b64(zlib.crc32(data).to_bytes(4, "big"))


def test_more_than_the_limit() -> None:
    async def go() -> None:
        body = AwsChunkedBody(Pieces(b""), payload=Payload.UNSIGNED_TRAILER, length=11)
        await body.read_all(10)

    with pytest.raises(BodyTooLarge):
        asyncio.run(go())


def test_headers_say_what_the_body_must_be() -> None:
    data = b"hello"
    good = {
        "content-md5": b64(hashlib.md5(data, usedforsecurity=False).digest()),
        "x-amz-checksum-sha256": b64(hashlib.sha256(data).digest()),
    }
    for name, wrong, kind in [
        ("content-md5", b64(bytes(16)), DigestMismatch),
        ("content-md5", "bm8=", InvalidDigest),
        ("content-md5", "é", InvalidDigest),
        ("x-amz-checksum-sha256", b64(bytes(32)), DigestMismatch),
        ("x-amz-checksum-crc32", b64(bytes(4)), InvalidDigest),  # a second one
    ]:
        _, incoming = receive(data, good, Payload.UNSIGNED)
        assert incoming.checksum == good["x-amz-checksum-sha256"]
        with pytest.raises(kind):
            receive(data, {**good, name: wrong}, Payload.UNSIGNED)
    with pytest.raises(signing.LengthMissing):
        incoming_of_unknown_length()


def incoming_of_unknown_length() -> None:
    body = Pieces(b"")
    body.length = None  # type: ignore[assignment]
    signing.incoming(body, {}, None)


def test_a_body_that_is_not_the_signed_one() -> None:
    async def go(data: bytes) -> None:
        said = Claims(access_key="K", version=4, signature=SEED, payload=Payload.HASHED, sha256=hashlib.sha256(b"this").hexdigest())
        incoming = signing.incoming(Pieces(data), {}, said)
        await drink(incoming.body, "read_all", incoming.digests)
        incoming.finish()

    asyncio.run(go(b"this"))
    with pytest.raises(Refused) as caught:
        asyncio.run(go(b"that"))
    assert caught.value.reason is Reason.BODY


KNOWN: dict[str, str] = {
    # The check values of the catalogue of CRC algorithms, and the standards' examples, for "123456789".
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": hashlib.sha1(b"123456789", usedforsecurity=False).hexdigest(),
    "SHA256": hashlib.sha256(b"123456789").hexdigest(),
    "MD5": "25f9e794323b453885f5181f1b624d0b",
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=100)))
def test_checksums(pieces: list[bytes]) -> None:
    digests = Digests(KNOWN)
    for piece in pieces:
        digests.update(memoryview(piece))
    data = b"".join(pieces)
    makers: dict[str, Callable[[bytes], bytes]] = {
        "CRC32": lambda d: zlib.crc32(d).to_bytes(4, "big"),
        "SHA1": lambda d: hashlib.sha1(d, usedforsecurity=False).digest(),
        "SHA256": lambda d: hashlib.sha256(d).digest(),
    }
    for name, maker in makers.items():
        assert digests.digest(name) == maker(data)
    assert digests.size == len(data)
    for name, value in KNOWN.items():
        assert checksums.of(name, b"123456789").hex() == value
    for name in ("CRC32", "CRC32C", "CRC64NVME"):
        parts = [(checksums.of(name, piece), len(piece)) for piece in pieces]
        assert checksums.whole(name, parts) == digests.digest(name)
    composite = checksums.composite("SHA256", [hashlib.sha256(piece).digest() for piece in pieces])
    assert composite == f"{b64(hashlib.sha256(b''.join(hashlib.sha256(piece).digest() for piece in pieces)).digest())}-{len(pieces)}"


def test_large_pieces_are_digested_in_a_thread() -> None:
    data = bytes(1 << 20)

    async def go() -> str:
        digests = Digests(["MD5"])
        await digests.take(data)
        return digests.hex("MD5")

    assert asyncio.run(go()) == hashlib.md5(data, usedforsecurity=False).hexdigest()
