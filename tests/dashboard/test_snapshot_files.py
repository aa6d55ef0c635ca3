"""The files on a volume's snapshot, in the portal and by REST, by way of a real disk server; and what that server does with nonsense."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client

from cloudbox.common.errors import NotFound
from cloudbox.common.models import Event
from compute import snapshots, volumes
from compute.agent import disk_server
from compute.agent.disk_server import DiskServer
from compute.models import Snapshot
from tests.api.conftest import speak
from tests.dashboard.test_backup_files import body_of, disk
from tests.filesystems.disks import FileBytes
from tests.world import World, work

__all__ = ["disk", "speak"]
Browse = Callable[..., Client]
Speak = Callable[..., Any]


class Place:
    """A disk server over one file, in a thread; `opened` and `closed` count."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self.socket, self.disk = folder / "disks.sock", disk
        self.opened = self.closed = 0
        self.known: UUID | None = None
        self.breaks = False

    @contextmanager
    def open(self, disk_id: UUID, snapshot_id: UUID) -> Iterator[FileBytes]:
        if snapshot_id != self.known:
            raise NotFound("The disk no longer holds this snapshot.")
        self.opened += 1
        try:
            yield FileBytes(self.disk)
        finally:
            self.closed += 1

    def connect(self) -> socket.socket:
        wire = socket.socket(socket.AF_UNIX)
        wire.settimeout(10)
        wire.connect(str(self.socket))
        return wire

    def ask(self, hello: bytes) -> tuple[dict[str, Any], socket.socket]:
        wire = self.connect()
        wire.sendall(hello)
        return json.loads(wire.makefile("rb", 0).readline() or b"{}"), wire

    def hello(self) -> bytes:
        return json.dumps({"disk": str(uuid4()), "snapshot": str(self.known)}).encode() + b"\n"


@pytest.fixture
def place(short_path: Path, disk: Path, settings: Any) -> Iterator[Place]:
    settings.RUN_DIR = short_path
    place, loop = Place(short_path, disk), asyncio.new_event_loop()
    server = DiskServer(place.socket, opener=place.open)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield place
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def taken(world: World, place: Place | None = None) -> Snapshot:
    ctx = world.ctx("member")
    volume = volumes.create(ctx, name="data", size_gib=1)
    work(volume.id)
    row = snapshots.create(ctx, volume_id=volume.id, name="monday")
    work(volume.id)
    if place is not None:
        place.known = row.id
    return snapshots.get(ctx, row.id)


def test_in_the_portal(browse: Browse, world: World, place: Place) -> None:
    client, row = browse("member"), taken(world, place)
    at = f"/p/shop/snapshots/{row.id}"
    assert f'href="{at}/files"' in client.get(f"/p/shop/volumes/{row.volume_id}").content.decode()
    page = client.get(f"{at}/files").content.decode()
    assert 'href="?part=2&amp;path=/etc"' in page
    assert "data as it was" in page
    page = client.get(f"{at}/files?part=2&path=/etc").content.decode()
    assert f"{at}/file?part=2&amp;path=/etc/hostname" in page
    assert body_of(client.get(f"{at}/file", {"part": "2", "path": "/etc/<b>bold&co"})) == b"x" * 5_000_000
    event = Event.objects.get(verb="read-file")
    assert (event.subject_id, event.detail) == (row.id, "/etc/<b>bold&co of part 2")
    assert "has no part 7" in client.get(f"{at}/files?part=7").content.decode()
    assert place.opened == 4


def test_by_rest(speak: Speak, world: World, place: Place) -> None:
    api, row = speak("member"), taken(world, place)
    found = api.get(f"/snapshots/{row.id}/files?path=/many").json()
    assert (found["part"]["title"], len(found["entries"])) == ("ext4", 300)
    assert body_of(api.get(f"/snapshots/{row.id}/file?part=2&path=/etc/hostname")) == b"fjord\n"
    assert api.get(f"/snapshots/{row.id}").json()["actions"]["browse"] is None


def test_who_may_not(speak: Speak, browse: Browse, world: World, place: Place) -> None:
    row = taken(world, place)
    for path in (f"/snapshots/{row.id}/files", f"/snapshots/{row.id}/file?part=2&path=/etc/hostname"):
        assert speak("reader").get(path).status_code == 403
    assert f"/p/shop/snapshots/{row.id}/files" not in browse("reader").get(f"/p/shop/volumes/{row.volume_id}").content.decode()
    assert browse("stranger").get(f"/p/shop/snapshots/{row.id}/files").status_code == 404
    assert place.opened == 0


def test_the_worker_is_away(browse: Browse, speak: Speak, world: World, settings: Any, short_path: Path) -> None:
    settings.RUN_DIR = short_path
    row = taken(world)
    assert "The compute worker does not answer" in browse("member").get(f"/p/shop/snapshots/{row.id}/files").content.decode()
    assert speak("member").get(f"/snapshots/{row.id}/file?part=2&path=/etc/hostname").status_code == 503


def test_one_that_goes_meanwhile(browse: Browse, world: World, place: Place) -> None:
    """Its room on the disk is written anew, so nothing that was read of it is shown, and a file that is under way breaks off."""
    row, client = taken(world, place), browse("member")
    answer = client.get(f"/p/shop/snapshots/{row.id}/file", {"part": "2", "path": "/etc/<b>bold&co"})
    Snapshot.objects.filter(id=row.id).update(status="deleting")
    with pytest.raises(Exception, match="is being deleted"):
        body_of(answer)
    assert "Wait until that is done" in client.get(f"/p/shop/snapshots/{row.id}/files").content.decode()
    Snapshot.objects.filter(id=row.id).update(status="ready")
    place.known = uuid4()
    assert "The disk no longer holds this snapshot." in client.get(f"/p/shop/snapshots/{row.id}/files").content.decode()


def test_nonsense_to_the_server(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs up on it, closes what it opened, and goes on serving; and it opens no more than a few at once."""
    place.known = uuid4()
    for hello in (b"\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b"null\n", b'{"disk": 1, "snapshot": 2}\n', b"x" * 5000 + b"\n"):
        answer, wire = place.ask(hello)
        assert answer == {}
        wire.close()
    answer, wire = place.ask(json.dumps({"disk": str(uuid4()), "snapshot": str(uuid4())}).encode() + b"\n")
    assert answer == {"ok": False, "error": "The disk no longer holds this snapshot."}
    wire.close()
    for ask in (struct.pack(">QI", 0, 2**31), struct.pack(">QI", 2**63, 512), b"short"):
        answer, wire = place.ask(place.hello())
        assert answer["ok"]
        wire.sendall(ask)
        wire.shutdown(socket.SHUT_WR)
        assert wire.recv(1) == b""
        wire.close()
    held = [place.ask(place.hello()) for _ in range(disk_server.OPEN_MAX)]
    assert [answer["ok"] for answer, _ in held] == [True] * disk_server.OPEN_MAX
    answer, wire = place.ask(place.hello())
    assert "already" in answer["error"]
    wire.close()
    for _, wire in held:
        wire.sendall(struct.pack(">QI", 0, 512))
        assert len(wire.recv(512, socket.MSG_WAITALL)) == 512
        wire.close()
    for _ in range(1000):
        if place.closed == place.opened:
            break
        threading.Event().wait(0.01)
    assert place.closed == place.opened == disk_server.OPEN_MAX + 3
