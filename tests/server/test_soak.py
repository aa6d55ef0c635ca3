"""Over many requests of every kind, good, bad and broken off, a worker's memory stays what it was, and nothing of a request is left."""

from __future__ import annotations

import gc
import itertools
import os
import threading
from collections.abc import Callable

from storage.server.bodies import IncomingBody
from storage.server.messages import Request
from storage.server.protocol import Connection
from tests.server.apps import BIG, Everything, Stretch
from tests.server.running import Client, Running, eventually, running

ROUNDS = 25
GROWTH_MAX_BYTES = 4 << 20


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def good(client: Client) -> None:
    for number in range(10):
        assert client.ask(f"/who/{number}", headers=f"X-Amz-Meta-{number}: a\r\n").status == 200
        assert client.ask("/echo", method="PUT", body=b"x" * number * 1000).status == 200
    assert client.ask("/late").status == 200
    assert client.ask("/into", method="PUT", body=BIG[:600_000]).status == 200
    assert client.ask("/files?500000").status == 200
    assert client.ask("/pieces").status == 200


def malformed(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n")
    assert client.answer().status == 400


def bad_chunks(client: Client) -> None:
    client.send(b"PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
    assert client.answer().status == 400


def refused(client: Client) -> None:
    client.send(b"PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
    assert client.answer().status == 404


def breaks_off_sending(client: Client) -> None:
    client.send(b"PUT /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", BIG[:300_000])
    client.reset()


def breaks_off_receiving(client: Client) -> None:
    client.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.sock.recv(10)
    client.reset()


def half_a_head(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: " + b"x" * 3000)
    client.reset()


def piled_up(client: Client) -> None:
    client.send(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    for _ in range(3):
        assert client.answer().status == 200
    client.reset()


KINDS: list[Callable[[Client], None]] = [
    good, malformed, bad_chunks, refused, breaks_off_sending, breaks_off_receiving, half_a_head, piled_up,
]  # fmt: skip


def load(server: Running, rounds: int) -> None:
    failed: list[BaseException] = []

    def some(kinds: list[Callable[[Client], None]]) -> None:
        try:
            for kind in itertools.islice(itertools.cycle(kinds), rounds):
                with server.client() as client:
                    kind(client)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=some, args=(KINDS[i:] + KINDS[:i],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    eventually(lambda: server.connections() == 0 and not server.call(lambda: server.front._orphans))


def test_memory_stays_what_it_was() -> None:
    app = Everything()
    with running(app) as server:
        sizes = []
        for _ in range(3):  # The first fills what is kept for good: caches, the allocator's arenas.
            load(server, ROUNDS)
            app.marks.errors.clear()
            app.marks.seen.clear()
            gc.collect()
            sizes.append(resident_bytes())
        assert sizes[2] - sizes[1] < GROWTH_MAX_BYTES, sizes
        # By type, not isinstance: that asks a lazy object of Django, elsewhere in this process, for its class, and so wakes it.
        left = [thing for thing in gc.get_objects() if issubclass(type(thing), (Connection, IncomingBody, Request))]
        assert left == []
        assert Stretch.open == 0
        assert server.metrics.connections.value == 0
        with server.client() as client:
            assert client.ask("/hello").status == 200
