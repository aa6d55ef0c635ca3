"""boto3, unmodified, over real sockets: what its users' programs send is verified, decoded and checked, over HTTP and over TLS.

The application here keeps bodies in a dict: the front, the signatures and the codings are what is tried.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloudbox.common.errors import CloudError
from identity.authn import sigv2, sigv4
from identity.authn.signatures import Payload, Reason, Refused, SignedRequest
from storage.api.s3 import signing
from storage.server import Request, Response, tls
from tests.server.running import Running, running

KEY, SECRET = "CBXKEYABCDEFGHIJ", "a secret/with+signs="


class Keeper:
    """Keeps what is put, and remembers how it was signed."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.payloads: list[Payload] = []

    async def __call__(self, request: Request) -> Response:
        try:
            return await self._serve(request)
        except Refused as error:
            return self._error(403, error.reason.code, error)
        except CloudError as error:
            return self._error(400, type(error).__name__, error)

    @staticmethod
    def _error(status: int, code: str, error: CloudError) -> Response:
        text = f"<Error><Code>{code}</Code><Message>{error.message}</Message></Error>"
        return Response(status, {"Content-Type": "application/xml"}, text.encode("utf-8", "replace"))

    async def _serve(self, request: Request) -> Response:
        seen = SignedRequest(request.method, request.path, request.query, request.headers)
        claims = sigv4.read(seen, now=time.time())
        key = b""
        if claims is not None:
            sigv4.verify(claims, seen, SECRET)
            key = sigv4.signing_key(SECRET, claims.date, claims.region, claims.service)
        else:
            claims = sigv2.read(seen, now=time.time())
            if claims is None:
                raise Refused(Reason.DATE, "Sign it.")
            sigv2.verify(claims, seen, SECRET)
        if claims.access_key != KEY:
            raise Refused(Reason.UNKNOWN_KEY, "No such key.")
        if request.method == "PUT":
            self.payloads.append(claims.payload)
            incoming = signing.incoming(request.body, request.headers, claims, key)
            data = bytearray(incoming.length)
            view, at = memoryview(data), 0
            while count := await incoming.body.read_into(view[at : at + 1_000_000] if at < len(data) else memoryview(bytearray(1))):
                await incoming.digests.take(view[at : at + count])
                at += count
            incoming.finish()
            self.kept[request.path] = bytes(data)
            return Response(200, {"ETag": f'"{incoming.digests.hex("MD5")}"'})
        body = self.kept.get(request.path)
        if body is None:
            return Response(404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>")
        return Response(200, {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'}, body)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[tls.Pair, Path]:
    folder = tmp_path_factory.mktemp("tls")
    pair, authority = tls.Pair(folder / "cert.pem", folder / "key.pem"), tls.Pair(folder / "ca.pem", folder / "ca.key")
    tls.make_authority(authority, "Test")
    tls.issue(pair, ["localhost", "127.0.0.1"], authority=authority)
    return pair, authority.certificate


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def plain(keeper: Keeper) -> Iterator[Running]:
    with running(keeper) as server:
        yield server


@pytest.fixture
def secured(keeper: Keeper, certificates: tuple[tls.Pair, Path]) -> Iterator[Running]:
    with running(keeper, tls=tls.context(certificates[0])) as server:
        yield server


def client_of(server: Running, *, certificate: Path | None = None, secret: str = SECRET, **config: Any) -> Any:
    scheme = "https" if certificate else "http"
    return boto3.client(
        "s3",
        endpoint_url=f"{scheme}://localhost:{server.port}" if certificate else f"{scheme}://127.0.0.1:{server.port}",
        aws_access_key_id=KEY,
        aws_secret_access_key=secret,
        region_name="here-1",
        verify=str(certificate) if certificate else None,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, **config),
    )


NAMES = ["plain", "a cat/with spaces + plus & more=", "ümlaut/日本/🐈", "~tilde(1)'*!", "a//b/../c/./d", "%41%2f?#"]
SIZES = [0, 1, 100_000, 3_000_001]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_and_metadata(plain: Running, keeper: Keeper, name: str) -> None:
    client = client_of(plain)
    client.put_object(Bucket="photos", Key=name, Body=b"data", Metadata={"note": "two  spaces", "x-y": "z"}, ContentType="text/plain")
    assert client.get_object(Bucket="photos", Key=name, VersionId="a b+c")["Body"].read() == b"data"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("algorithm", [None, "CRC32", "SHA1", "SHA256"])
def test_bodies_over_http(plain: Running, keeper: Keeper, size: int, algorithm: str | None) -> None:
    data = os.urandom(size)
    more = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    client = client_of(plain)
    client.put_object(Bucket="photos", Key="cat", Body=data, **more)
    assert client.get_object(Bucket="photos", Key="cat")["Body"].read() == data
    assert keeper.payloads[0] in (Payload.HASHED, Payload.CHUNKS_TRAILER, Payload.UNSIGNED_TRAILER)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_bodies_over_tls_come_in_chunks_with_a_trailer(
    secured: Running, keeper: Keeper, certificates: tuple[tls.Pair, Path], size: int, algorithm: str
) -> None:
    data = os.urandom(size)
    client = client_of(secured, certificate=certificates[1])
    client.put_object(Bucket="photos", Key="cat", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
    assert keeper.kept[b"/photos/cat"] == data
    assert keeper.payloads == [Payload.UNSIGNED_TRAILER]


def test_a_presigned_address(plain: Running) -> None:
    for version in ("s3v4", "s3"):
        client = client_of(plain, signature_version=version)
        put = client.generate_presigned_url("put_object", Params={"Bucket": "photos", "Key": "a cat"}, ExpiresIn=60)
        with urllib.request.urlopen(urllib.request.Request(put, data=b"data", method="PUT", headers={"Content-Type": ""})) as answer:
            assert answer.status == 200
        get = client.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "a cat"}, ExpiresIn=60)
        with urllib.request.urlopen(get) as answer:
            assert answer.read() == b"data"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(get.replace("cat", "dog"))


def test_version_2(plain: Running, keeper: Keeper) -> None:
    client = client_of(plain, signature_version="s3")
    client.put_object(Bucket="photos", Key="a cat", Body=b"data", Metadata={"note": "a  b"})
    assert keeper.kept[b"/photos/a%20cat"] == b"data"


def test_a_wrong_secret_costs_no_transfer(plain: Running, keeper: Keeper) -> None:
    """boto3 waits to be asked for the body, and is not."""
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client_of(plain, secret="another").put_object(Bucket="photos", Key="cat", Body=bytes(5_000_000))
    assert keeper.kept == {}
    assert plain.metrics.received.value < 1_000_000


def test_a_wrong_digest(plain: Running, keeper: Keeper) -> None:
    with pytest.raises(ClientError, match="DigestMismatch"):
        client_of(plain).put_object(Bucket="photos", Key="cat", Body=b"data", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    with pytest.raises(ClientError, match="DigestMismatch"):
        client_of(plain).put_object(Bucket="photos", Key="cat", Body=b"data", ChecksumCRC32="AAAAAA==")
    assert keeper.kept == {}
