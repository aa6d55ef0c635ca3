"""Drives added, drained, removed and replaced while two workers serve, by the verbs of the admin console."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from django.core.management import call_command
from django.db import connection

from cloudbox.common.errors import Conflict, Forbidden, Invalid
from identity.context import SYSTEM, Context
from identity.models import BoxRole
from storage import buckets, dataplane, drive_list, drive_rounds, drives
from storage.models import Bucket, DriveOrder, StoreDrive
from storage.offline import check, opening
from storage.offline.names import from_drives
from storage.plane import THREADS, Plane
from tests.server.running import running
from tests.storage.conftest import Cloud

BUCKET = UUID(int=0xD)


@dataclasses.dataclass
class Workers:
    """Two of them on one store."""

    config: dataplane.Config
    loop: asyncio.AbstractEventLoop
    planes: list[Plane]
    bodies: dict[bytes, bytes] = dataclasses.field(default_factory=dict)

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def fill(self) -> None:
        """Small ones by both, so that both have a segment open; and large ones."""

        async def work() -> None:
            for n in range(40):
                store = self.planes[n % 2].store
                name = b"%d-%s" % (n, uuid4().hex.encode())
                body = name * (200_000 if n % 20 == 0 else 50)
                if len(body) > 1 << 20:
                    async with await store.begin(BUCKET, name) as writer:
                        await writer.write(body)
                        await writer.finish(etag="e")
                else:
                    await store.put(BUCKET, name, body, etag="e")
                self.bodies[name] = body

        self.run(work())

    def tend(self) -> None:
        """Rounds without a pause, but patient with drives that are away."""

        async def work() -> None:
            for plane in self.planes:
                await plane.store.tend()

        self.run(work())

    def holds_everything(self) -> None:
        async def work() -> None:
            for plane in self.planes:
                for name, body in self.bodies.items():
                    version = plane.store.get(BUCKET, name)
                    assert version is not None
                    assert b"".join([piece async for piece in plane.store.stream(version)]) == body

        self.run(work())

    def here(self) -> list[set[Path]]:
        """What each worker has in use."""
        return [{bay.spec.path for bay in plane.store.members.bays.values()} for plane in self.planes]

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {[(row.path, row.state, row.facts) for row in StoreDrive.objects.all()]}"
            self.tend()
            time.sleep(0.1)

    def row(self, path: Path) -> StoreDrive:
        return StoreDrive.objects.get(path=str(path))

    def ready(self) -> None:
        self.until(lambda: StoreDrive.objects.count() == 4, "the drives are told of")


@pytest.fixture
def workers(transactional_db: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    settings.RUN_DIR = tmp_path / "home" / "run"
    monkeypatch.setattr(drive_rounds, "SECONDS", 0.1)
    monkeypatch.setattr(drive_rounds, "CENSUS_SECONDS", 0.1)
    monkeypatch.setattr(drive_rounds, "NAMES_SECONDS", 0.1)
    buckets.generations.cache_clear()
    config = dataplane.config_of(tmp_path / "home", {"store_workers": 2})
    dataplane.prepare(config)

    async def nobody(request: Any) -> Any:
        raise AssertionError("nobody asks")

    with running(nobody) as front:
        opened = [asyncio.run_coroutine_threadsafe(dataplane.open_plane(config, slot), front.loop).result(60) for slot in (0, 1)]
        try:
            yield Workers(config, front.loop, [plane for plane, _ in opened])
        finally:
            for plane, close in reversed(opened):
                together = threading.Barrier(THREADS)

                def end(together: threading.Barrier = together) -> None:
                    together.wait(10)
                    connection.close()

                asyncio.run_coroutine_threadsafe(_stop(close, plane, end), front.loop).result(60)
            buckets.generations.cache_clear()


async def _stop(close: Any, plane: Plane, end: Callable[[], None]) -> None:
    """The threads' connections would keep the test's database from being emptied; rounds would open new ones."""
    for task in asyncio.all_tasks():
        if task.get_coro().cr_code.co_filename.endswith("rounds.py"):  # type: ignore[union-attr]
            task.cancel()
    await asyncio.sleep(0.3)
    await asyncio.to_thread(wait, [plane.pool.submit(end) for _ in range(THREADS)])
    await close()


def test_a_drive_is_added(workers: Workers, tmp_path: Path) -> None:
    """Both workers take it into use without a restart, the list has it with its id on every drive, and new objects go there."""
    workers.ready()
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "lost+found").mkdir()
    order = drives.wait(drives.add(SYSTEM, str(disk), weight=50.0, domain="shelf 2"), 20)
    assert order.state == DriveOrder.State.DONE
    assert "same device" in order.said
    workers.until(lambda: all(disk in here for here in workers.here()), "both workers have it")
    workers.until(lambda: workers.row(disk).state == "active", "it is told of")
    listed = drive_list.read(workers.config.drive_list)
    assert listed is not None
    entry = listed.at(disk)
    assert entry is not None
    assert (entry.id, entry.weight, entry.domain, entry.joins) == (workers.row(disk).pk.hex, 50.0, "shelf 2", False)
    assert drive_list.read(disk / drive_list.NAME) == listed
    workers.fill()
    workers.until(lambda: workers.row(disk).facts["bytes"] > 0, "something is on it")
    facts = workers.row(disk).facts
    assert facts["total"] >= facts["free"] > 0
    assert facts["device"]
    assert workers.config.drives[0].name in "".join(facts["shares_with"])
    workers.holds_everything()


def test_what_will_not_do_is_refused(workers: Workers, tmp_path: Path) -> None:
    """A folder that is not there, is not empty, lies in another drive, or is of another store: with a sentence, and nothing is changed."""
    workers.ready()
    before = workers.config.drive_list.read_bytes()
    full, foreign = tmp_path / "full", tmp_path / "foreign"
    full.mkdir()
    (full / "letters.txt").write_text("mine")
    foreign.mkdir()
    (foreign / "drive.json").write_text(json.dumps({"format": 1, "store": "0" * 32, "drive": "1" * 32}))
    (workers.config.drives[0] / "inside").mkdir()
    for path, why in (
        (tmp_path / "nowhere", "no folder"),
        (full, "letters.txt"),
        (foreign, "another object store"),
        (workers.config.drives[0] / "inside", "in one another"),
        (workers.config.drives[0], "already"),
    ):
        with pytest.raises(Conflict, match=why):
            drives.wait(drives.add(SYSTEM, str(path)), 20)
    for path, field in (("disk", "path"), ("/", "path"), ("/proc/x", "path"), ("/a\0b", "path")):
        with pytest.raises(Invalid) as raised:
            drives.add(SYSTEM, path)
        assert raised.value.field == field
    with pytest.raises(Invalid):
        drives.add(SYSTEM, "/srv/x", weight=float("nan"))
    assert workers.config.drive_list.read_bytes() == before
    assert [path.name for path in full.iterdir()] == ["letters.txt"]


def test_a_drive_is_drained_and_removed(workers: Workers, tmp_path: Path) -> None:
    """What it held is copied while both write on; it cannot be removed before; afterwards its folder is as empty as a new one."""
    workers.ready()
    workers.fill()
    victim = workers.config.drives[1]
    row = workers.row(victim)
    assert "Empty it first" in drives.possible(SYSTEM, row).remove
    with pytest.raises(Conflict, match="Empty it first"):
        drives.remove(SYSTEM, row.pk)
    drives.wait(drives.drain(SYSTEM, row.pk), 20)
    workers.fill()
    workers.until(lambda: workers.row(victim).state == "drained", "it is empty")
    assert workers.row(victim).facts["drained_percent"] in (100, None)
    assert drives.possible(SYSTEM, workers.row(victim)).remove == ""
    drives.wait(drives.remove(SYSTEM, row.pk), 20)
    workers.until(lambda: all(victim not in here for here in workers.here()), "both workers have let go")
    workers.until(lambda: not StoreDrive.objects.filter(path=str(victim)).exists(), "it is no longer told of")
    assert [path for path in victim.rglob("*") if path.is_file()] == []
    workers.fill()
    workers.holds_everything()
    with pytest.raises(Conflict, match="3 copies"):
        drives.drain(SYSTEM, workers.row(workers.config.drives[0]).pk)
    shutil.rmtree(victim)
    victim.mkdir()
    drives.wait(drives.add(SYSTEM, str(victim)), 20)
    workers.until(lambda: all(victim in here for here in workers.here()), "it is back as a new one")
    workers.holds_everything()


def test_a_dead_drive_is_replaced(workers: Workers, tmp_path: Path) -> None:
    """Its folder vanishes under load; the new one gets all copies that lacked; a check of the drives alone finds everything whole."""
    workers.ready()
    workers.fill()
    victim, disk = workers.config.drives[2], tmp_path / "disk"
    old = workers.row(victim).pk
    shutil.rmtree(victim)
    workers.until(lambda: workers.row(victim).state == "missing", "it is missed")
    workers.fill()
    assert "missing" in drives.possible(SYSTEM, workers.row(victim)).drain
    disk.mkdir()
    drives.wait(drives.replace(SYSTEM, old, str(disk)), 20)
    workers.until(lambda: not StoreDrive.objects.filter(pk=old).exists() and workers.row(disk).state == "active", "it is replaced")
    workers.until(lambda: drives.rounds(SYSTEM)["queue"]["pieces"] == 0 and not drives.rounds(SYSTEM)["missing"], "all has its copies")
    assert not victim.exists()
    workers.holds_everything()

    def used() -> bool:
        workers.fill()  # The drives that were left may have taken all the copies that were lacking.
        return workers.row(disk).facts["bytes"] > 0

    workers.until(used, "new objects go there")
    place = opening.Place(tuple(workers.here()[0]))
    with opening.opened(place) as store:
        report = check.check(store, from_drives(drive for _, drive in store.drives.values()))
    assert report.versions.lost == 0
    assert report.missing == []


def test_a_living_drive_is_replaced(workers: Workers, tmp_path: Path) -> None:
    """The new one takes over its weight and domain; the old one is drained first, and only then let go of."""
    workers.ready()
    workers.fill()
    victim, disk = workers.config.drives[0], tmp_path / "disk"
    old = workers.row(victim)
    drives.wait(drives.set_weight(SYSTEM, old.pk, 3.0, domain="left"), 20)
    workers.until(lambda: workers.row(victim).weight == 3.0, "its weight is told")
    disk.mkdir()
    order = drives.wait(drives.replace(SYSTEM, old.pk, str(disk)), 20)
    workers.until(lambda: DriveOrder.objects.get(pk=order.pk).state == DriveOrder.State.DONE, "the order has ended")
    workers.until(lambda: all(victim not in here and disk in here for here in workers.here()), "both have changed over")
    assert (workers.row(disk).weight, workers.row(disk).domain) == (3.0, "left")
    workers.holds_everything()


def test_who_may(workers: Workers) -> None:
    """Support looks, an administrator orders; nobody else sees drives."""
    workers.ready()
    support, nobody = Context(user=None, box_role=BoxRole.SUPPORT), Context(user=None)
    row = drives.list_drives(support)[0]
    assert drives.possible(support, row).set == "Your role may look only."
    for ask in (drives.drain, drives.keep, drives.remove):
        with pytest.raises(Forbidden):
            ask(support, row.pk)
    with pytest.raises(Forbidden):
        drives.add(support, "/srv/disk")
    with pytest.raises(Forbidden):
        drives.list_drives(nobody)
    with pytest.raises(Forbidden):
        drives.rounds(nobody)


def test_the_command_line(workers: Workers, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`bin/cloudbox store drives`, `add` and `set`, with drives called by their folders or ids."""
    workers.ready()
    disk = tmp_path / "disk"
    disk.mkdir()
    call_command("box_store", "add", str(disk), "--weight", "2")
    workers.until(lambda: StoreDrive.objects.filter(path=str(disk)).exists(), "it is told of")
    call_command("box_store", "set", workers.row(disk).pk.hex[:8], "--domain", "right")
    workers.until(lambda: workers.row(disk).domain == "right", "its domain is told")
    capsys.readouterr()
    call_command("box_store", "drives", "--json")
    told = json.loads(capsys.readouterr().out)
    assert {one["path"]: (one["weight"], one["domain"]) for one in told["drives"]}[str(disk)] == (2.0, "right")
    assert told["rounds"]["queue"] == {"pieces": 0, "bytes": 0}
    call_command("box_store", "drives")
    assert str(disk) in capsys.readouterr().out


def test_names_are_kept_on_the_drives(workers: Workers, cloud: Cloud) -> None:
    """A bucket that exists in PostgreSQL is soon found by name on every drive, for the day when PostgreSQL is gone."""
    name = cloud.bucket()
    id = Bucket.objects.get(name=name).id
    bays = workers.planes[0].store.members.bays.values()
    workers.until(lambda: all(from_drives([bay.drive]).of(id) == name for bay in bays), "its name is on all of them")
    (known,) = {json.loads(bay.drive.load(drive_list.NAMES) or b"{}")["buckets"][0]["project_name"] for bay in bays}
    assert known == cloud.me.project.name


def test_where_the_copies_of_an_object_lie(cloud: Cloud) -> None:
    """Three drives have it whole; after an audit it is said when it was verified; who may not read the object is not told."""
    client, name = cloud.client(), cloud.bucket()
    client.put_object(Bucket=name, Key="small", Body=b"x" * 100)
    client.put_object(Bucket=name, Key="large", Body=b"y" * (3 << 20))

    def ask(key: str, who: Any = None) -> Any:
        who = who or cloud.me
        request = AWSRequest("GET", f"{cloud.url}/{name}/{key}?cloudbox-replicas")
        S3SigV4Auth(Credentials(who.key, who.secret), "s3", "us-east-1").add_auth(request)
        return requests.get(request.url, headers=dict(request.headers), timeout=30)

    for key, size in (("small", 100), ("large", 3 << 20)):
        told = ask(key).json()
        assert (told["class"], told["expected"]) == ("replicated-3", 3)
        assert [(one["state"], one["bytes"]) for one in told["replicas"]] == [("whole", size)] * 3
        assert {one["verified_at"] for one in told["replicas"]} == {None}
        assert all("/" not in one["drive"] for one in told["replicas"])
    cloud.run(cloud.plane.store.tend(hurry=True))
    cloud.run(cloud.plane.store.tend(hurry=True))
    assert all(one["verified_at"] for one in ask("large").json()["replicas"])
    assert ask("small", cloud.stranger).status_code == 403
    assert ask("nothing").status_code == 404
