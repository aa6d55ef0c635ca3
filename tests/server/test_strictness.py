"""What is not HTTP, or could be read in two ways, is answered with an error and the end of the connection, so that no byte behind it
is ever taken for a request. RFC 9112 throughout; the shapes are those by which requests are smuggled."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.server import Request, Response
from tests.server.apps import Everything
from tests.server.running import Running, running

APP = Everything()
H = b"Host: x\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(APP) as server:
        yield server


class Reader(Everything):
    """Reads every body to its end. Otherwise it is a matter of time whether an answer comes before the rest of the body, and so whether
    the connection can go on after it."""

    async def __call__(self, request: Request) -> Response:
        response = await super().__call__(request)
        async for _ in request.body:
            pass
        return response


@pytest.fixture(scope="module")
def reader() -> Iterator[Running]:
    with running(Reader()) as server:
        yield server


def put(*headers: bytes, body: bytes = b"", line: bytes = b"PUT /echo HTTP/1.1") -> bytes:
    return line + b"\r\n" + H + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
BAD: dict[str, tuple[int, bytes]] = {
    "two lengths": (400, put(b"Content-Length: 5", b"Content-Length: 6", body=b"hello")),
    "the same length twice": (400, put(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")),
    "a list of lengths": (400, put(b"Content-Length: 5, 5", body=b"hello")),
    "length and chunks": (400, put(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n")),
    "chunks and length": (400, put(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n")),
    "a signed length": (400, put(b"Content-Length: +5", body=b"hello")),
    "a negative length": (400, put(b"Content-Length: -5", body=b"hello")),
    "a hexadecimal length": (400, put(b"Content-Length: 0x5", body=b"hello")),
    "a length with a point": (400, put(b"Content-Length: 5.0", body=b"hello")),
    "no length": (400, put(b"Content-Length:", body=b"hello")),
    "a length of letters": (400, put(b"Content-Length: five")),
    "an absurd length": (400, put(b"Content-Length: 99999999999999999999999999")),
    "a length that is nearly absurd": (400, put(b"Content-Length: 9223372036854775808")),
    "more than is served": (413, put(b"Content-Length: 99999999999999999")),
    "chunked twice": (400, put(CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    "chunked not last": (400, put(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n")),
    "a coding before chunked": (501, put(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    "a coding alone": (400, put(b"Transfer-Encoding: gzip")),
    "identity": (400, put(b"Transfer-Encoding: identity")),
    "nearly chunked": (400, put(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n")),
    "chunked with a tail": (400, put(b"Transfer-Encoding: chunked;a=b", body=b"0\r\n\r\n")),
    "chunked in quotes": (400, put(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n")),
    "chunked behind a vertical tab": (400, put(b"Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n")),
    "an empty coding": (400, put(b"Transfer-Encoding:", body=b"0\r\n\r\n")),
    "chunks in HTTP/1.0": (400, put(CHUNKED, line=b"PUT /echo HTTP/1.0", body=b"0\r\n\r\n")),
    "a space before the colon": (400, put(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    "a folded header": (400, put(b"A: b\r\n c")),
    "a folded first header": (400, b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    "a line feed alone": (400, b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n"),
    "line feeds alone": (400, b"GET / HTTP/1.1\nHost: x\n\n"),
    "a carriage return alone": (400, put(b"A: b\rc")),
    "a carriage return before the end": (400, put(b"A: b\r")),
    "a NUL in a value": (400, put(b"A: b\0c")),
    "a NUL in a name": (400, put(b"A\0: b")),
    "a control character in a value": (400, put(b"A: \x01")),
    "DEL in a value": (400, put(b"A: \x7f")),
    "no name": (400, put(b": b")),
    "no colon": (400, put(b"Content-Length")),
    "a name with a space": (400, put(b"A b: c")),
    "a name with a byte over 127": (400, put(b"A\xe4: c")),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    "a host with a slash": (400, b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"),
    "a host with an at sign": (400, b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    "two authorizations": (400, put(b"Authorization: a", b"Authorization: b")),
    "a space in the address": (400, put(line=b"GET /a b HTTP/1.1")),
    "a NUL in the address": (400, put(line=b"GET /a\0b HTTP/1.1")),
    "a tab in the address": (400, put(line=b"GET /a\tb HTTP/1.1")),
    "a fragment": (400, put(line=b"GET /a#b HTTP/1.1")),
    "an address without a slash": (400, put(line=b"GET echo HTTP/1.1")),
    "no address": (400, put(line=b"GET  HTTP/1.1")),
    "another scheme": (400, put(line=b"GET file:///etc HTTP/1.1")),
    "no version": (505, put(line=b"GET /")),
    "HTTP/0.9": (505, put(line=b"GET / HTTP/0.9")),
    "HTTP/1.2": (400, put(line=b"GET / HTTP/1.2")),
    "HTTP/2": (505, put(line=b"GET / HTTP/2.0")),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a version of many digits": (400, put(line=b"GET / HTTP/1.10")),
    "a version in lower case": (400, put(line=b"GET / http/1.1")),
    "another protocol": (505, put(line=b"GET / RTSP/1.0")),
    "a method that nobody knows": (400, put(line=b"BREW / HTTP/1.1")),
    "a method in lower case": (400, put(line=b"get / HTTP/1.1")),
    "CONNECT": (501, put(line=b"CONNECT x:1 HTTP/1.1")),
    "TRACE": (501, put(line=b"TRACE / HTTP/1.1")),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "noise": (400, b"\0\xff\xfe\r\n\r\n"),
    "a long address": (414, put(line=b"GET /" + b"a" * 20_000 + b" HTTP/1.1")),
    "a long header": (431, put(b"A: " + b"a" * 70_000)),
    "many headers": (431, put(*(b"A%d: b" % i for i in range(300)))),
    "one header many times": (431, put(*([b"A: b"] * 300))),
}


@pytest.mark.parametrize("name", BAD)
def test_a_head_that_is_refused(server: Running, name: str) -> None:
    status, data = BAD[name]
    APP.marks.seen.clear()
    with server.client() as client:
        client.send(data, SECOND)
        answer = client.answer()
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        assert answer.text.endswith(".\n")
        assert client.is_closed()
    assert APP.marks.seen == []


CHUNKS: dict[str, bytes] = {
    "no number": b"\r\nhello\r\n0\r\n\r\n",
    "no hexadecimal number": b"5g\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "an absurd size": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "a line feed alone after the size": b"5\nhello\r\n0\r\n\r\n",
    "a line feed alone after the chunk": b"5\r\nhello\n0\r\n\r\n",
    "a chunk longer than its size": b"4\r\nhello\r\n0\r\n\r\n",
    "a control character in an extension": b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
    "a carriage return in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an endless extension": b"5;" + b"a" * 10_000 + b"\r\nhello\r\n0\r\n\r\n",
    "a trailer that is no header": b"5\r\nhello\r\n0\r\nGET /second HTTP/1.1\r\n\r\n",
    "a folded trailer": b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
    "an endless trailer": b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
}


@pytest.mark.parametrize("name", CHUNKS)
def test_a_chunked_body_that_is_refused(server: Running, name: str) -> None:
    APP.marks.seen.clear()
    with server.client() as client:
        client.send(put(CHUNKED, body=CHUNKS[name]), SECOND)
        answer = client.answer()
        assert answer.status == 400
        assert "chunk" in answer.text
        assert client.is_closed()
    assert APP.marks.seen == ["/echo"]


@pytest.mark.parametrize("name", CHUNKS)
def test_the_same_when_nobody_reads_the_body(server: Running, name: str) -> None:
    APP.marks.seen.clear()
    with server.client() as client:
        client.send(put(CHUNKED, body=CHUNKS[name], line=b"PUT /nowhere HTTP/1.1"), SECOND)
        assert client.answer().status == 404
        assert client.is_closed()
    assert APP.marks.seen == ["/nowhere"]


@pytest.mark.parametrize(
    "data", [put(b"Content-Length: 10", body=b"hello"), put(CHUNKED, body=b"5\r\nhel"), put(CHUNKED, body=b"5\r\nhello\r\n")]
)
def test_a_body_that_ends_early(server: Running, data: bytes) -> None:
    with server.client() as client:
        client.send(data)
        client.sock.shutdown(socket.SHUT_WR)
        answer = client.answer()
        assert answer.status == 400
        assert "closed" in answer.text
        assert client.is_closed()


def test_what_is_harmless_is_served(server: Running) -> None:
    good = [
        b"\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost:x\r\nA:\r\nB:  b \t \r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: [::1]:9000\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET /hello?%zz&&=&a=%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b'PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n6 ;ext="1"\r\nhello\n\r\n0\r\n\r\n',
        b"PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n000006\r\nhello\n\r\n00\r\nA: b\r\n\r\n",
        b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 006\r\n\r\nhello\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 6\r\n\r\nhello\n",
    ]
    for data in good:
        with server.client() as client:
            client.send(data + b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.answer().body == b"hello\n", data
            assert client.answer().body == b"hello\n", data


VALID = [
    b"GET /hello?a=b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\nhello, world",
    b"POST /digest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nA: b\r\n\r\n",
    b"HEAD /bytes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"DELETE /nowhere HTTP/1.0\r\n\r\n",
]


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Requests, with a few bytes changed, doubled, taken away or put in."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(VALID), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == 1:
            del data[at : at + draw(st.integers(1, 20))]
        elif kind == 2:
            data[at:at] = draw(
                st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\r\n\r\n", b"0", b"Content-Length: 3\r\n", b"\xff"])
            )
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 30))]
    return bytes(data)


def conversation(server: Running, data: bytes, cuts: list[int]) -> list[tuple[int, bytes]]:
    """What is answered to these bytes, sent in pieces and then ended."""
    with server.client() as client:
        places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
        try:
            for start, end in itertools.pairwise(places):
                client.send(data[start:end])
            client.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It has closed already; what it said before can be read.
        got = b""
        while True:
            try:
                piece = client.sock.recv(1 << 20)
            except ConnectionResetError:
                break
            if not piece:
                break
            got += piece
    return parsed(got)


def parsed(got: bytes) -> list[tuple[int, bytes]]:
    """Answers one after the other: whatever was sent, this must be HTTP. A HEAD's body is told by what follows it."""
    answers = []
    while got:
        head, end, rest = got.partition(b"\r\n\r\n")
        assert end, got[:200]
        lines = head.split(b"\r\n")
        version, status, _ = lines[0].split(b" ", 2)
        assert version == b"HTTP/1.1"
        length = next((int(line[16:]) for line in lines if line.startswith(b"Content-Length: ")), 0)
        if not (len(rest) < length or rest.startswith(b"HTTP/1.1 ")):
            rest, body = rest[length:], rest[:length]
        else:
            body = b""
        if status != b"100":
            answers.append((int(status), b"" if status[:1] != b"2" else body))
        got = rest
    return answers


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(spoilt(), st.lists(st.integers(0, 1000), max_size=6))
def test_whatever_comes_is_answered_alike_however_it_is_cut(reader: Running, data: bytes, cuts: list[int]) -> None:
    """The answers are HTTP, the same for the same bytes in other pieces, and the worker serves on."""
    whole = conversation(reader, data, [])
    assert whole == conversation(reader, data, cuts)
    assert 500 not in [status for status, _ in whole]
    with reader.client() as client:
        assert client.ask("/hello").status == 200


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.binary(max_size=50))
def test_noise(server: Running, data: bytes, more: bytes) -> None:
    for status, _ in conversation(server, data + b"\r\n\r\n" + more, []):
        assert status in (400, 505, 501, 408)
