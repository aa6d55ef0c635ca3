"""What a connection does for clients that keep to the rules: over real sockets, byte for byte."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator

import pytest

from storage.server import BodyTruncated
from tests.server.apps import BIG, Everything, Stretch
from tests.server.running import Running, eventually, running

SHA = hashlib.sha256(BIG).hexdigest()


@pytest.fixture
def app() -> Everything:
    return Everything()


@pytest.fixture
def server(app: Everything) -> Iterator[Running]:
    with running(app) as server:
        yield server
    assert Stretch.open == 0


def test_one_connection_serves_many_requests(server: Running) -> None:
    with server.client() as client:
        ids = set()
        for _ in range(20):
            answer = client.ask("/hello")
            assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"hello\n", "text/plain")
            assert answer.headers["date"].endswith(" GMT")
            assert answer.head.count(b"\r\n\r\n") == 1
            ids.add(answer.headers["x-request-id"])
        assert len(ids) == 20
        assert client.ask("/late").body == b"late\n"
        assert client.ask("/nowhere").status == 404
    eventually(lambda: server.connections() == 0)
    assert server.metrics.accepted.value == 1


def test_requests_that_come_at_once_are_answered_in_order(server: Running) -> None:
    with server.client() as client:
        parts = [b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n%05d" % i for i in range(150)]
        late = b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n"
        client.send(b"".join([*parts[:50], late, *parts[50:100], late, *parts[100:]]))
        answers = [client.answer().body for _ in range(152)]
        numbers = [b"%05d" % i for i in range(150)]
        assert answers == [*numbers[:50], b"late\n", *numbers[50:100], b"late\n", *numbers[100:]]


def test_requests_far_ahead_wait_in_the_kernel(server: Running) -> None:
    """Reading stops while many wait, and goes on: all are answered."""
    request = b"GET /late HTTP/1.1\r\nHost: x\r\nPadding: " + b"x" * 8000 + b"\r\n\r\n"
    with server.client() as client:
        client.send(request * 60)
        assert [client.answer().body for _ in range(60)] == [b"late\n"] * 60


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_bytes_may_come_in_any_pieces(server: Running, size: int) -> None:
    data = b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world\r\nPOST /echo HTTP/1.1\r\nHost: x\r\n"
    data += b"Transfer-Encoding: chunked\r\n\r\n6;a=b\r\nhello \r\n5\r\nworld\r\n0\r\nX-T: 1\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.client() as client:
        for at in range(0, len(data), size):
            client.send(data[at : at + size])
        assert [client.answer().body for _ in range(3)] == [b"hello world", b"hello world", b"hello\n"]


@pytest.mark.parametrize("target", ["/digest", "/into"])
@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_come_whole(server: Running, target: str, chunked: bool) -> None:
    with server.client() as client:
        for _ in range(3):
            if chunked:
                client.send(f"PUT {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
                for at in range(0, len(BIG), 777_777):
                    piece = BIG[at : at + 777_777]
                    client.send(b"%X\r\n" % len(piece), piece, b"\r\n")
                client.send(b"0\r\n\r\n")
                assert client.answer().text == SHA
            else:
                assert client.ask(target, method="PUT", body=BIG).text == SHA
        assert client.ask("/hello").status == 200


def test_a_client_that_pauses_in_a_large_body_is_waited_for(server: Running) -> None:
    """Longer than a thread waits for it: the rest comes by way of the event loop."""
    import time

    with server.client() as client:
        client.send(f"PUT /into HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BIG)}\r\n\r\n".encode())
        client.send(BIG[:1_500_000])
        time.sleep(0.6)  # the pause is what is tried
        client.send(BIG[1_500_000:])
        assert client.answer().text == SHA
        assert client.ask("/hello").status == 200


@pytest.mark.parametrize(
    ("target", "chunked"), [("/bytes", False), ("/pieces?length", False), ("/pieces", True), ("/files", False), ("/files?1000", False)]
)
def test_large_answers_come_whole(server: Running, target: str, chunked: bool) -> None:
    with server.client(receive_bytes=20_000) as client:
        for _ in range(3):
            answer = client.ask(target)
            expected = BIG[: int(target.partition("?")[2])] if target == "/files?1000" else BIG
            assert answer.body == expected
            assert ("transfer-encoding" in answer.headers) == chunked
        assert client.ask("/hello").status == 200


def test_the_body_is_asked_for_when_it_is_wanted(server: Running) -> None:
    with server.client() as client:
        client.send(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer().status == 100
        client.send(b"hello")
        assert client.answer().body == b"hello"
        client.send(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
        assert client.answer().body == b"hello"  # It was there: nothing to ask for.
        client.send(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer().status == 100  # An empty body is announced like any other.
        assert client.answer().body == b""


def test_a_refusal_costs_no_transfer(server: Running) -> None:
    with server.client() as client:
        client.send(b"PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\nExpect: 100-continue\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        client.close()
    with server.client() as client:
        client.send(b"PUT /small HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer().status == 413


def test_a_small_body_that_nobody_reads_is_passed_over(server: Running) -> None:
    with server.client() as client:
        client.send(b"PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"x" * 50_000)
        assert client.answer().status == 404
        client.send(b"x" * 50_000, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.answer().body == b"hello\n"


def test_an_answer_to_a_large_body_that_nobody_reads_arrives_all_the_same(server: Running) -> None:
    with server.client() as client:
        client.send(b"PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n", b"x" * 3_000_000)
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert client.is_closed()


def test_answers_without_a_body(server: Running) -> None:
    with server.client() as client:
        assert client.ask("/status?204", method="DELETE").headers.get("content-length") is None
        assert client.ask("/status?304").headers["content-length"] == "6"
        assert client.ask("/status?200", method="HEAD").headers["content-length"] == "6"
        for target in ("/bytes", "/files", "/pieces?length"):
            assert client.ask(target, method="HEAD").headers["content-length"] == str(len(BIG))
        assert client.ask("/pieces", method="HEAD").headers["transfer-encoding"] == "chunked"
        assert client.ask("/hello").body == b"hello\n"


def test_who_ends_a_connection(server: Running) -> None:
    with server.client() as client:
        assert client.ask("/hello", headers="Connection: Close\r\n").headers["connection"] == "close"
        assert client.is_closed()
    with server.client() as client:
        assert client.ask("/bye").headers["connection"] == "close"
        assert client.is_closed()
    with server.client() as client:
        client.send(b"GET /pieces HTTP/1.0\r\n\r\n")
        answer = client.answer()
        assert answer.body == BIG
        assert "transfer-encoding" not in answer.headers
        assert client.is_closed()


def test_a_client_that_has_said_all_still_gets_its_answer(server: Running) -> None:
    import socket

    with server.client() as client:
        client.send(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.answer().body == b"late\n"
        assert client.is_closed()


def test_what_an_application_sees(server: Running) -> None:
    with server.client() as client:
        answer = client.ask("/who/%41%2F?a=%42&c", headers="X-Amz-Meta-A: 1\r\nx-amz-meta-a:  2 \r\nX-Bytes: \xe4\r\n", method="GET")
        lines = answer.body.decode("latin-1").split("\n")
        assert lines[:5] == ["GET", "127.0.0.1", "False", "/who/%41%2F", "a=%42&c"]
        assert "x-amz-meta-a=1,2" in lines
        assert "x-bytes=\xc3\xa4" in lines  # what was sent, byte for byte
        answer = client.ask("http://other:99/who?x")
        assert answer.text.split("\n")[3:6] == ["/who", "x", "host=other:99"]


@pytest.mark.parametrize("target", ["/bug", "/late-bug", "/split", "/unsayable", "/fails-at-first"])
def test_a_bug_is_an_error_500_with_the_id_in_the_log(server: Running, target: str, caplog: pytest.LogCaptureFixture) -> None:
    with server.client() as client, caplog.at_level(logging.ERROR):
        answer = client.ask(target)
        assert answer.status == 500
        assert answer.headers["x-request-id"] in answer.text
        assert answer.headers["x-request-id"] in caplog.text
        assert "set-cookie" not in answer.headers
        assert client.ask("/hello").status == 200


@pytest.mark.parametrize("target", ["/fails-later", "/short", "/long", "/file-short?300", "/file-short?3000000"])
def test_an_answer_that_breaks_off_cannot_be_taken_for_whole(server: Running, target: str) -> None:
    with server.client() as client:
        try:
            assert client.ask(target).status == 500  # when nothing was out yet
        except (EOFError, ConnectionResetError):
            assert server.metrics.answers_cut.value == 1
    eventually(lambda: server.connections() == 0)


def test_an_answer_that_breaks_off_while_the_body_still_comes(server: Running) -> None:
    with server.client() as client:
        client.send(b"PUT /fails-later HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
        with contextlib.suppress(OSError):
            client.send(BIG)
        with pytest.raises((EOFError, OSError)):
            client.answer()
    eventually(lambda: server.connections() == 0)


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_hang_up_shows_where_the_application_reads_next(server: Running, app: Everything, how: str) -> None:
    for target in ("/echo", "/digest", "/into"):
        client = server.client()
        client.send(f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n".encode(), BIG[:2_000_000])
        getattr(client, how)()
        eventually(lambda: bool(app.marks.errors))
        assert isinstance(app.marks.errors.pop(), BodyTruncated)
    eventually(lambda: server.connections() == 0)


def test_a_hang_up_ends_an_answer(server: Running, app: Everything) -> None:
    for number in range(1, 4):
        client = server.client(receive_bytes=20_000)
        client.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.sock.recv(1000)
        client.reset()
        eventually(lambda expected=number: app.marks.closed == expected)  # type: ignore[misc]
    client = server.client(receive_bytes=20_000)
    client.send(b"GET /files HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.sock.recv(1000)
    client.reset()
    eventually(lambda: Stretch.open == 0 and server.connections() == 0)


def test_an_application_waits_for_a_client_that_takes_nothing(server: Running, app: Everything) -> None:
    """The endless answer stays in the application, not in memory."""
    with server.client(receive_bytes=20_000) as client:
        client.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.sock.recv(1000)
        (connection,) = server.call(lambda: list(server.front.connections))
        eventually(lambda: connection._waiter is not None)
        assert server.call(connection.transport.get_write_buffer_size) < (4 << 20)


def test_a_client_waits_for_an_application_that_reads_nothing(server: Running, app: Everything) -> None:
    client = server.client()
    client.send(b"PUT /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
    client.sock.setblocking(False)
    sent = 0
    try:
        while sent < 100_000_000:
            sent += client.sock.send(BIG)
    except BlockingIOError:
        pass
    (connection,) = server.call(lambda: list(server.front.connections))
    eventually(lambda: connection._held)
    assert server.call(lambda: connection._body.unread) < (2 << 20)
    client.reset()
    server.call(app.marks.go.set)
    eventually(lambda: server.connections() == 0)


def test_draining_ends_what_is_idle_and_waits_for_what_is_not(app: Everything) -> None:
    with running(app) as server:
        idle, busy = server.client(), server.client()
        assert idle.ask("/hello").status == 200
        busy.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: "/wait" in app.marks.seen)
        server.loop.call_soon_threadsafe(server._stop.set)
        assert idle.is_closed()
        with pytest.raises(OSError):
            server.client()
        server.call(app.marks.go.set)
        answer = busy.answer()
        assert (answer.body, answer.headers["connection"]) == (b"waited\n", "close")
        assert busy.is_closed()


def test_stopping_waits_for_what_a_client_left_behind(app: Everything) -> None:
    """A write whose client has hung up is still brought to its end."""
    with running(app) as server:
        client = server.client()
        client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: "/wait" in app.marks.seen)
        client.reset()
        eventually(lambda: server.connections() == 0)
        server.loop.call_soon_threadsafe(server._stop.set)
        eventually(lambda: server.front.draining)
        server.call(app.marks.go.set)
    assert app.marks.errors == []
