"""Worker processes, real ones: one that is killed is replaced, all are replaced under load without one request lost, and a stop
waits for what is under way."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.server import metrics
from storage.server.metrics import Metrics
from tests.server.running import Client, eventually


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Parent:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.admin_port = free_port(), free_port()
        self.log = (folder / "log").open("wb")
        argv = [sys.executable, "-m", "tests.server.parent_main", str(folder), str(self.port), str(self.admin_port)]
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=self.log, cwd=Path(__file__).parents[2])
        eventually(lambda: (folder / "ready").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, (folder / "log").read_text()

    def ask(self, target: str, *, port: int | None = None) -> str:
        with Client(port or self.port) as client:
            return client.ask(target).text

    def processes(self) -> dict[str, str]:
        """Who answers, by slot: new connections are spread by the kernel, so many are made."""
        found: dict[str, str] = {}
        for _ in range(64):
            with Client(self.port) as client:
                answer = client.ask("/")
                found[answer.headers["worker"]] = answer.headers["process"]
            if len(found) == 2:
                break
        return found

    def total(self, pattern: str) -> int:
        text = self.ask("/metrics", port=self.admin_port)
        return sum(int(number) for number in re.findall(rf"^{pattern} ([0-9]+)$", text, re.MULTILINE))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parent]:
    started = Parent(tmp_path)
    yield started
    started.stop()


class Load(threading.Thread):
    """Asks all the time, half of it on connections that are kept, and notes what was not answered as it should be."""

    def __init__(self, port: int, *, kept: bool) -> None:
        super().__init__()
        self.port, self.kept, self.ended = port, kept, threading.Event()
        self.good, self.wrong = 0, []  # type: int, list[str]

    def run(self) -> None:
        client: Client | None = None
        number = 0
        while not self.ended.is_set():
            number += 1
            body = b"%d" % number
            try:
                client = client or Client(self.port)
                answer = client.ask("/", method="PUT", body=body)
                if answer.status == 200 and answer.body == body:
                    self.good += 1
                else:
                    self.wrong.append(f"{answer.status} {answer.body!r}")
                if not self.kept or answer.headers.get("connection") == "close":
                    client.close()
                    client = None
            except (OSError, EOFError) as error:
                self.wrong.append(repr(error))
                client = None
        if client:
            client.close()


def test_workers_are_replaced_without_one_request_lost(parent: Parent) -> None:
    before = parent.processes()
    assert before.keys() == {"0", "1"}
    loads = [Load(parent.port, kept=i % 2 == 0) for i in range(4)]
    for load in loads:
        load.start()
    try:
        for _ in range(2):
            before = parent.processes()
            parent.process.send_signal(signal.SIGHUP)
            eventually(lambda: not set(before.values()) & set(parent.processes().values()))  # noqa: B023  it is used up in this round
    finally:
        for load in loads:
            load.ended.set()
        for load in loads:
            load.join()
    assert [load.wrong for load in loads] == [[]] * 4
    assert all(load.good > 10 for load in loads)
    answered = sum(load.good for load in loads)
    eventually(lambda: len((parent.folder / "closed").read_text().split()) >= 2)
    assert parent.total(r'cloudbox_http_requests_total\{method="PUT",status="2xx"\}') == answered  # ended workers' counts included


def test_a_worker_that_is_killed_is_replaced(parent: Parent) -> None:
    parent.processes()
    counted = parent.total(r'cloudbox_http_requests_total\{method="GET",status="2xx"\}')
    with pytest.raises((EOFError, ConnectionResetError)):
        parent.ask("/die")
    eventually(lambda: len(parent.processes()) == 2)
    assert parent.total(r'cloudbox_http_requests_total\{method="GET",status="2xx"\}') > counted
    assert b"it is started again" in (parent.folder / "log").read_bytes()


def test_a_release_that_does_not_start_changes_nothing(parent: Parent) -> None:
    before = parent.processes()
    (parent.folder / "broken").touch()
    parent.process.send_signal(signal.SIGHUP)
    eventually(lambda: b"the old one stays" in (parent.folder / "log").read_bytes())
    assert parent.processes() == before


def test_a_release_that_cannot_be_imported_changes_nothing(parent: Parent) -> None:
    before = parent.processes()
    (parent.folder / "unimportable").touch()
    parent.process.send_signal(signal.SIGHUP)
    eventually(lambda: b"before it was ready; the old workers stay" in (parent.folder / "log").read_bytes())
    assert parent.processes() == before
    # One that falls now waits for a release that can be imported; the other goes on.
    with pytest.raises((EOFError, ConnectionResetError)):
        parent.ask("/die")
    (parent.folder / "unimportable").unlink()
    eventually(lambda: len(parent.processes()) == 2)


def test_a_nursery_is_there_only_while_it_is_needed_and_may_be_killed(parent: Parent) -> None:
    """It goes when all workers serve; the one that comes for a worker that fell may fall too."""
    children = Path(f"/proc/{parent.process.pid}/task/{parent.process.pid}/children")
    eventually(lambda: len(children.read_text().split()) == 2)
    before = parent.processes()
    with pytest.raises((EOFError, ConnectionResetError)):
        parent.ask("/die")

    def newborn() -> set[int]:
        return {int(one) for one in children.read_text().split()} - {int(one) for one in before.values()}

    eventually(lambda: bool(newborn()))
    os.kill(newborn().pop(), signal.SIGKILL)
    eventually(lambda: len(parent.processes()) == 2)
    eventually(lambda: len(children.read_text().split()) == 2)


def test_a_stop_waits_for_what_is_under_way(parent: Parent) -> None:
    with Client(parent.port) as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        with Client(parent.port) as other:
            assert other.ask("/").status == 200
        parent.process.send_signal(signal.SIGTERM)
        assert client.answer().text == "here\n"
        assert client.is_closed()
    assert parent.process.wait(30) == 0
    assert len(set((parent.folder / "closed").read_text().split())) == 2


def test_the_log_says_each_request_and_no_secret(parent: Parent) -> None:
    secret = "X-Amz-Signature=ab12&a=b&X-Amz-Security-Token=cd34&Signature=ef56&temp_url_sig=0789"
    parent.ask(f"/a%20path?{secret}")
    path = parent.folder / "access.log"
    eventually(lambda: path.exists() and b"a%20path" in path.read_bytes())
    line = next(line for line in path.read_text().splitlines() if "a%20path" in line)
    row = json.loads(line)
    assert (row["method"], row["path"], row["status"], row["sent"], row["peer"]) == ("GET", "/a%20path", 200, 5, "127.0.0.1")
    assert row["query"] == "X-Amz-Signature=-&a=b&X-Amz-Security-Token=-&Signature=-&temp_url_sig=-"
    assert not any(word in line for word in ("ab12", "cd34", "ef56", "0789"))
    path.rename(parent.folder / "access.log.1")
    parent.process.send_signal(signal.SIGUSR1)
    eventually(path.exists)


def test_an_address_that_is_taken_is_an_error_at_once(parent: Parent, tmp_path: Path) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    argv = [sys.executable, "-m", "tests.server.parent_main", str(tmp_path), str(taken.getsockname()[1]), str(free_port())]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode != 0
    assert "Address already in use" in ended.stderr
    taken.close()


def test_numbers_of_workers_add_up(tmp_path: Path) -> None:
    one, two = Metrics(tmp_path, name="1"), Metrics(tmp_path, name="2")
    for seconds in (0.0005, 0.02, 99.0):
        one.request("GET", 200, seconds)
        two.request("GET", 404, seconds)
    one.connections.add(3)
    two.connections.add(4)
    text = metrics.text(metrics.totals(tmp_path))
    assert 'cloudbox_http_requests_total{method="GET",status="2xx"} 3' in text
    assert 'cloudbox_http_request_seconds_bucket{le="0.001"} 2' in text
    assert 'cloudbox_http_request_seconds_bucket{le="0.025"} 4' in text
    assert 'cloudbox_http_request_seconds_bucket{le="+Inf"} 6' in text
    assert "cloudbox_http_request_seconds_count 6" in text
    assert "cloudbox_http_request_seconds_sum 198.041000" in text
    assert "cloudbox_http_connections 7" in text
    assert text.count("# TYPE cloudbox_http_requests_total counter") == 1
    for _ in range(2):
        metrics.fold(tmp_path, ["2"])
        text = metrics.text(metrics.totals(tmp_path))
        assert 'cloudbox_http_requests_total{method="GET",status="2xx"} 3' in text
        assert "cloudbox_http_request_seconds_count 6" in text
        assert "cloudbox_http_connections 4" in text  # those of a process that ended are gone
    (tmp_path / "damaged.metrics").write_bytes(b"x" * 100)
    assert metrics.text(metrics.totals(tmp_path)) == text
    assert sorted(os.listdir(tmp_path)) == ["2.metrics", "damaged.metrics", "ended.metrics", "lock"]
