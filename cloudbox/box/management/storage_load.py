"""The load of `storage_bench`, in processes of its own: S3 clients that keep their connections and sign every request (SigV4).

Lines of JSON: in comes a job, out what became of it. A job is one kind of request on some connections, for some seconds or until its
number is reached. Every answer's status and length is looked at, and the bytes of one body in `CHECK_EVERY`; whatever is not right is
counted as an error. The cost of the generator itself is measured beside the rest: near one core it, not the server, is the limit.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import html
import json
import os
import re
import socket
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import httptools
import uvloop

CHECK_EVERY = 16
ANSWER_SECONDS = 120
PART_BYTES = 16 << 20
_NO_BODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Endpoint:
    """Where, and as whom."""

    host: str
    port: int
    access_key: str
    secret_key: str
    region: str


@dataclass
class Job:
    """`kind` is make (a bucket), put, get, head, delete, list, list-folders, multipart or empty (which removes a whole bucket).

    Names are `prefix` and seven digits, from 0, with `a_folder` of them in folders of that many; `count` is how many there are to read or
    delete, or how many to write at most. Of several processes that share a job each takes every `step`-th name from `first` on.
    """

    kind: str
    bucket: str
    prefix: str = ""
    size: int = 0
    connections: int = 1
    seconds: float = 60.0
    count: int = 1 << 40
    first: int = 0
    step: int = 1
    repeat: bool = False  # Begin again when all names have been read.
    a_folder: int = 0

    def name(self, number: int) -> str:
        folder = f"{number // self.a_folder:05d}/" if self.a_folder else ""
        return f"{self.prefix}{folder}{number:07d}"


@dataclass
class Outcome:
    """Seconds of wall and of this process's CPU; bytes of bodies."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Ask:
    """A request to be, and what its answer has to be."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    digest: str = _NO_BODY
    headers: str = ""
    statuses: tuple[int, ...] = (200,)
    length: int | None = None
    content: bytes | None = None
    keep: bool = False


class Signer:
    """SigV4 in a header ("Authenticating Requests: Using the Authorization Header"), over the three headers that it must cover."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._host = endpoint, f"{endpoint.host}:{endpoint.port}"
        self._second, self._stamp, self._day, self._key = 0, "", "", b""

    def head(self, ask: Ask) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second, self._stamp = now, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
            if self._stamp[:8] != self._day:
                self._day = self._stamp[:8]
                self._key = f"AWS4{self._endpoint.secret_key}".encode()
                for word in (self._day, self._endpoint.region, "s3", "aws4_request"):
                    self._key = hmac.digest(self._key, word.encode(), "sha256")
        scope = f"{self._day}/{self._endpoint.region}/s3/aws4_request"
        covered = f"host:{self._host}\nx-amz-content-sha256:{ask.digest}\nx-amz-date:{self._stamp}\n"
        names = "host;x-amz-content-sha256;x-amz-date"
        canonical = f"{ask.method}\n{ask.path}\n{ask.query}\n{covered}\n{names}\n{ask.digest}"
        to_sign = f"AWS4-HMAC-SHA256\n{self._stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key, to_sign.encode(), "sha256").hex()
        credential = f"{self._endpoint.access_key}/{scope}"
        length = f"Content-Length: {len(ask.body)}\r\n" if ask.method in ("PUT", "POST") else ""
        return (
            f"{ask.method} {ask.path}{'?' if ask.query else ''}{ask.query} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"x-amz-date: {self._stamp}\r\nx-amz-content-sha256: {ask.digest}\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}\r\n"
            f"{length}{ask.headers}\r\n"
        ).encode()


class Connection(asyncio.Protocol):
    """One request at a time; `answer` is resolved with its status."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[int] | None = None
        self.headers: dict[bytes, bytes] = {}
        self.body = bytearray()
        self.got = 0
        self.closed = False
        self._transport: asyncio.Transport | None = None

    def send(self, ask: Ask, head: bytes) -> asyncio.Future[int]:
        assert self._transport is not None
        self.answer = asyncio.get_running_loop().create_future()
        self._parser, self._ask = httptools.HttpResponseParser(self), ask
        self.headers, self.body, self.got = {}, bytearray(), 0
        if len(ask.body) < 1 << 16:
            self._transport.write(head + ask.body)
        else:
            self._transport.writelines([head, ask.body])
        return self.answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(ConnectionError(f"not HTTP: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._end(ConnectionError("closed by the server"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _end(self, error: Exception) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)

    # --- of the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._ask.method == "HEAD":  # The parser would wait for the body that the headers tell of.
            self.got = int(self.headers.get(b"content-length", b"0"))
            self.on_message_complete()

    def on_body(self, data: bytes) -> None:
        self.got += len(data)
        if self._ask.keep or self._ask.content is not None:
            self.body += data

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and self.answer is not None and not self.answer.done():
            self.closed = self.closed or self.headers.get(b"connection", b"").lower() == b"close"
            self.answer.set_result(status)


class Client:
    """Asks, and judges the answers."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._signer = endpoint, Signer(endpoint)
        self.outcome, self._errors = Outcome(), Counter[str]()

    async def connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._endpoint.host, self._endpoint.port)
        return connection

    async def ask(self, connection: Connection, ask: Ask) -> bool:
        """Whether the answer was as it has to be; if not, it has been counted as an error."""
        head = self._signer.head(ask)
        began = time.perf_counter()
        try:
            if connection.closed:
                raise ConnectionError("closed by the server")
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await connection.send(ask, head)
        except (OSError, TimeoutError) as error:
            self._errors[f"{type(error).__name__}: {error}"] += 1
            connection.closed = True
            return False
        self.outcome.latencies.append(time.perf_counter() - began)
        self.outcome.bytes += len(ask.body) + connection.got
        if status not in ask.statuses:
            self._errors[f"status {status}"] += 1
        elif ask.length is not None and connection.got != ask.length:
            self._errors["wrong length"] += 1
        elif ask.content is not None and connection.body != ask.content:
            self._errors["wrong bytes"] += 1
        else:
            return True
        return False

    async def load(self, asks: Iterator[Ask], connections: int, seconds: float) -> None:
        """Take turns at the requests until there are no more, or the time is over."""
        until = time.perf_counter() + seconds

        async def work() -> None:
            connection = await self.connect()
            while time.perf_counter() < until and (ask := next(asks, None)) is not None:
                await self.ask(connection, ask)
                if connection.closed:
                    connection.close()
                    connection = await self.connect()
            connection.close()

        await asyncio.gather(*(work() for _ in range(connections)))

    async def run(self, job: Job) -> Outcome:
        began, cpu = time.perf_counter(), time.process_time()
        try:
            if job.kind == "multipart":
                await self._multipart(job)
            elif job.kind == "empty":
                await self._empty(job)
            else:
                await self.load(_asks(job), job.connections, job.seconds)
        except Exception as error:  # Whatever it is: this process has to be there for the next job, which may be to clear away.
            self._errors[f"{type(error).__name__}: {error}"] += 1
        self.outcome.seconds, self.outcome.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        self.outcome.errors = dict(self._errors)
        return self.outcome

    async def _multipart(self, job: Job) -> None:
        """One object in parts, on all connections; latencies are of the parts."""
        path, (body, digest) = f"/{job.bucket}/{job.prefix}", body_of(PART_BYTES, 0)
        connection = await self.connect()
        if not await self.ask(connection, Ask("POST", path, "uploads=", keep=True)):
            return
        upload = urllib.parse.quote(_between(connection.body, b"UploadId").decode(), safe="-_.~")
        numbers, etags = iter(range(1, job.size // PART_BYTES + 1)), dict[int, str]()

        async def send() -> None:
            own = await self.connect()
            for number in numbers:
                if await self.ask(own, Ask("PUT", path, f"partNumber={number}&uploadId={upload}", body, digest)):
                    etags[number] = own.headers[b"etag"].decode()
            own.close()

        await asyncio.gather(*(send() for _ in range(job.connections)))
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etags[n]}</ETag></Part>" for n in sorted(etags))
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        asked = Ask("POST", path, f"uploadId={upload}", document, hashlib.sha256(document).hexdigest(), keep=True)
        if await self.ask(connection, asked) and b"<ETag>" not in connection.body:
            self._errors["not completed"] += 1
        connection.close()

    async def _empty(self, job: Job) -> None:
        """Delete what is in the bucket, a thousand at a time, then the bucket; uploads that were cut off as well."""
        connection = await self.connect()
        while await self.ask(connection, Ask("GET", f"/{job.bucket}", "list-type=2&max-keys=1000", keep=True)):
            keys = re.findall(rb"<Key>([^<]+)</Key>", bytes(connection.body))
            if not keys:
                break
            document = b"<Delete><Quiet>true</Quiet>%b</Delete>" % b"".join(b"<Object><Key>%b</Key></Object>" % key for key in keys)
            md5 = base64.b64encode(hashlib.md5(document, usedforsecurity=False).digest()).decode()
            headers = f"Content-MD5: {md5}\r\nContent-Type: application/xml\r\n"
            if not await self.ask(
                connection, Ask("POST", f"/{job.bucket}", "delete=", document, hashlib.sha256(document).hexdigest(), headers)
            ):
                break
        if await self.ask(connection, Ask("GET", f"/{job.bucket}", "uploads=", keep=True, statuses=(200, 404, 501))):
            for key, upload in re.findall(rb"<Key>([^<]+)</Key>\s*<UploadId>([^<]+)</UploadId>", bytes(connection.body)):
                query = f"uploadId={urllib.parse.quote(upload.decode(), safe='-_.~')}"
                path = urllib.parse.quote(f"/{job.bucket}/{html.unescape(key.decode())}", safe="/-_.~")
                await self.ask(connection, Ask("DELETE", path, query, statuses=(204,)))
        await self.ask(connection, Ask("DELETE", f"/{job.bucket}", statuses=(204,)))
        connection.close()


def _between(document: bytes | bytearray, element: bytes) -> bytes:
    found = re.search(b"<%b>([^<]+)</%b>" % (element, element), bytes(document))
    return found[1] if found else b""


_bodies: dict[tuple[int, int], tuple[bytes, str]] = {}


def body_of(size: int, number: int) -> tuple[bytes, str]:
    """One of a few bodies of that size, and its SHA-256: the same one for a name, whoever asks."""
    key = size, number % (CHECK_EVERY if size <= 1 << 20 else 1)
    if key not in _bodies:
        block = hashlib.shake_128(b"%d %d" % key).digest(min(size, 1 << 20))
        body = block * (size // len(block)) if size else b""
        _bodies[key] = body, hashlib.sha256(body).hexdigest()
    return _bodies[key]


def _asks(job: Job) -> Iterator[Ask]:
    number = job.first
    if job.kind == "make":
        yield Ask("PUT", f"/{job.bucket}", statuses=(200, 204))
        return
    if job.kind == "list-folders":
        while True:
            yield Ask("GET", f"/{job.bucket}", f"delimiter=%2F&list-type=2&max-keys=1000&prefix={urllib.parse.quote(job.prefix, safe='')}")
    if job.kind == "list":
        prefix = urllib.parse.quote(job.prefix, safe="")
        while True:  # From ten places in turn, the beginning and deep in.
            after = urllib.parse.quote(job.name(number % 10 * job.count // 10), safe="")
            yield Ask("GET", f"/{job.bucket}", f"list-type=2&max-keys=1000&prefix={prefix}&start-after={after}")
            number += job.step
    while number < job.count or job.repeat:
        yield _one(job, number % job.count, checked=number // job.step % CHECK_EVERY == 0)
        number += job.step


def _one(job: Job, number: int, *, checked: bool) -> Ask:
    """A request for one object."""
    path = f"/{job.bucket}/{job.name(number)}"
    if job.kind == "put":
        return Ask("PUT", path, "", *body_of(job.size, number))
    if job.kind == "get":
        return Ask("GET", path, length=job.size, content=body_of(job.size, number)[0] if checked else None)
    if job.kind == "head":
        return Ask("HEAD", path, length=job.size)
    return Ask("DELETE", path, statuses=(204,))


async def serve() -> None:
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", 0))
    while line := await reader.readline():
        told = json.loads(line)
        found: dict[str, Any] = asdict(await Client(Endpoint(**told["endpoint"])).run(Job(**told["job"])))
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve())
