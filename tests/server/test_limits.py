"""Who is slow, large or many meets a limit, and only he: limits are set so low here that a test need not wait."""

from __future__ import annotations

import contextlib
import time

import pytest

from storage.server import BodyTooSlow
from tests.server.apps import Everything
from tests.server.running import eventually, running


def test_a_head_that_does_not_come() -> None:
    with running(Everything(), head_seconds=0.2) as server:
        with server.client() as silent, server.client() as slow:
            slow.send(b"GET / HTTP/1.1\r\nHost: ")
            assert slow.answer().status == 408
            assert slow.is_closed()
            assert silent.is_closed()
        assert server.metrics.timeouts_head.value == 1


def test_a_head_that_drips() -> None:
    """The time counts from the head's first byte, however many follow."""
    with running(Everything(), head_seconds=0.3) as server, server.client() as client:
        with contextlib.suppress(OSError):
            for byte in b"GET / HTTP/1.1\r\nHost: " + b"x" * 5000:
                client.send(bytes([byte]))
                time.sleep(0.005)
        assert server.metrics.timeouts_head.value == 1


def test_an_idle_connection_ends() -> None:
    with running(Everything(), idle_seconds=0.2) as server, server.client() as client:
        assert client.ask("/hello").status == 200
        assert client.is_closed()


@pytest.mark.parametrize("target", ["/echo", "/digest", "/into"])
def test_a_body_that_drips(target: str) -> None:
    """Some bytes always come, but fewer than the least; the time the application waits adds up over its reads."""
    app = Everything()
    with running(app, progress_seconds=0.3, progress_min_bytes=1000) as server, server.client() as client:
        client.send(f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            for _ in range(500):
                client.send(b"x")
                time.sleep(0.01)
                if app.marks.errors:
                    break
        assert isinstance(app.marks.errors[0], BodyTooSlow)
        assert client.answer().status == 408
        assert client.is_closed()
        assert server.metrics.timeouts_body.value == 1


def test_a_body_that_makes_progress_may_take_its_time() -> None:
    with running(Everything(), progress_seconds=0.2, progress_min_bytes=100) as server, server.client() as client:
        client.send(b"PUT /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n")
        for _ in range(20):
            client.send(b"x" * 500)
            time.sleep(0.04)
        assert client.answer().status == 200


def test_an_application_that_is_slow_is_not_the_clients_fault() -> None:
    app = Everything()
    with running(app, progress_seconds=0.15, head_seconds=0.15, idle_seconds=0.15) as server, server.client() as client:
        client.send(b"PUT /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        eventually(lambda: "/wait" in app.marks.seen)
        time.sleep(0.5)
        server.call(app.marks.go.set)
        assert client.answer().status == 200


@pytest.mark.parametrize("target", ["/endless", "/files", "/bytes"])
def test_a_client_that_takes_nothing(target: str) -> None:
    app = Everything()
    with running(app, progress_seconds=0.3, write_buffer_bytes=100_000) as server, server.client(receive_bytes=4096) as client:
        client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        eventually(lambda: server.metrics.timeouts_write.value == 1)
        eventually(lambda: server.connections() == 0)


def test_the_rest_of_a_body_that_nobody_wants_has_to_come() -> None:
    with running(Everything(), progress_seconds=0.2) as server, server.client() as client:
        client.send(b"PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
        assert client.answer().status == 404
        eventually(lambda: server.connections() == 0)


def test_an_answer_before_the_end_of_a_large_body_does_not_wait_for_ever() -> None:
    with running(Everything(), linger_seconds=0.2) as server, server.client() as client:
        client.send(b"PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        assert client.answer().headers["connection"] == "close"
        eventually(lambda: server.connections() == 0)


def test_more_bytes_than_an_application_wants() -> None:
    with running(Everything()) as server, server.client() as client:
        assert client.ask("/small", method="PUT", body=b"x" * 11).status == 413
        client.send(b"PUT /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" + b"x" * 32 + b"\r\n0\r\n\r\n")
        assert client.answer().status == 413


def test_more_connections_than_are_served() -> None:
    with running(Everything(), connections_max=2) as server:
        with server.client() as one, server.client() as two:
            assert one.ask("/hello").status == 200
            assert two.ask("/hello").status == 200
            with server.client() as three:
                assert three.answer().status == 503
                assert three.is_closed()
            assert one.ask("/hello").status == 200
        eventually(lambda: server.connections() == 0)
        with server.client() as again:
            assert again.ask("/hello").status == 200


def test_requests_that_do_not_end_are_cut_when_the_worker_stops() -> None:
    app = Everything()
    with running(app) as server, server.client() as client:
        client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: "/wait" in app.marks.seen)

        import asyncio

        asyncio.run_coroutine_threadsafe(server.front.drain(0.1), server.loop).result(20)
        assert client.answer().status == 503
        assert client.is_closed()
