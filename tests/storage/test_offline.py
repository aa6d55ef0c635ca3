"""The store without its server: what is on the drives is read back, whatever has happened to some of them."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cloudbox.common.errors import NotFound, Unavailable
from storage.engine import STORAGE_CLASSES, DriveSpec, Mode, Store
from storage.engine.store import Settings
from storage.offline import __main__ as command
from storage.offline import check, dump, export, rebuild
from storage.offline.names import Names
from storage.offline.opening import Place, opened

PHOTOS, OLD, EMPTY = UUID(int=0xA1), UUID(int=0xA2), UUID(int=0xA3)
NAMES = Names({PHOTOS: {"id": str(PHOTOS), "name": "photos"}, OLD: {"id": str(OLD), "name": "old things/.."}})
SETTINGS = Settings(segment_bytes=128 << 10, fill_ahead=False, reserve_bytes=0, map_bytes=256 << 20)

# What would leave a folder, hide in it, or collide, if names were paths.
HOSTILE = [
    b"../../etc/passwd",
    b"/etc/shadow",
    b"..",
    b".",
    b"a",
    b"a/b",
    b"a/b/c",
    b"a/",
    b"a//b",
    b"a%",
    b"a%d/b",
    b"a%25",
    b"nul\0inside",
    b"line\nbreak",
    b"back\\slash",
    b"\xff\xfe bytes that are no text",
    "größe/日本.txt".encode(),
    b"x" * 1000,
    b"x" * 999 + b"y",
    b"deep/" * 60 + b"end",
    b"manifest.jsonl",
    b" ",
    b"-rf",
    b"~",
]


@dataclasses.dataclass
class World:
    """A store that was closed, and what it holds: bodies of the latest versions, and of all versions by their ids."""

    home: Path
    latest: dict[tuple[UUID, bytes], bytes] = dataclasses.field(default_factory=dict)
    versions: dict[tuple[UUID, bytes, str], bytes] = dataclasses.field(default_factory=dict)
    markers: int = 0

    @property
    def drives(self) -> tuple[Path, ...]:
        return tuple(self.home / "store" / f"drive-{n}" for n in range(1, 5))

    @property
    def index(self) -> Path:
        return self.home / "store" / "index"

    def place(self, *, index: bool = False, without: tuple[int, ...] = ()) -> Place:
        return Place(tuple(path for n, path in enumerate(self.drives) if n not in without), self.index if index else None)

    async def open(self, **settings: Any) -> Store:
        specs = [DriveSpec(path) for path in self.drives]
        return await Store.open(specs, index=self.index, settings=dataclasses.replace(SETTINGS, **settings))


async def fill(world: World) -> None:
    """Bodies of all shapes, versions, markers, parts; overwritten, deleted and compacted ones between them."""
    chance = random.Random(5)
    for path in world.drives:
        path.mkdir(parents=True)
    store = await world.open()

    async def put(bucket: UUID, name: bytes, size: int, mode: Mode = Mode.REPLACE) -> None:
        body = chance.randbytes(size)
        if size > 1 << 20:
            async with await store.begin(bucket, name, mode=mode) as writer:
                await writer.write(body)
                version = await writer.finish(etag="e", meta=b"")
        else:
            version = await store.put(bucket, name, body, etag="e", mode=mode)
        keep(bucket, name, version.id, body)

    def keep(bucket: UUID, name: bytes, id: str, body: bytes) -> None:
        world.latest[bucket, name] = body
        world.versions[bucket, name, id] = body

    for name in HOSTILE:
        await put(PHOTOS, name, chance.randrange(0, 3000))
    for n in range(120):
        await put(PHOTOS, b"small/%03d" % (n % 60), chance.randrange(1, 9000))
    for n in range(3):
        await put(PHOTOS, b"large/%d" % n, (1 << 20) + chance.randrange(1, 3 << 20))
    for _ in range(3):
        await put(OLD, b"letter", 500, Mode.ADD)
    await put(OLD, b"hidden", 500, Mode.ADD)
    await store.add_delete_marker(OLD, b"hidden")
    world.markers = 1
    del world.latest[OLD, b"hidden"]
    upload = await store.create_upload(PHOTOS, b"in parts")
    bodies = [chance.randbytes(100_000), chance.randbytes(2 << 20), chance.randbytes(10)]
    parts = [await store.put_part(upload, 1, bodies[0], etag="1")]
    async with await store.begin_part(upload, 2) as writer:
        await writer.write(bodies[1])
        parts.append(await writer.finish(etag="2"))
    parts.append(await store.put_part(upload, 3, bodies[2], etag="3"))
    version = await store.complete(upload, parts, etag="e-3")
    keep(PHOTOS, b"in parts", version.id, b"".join(bodies))
    for n in range(0, 60, 3):
        await store.delete(PHOTOS, b"small/%03d" % n)
        del world.latest[PHOTOS, b"small/%03d" % n]
        del world.versions[PHOTOS, b"small/%03d" % n, "null"]
    for _ in range(3):
        await store.tend(hurry=True)
    await put(PHOTOS, b"after the rounds", 700)
    await store.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("filled"))
    asyncio.run(fill(world))
    return world


@pytest.fixture
def world(filled: World, tmp_path: Path) -> World:
    """A copy to break."""
    shutil.copytree(filled.home, tmp_path / "home", copy_function=shutil.copy)
    return dataclasses.replace(filled, home=tmp_path / "home")


def prints(folder: Path) -> dict[str, bytes]:
    """Of every file below: that nothing has been written."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and "lock" not in path.name]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest() for path in found}


def compare(world: World, place: Place, target: Path, *, all_versions: bool = True) -> None:
    """Export, and hold every file against what was put; none may be missing, and none may lie outside."""
    with opened(place) as store:
        done = export.export(store, NAMES, target, all_versions=all_versions)
    lines = [json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines()]
    assert [line for line in lines if "error" in line] == []
    ids = {"photos": PHOTOS, "old things/..": OLD}
    seen: dict[tuple[UUID, bytes, str], bytes] = {}
    for line in lines:
        name = bytes.fromhex(line["name_hex"]) if "name_hex" in line else line["name"].encode()
        path = target / line["file"]
        assert path.resolve().is_relative_to((target / "buckets").resolve()), line
        body = path.read_bytes()
        assert hashlib.sha256(body).hexdigest() == line["sha256"]
        seen[ids[line["bucket"]], name, line["version"]] = body
    assert len({line["file"] for line in lines}) == len(lines) == done.files
    expected = world.versions
    if not all_versions:
        assert {(bucket, name): body for (bucket, name, _), body in seen.items()} == world.latest
    else:
        assert seen == expected
    on_disk = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert on_disk == {line["file"] for line in lines} | {"manifest.jsonl"}


def checked(place: Place) -> check.Report:
    with opened(place) as store:
        return check.check(store, NAMES)


def test_a_sound_store(world: World, tmp_path: Path) -> None:
    """Everything is found, in all its copies, with not a byte written to any drive; it is dumped and exported as it was put."""
    before = prints(world.home)
    report = checked(world.place())
    assert report.status == check.WHOLE, check.sentence(report)
    assert report.versions.total == len(world.versions) + world.markers
    assert report.objects == len(world.latest)
    assert (report.versions.lost, report.extents.total, report.buckets) == (0, 4, 2)
    with opened(world.place()) as store:
        lines = [json.loads(line) for line in dump.dump(store, NAMES)]
    assert {line["bucket"]: line["objects"] for line in lines if line["type"] == "bucket"} == {
        "photos": report.objects - 1,
        "old things/..": 1,
    }
    assert sum(line["type"] == "version" for line in lines) == report.versions.total
    compare(world, world.place(), tmp_path / "all")
    compare(world, world.place(), tmp_path / "latest", all_versions=False)
    assert prints(world.home) == before


@pytest.mark.parametrize("lost", range(4))
def test_any_drive_may_be_lost(world: World, tmp_path: Path, lost: int) -> None:
    """Without its folder, and without index and server: all objects are read from the others; what lacks copies is counted."""
    shutil.rmtree(world.drives[lost])
    report = checked(world.place())
    assert report.status == check.DEGRADED, check.sentence(report)
    assert (report.versions.lost, len(report.missing)) == (0, 1)
    assert report.segments.degraded + report.extents.degraded > 0
    assert [drive.state for drive in report.drives].count("missing") == 1
    compare(world, world.place(), tmp_path / "out")


def test_flipped_bits(world: World, tmp_path: Path) -> None:
    """Bytes that have rotted on one drive, in a third of its files: each is noticed, and read from another drive."""
    chance = random.Random(1)
    victims = [path for path in sorted(world.drives[1].rglob("*")) if path.is_file() and path.parent.name not in ("drive-2", "checkpoints")]
    hurt = 0
    for path in victims[::3]:
        data = bytearray(path.read_bytes())
        if len(data.rstrip(b"\0")) <= 4096:
            continue
        for _ in range(5):
            data[chance.randrange(4096, len(data.rstrip(b"\0")))] ^= 0x20
        path.write_bytes(data)
        hurt += 1
    assert hurt
    report = checked(world.place())
    assert report.status == check.DEGRADED, check.sentence(report)
    assert report.drives[1].damaged > 0
    assert all(drive.damaged == 0 for n, drive in enumerate(report.drives) if n != 1)
    compare(world, world.place(), tmp_path / "out")


def test_torn_segments(world: World, tmp_path: Path) -> None:
    """Two drives have lost the ends of their segments, at different places, and one its extents: the quorum still has everything."""
    for drive, share in ((world.drives[0], 0.3), (world.drives[2], 0.6)):
        for path in sorted((drive / "segments").iterdir())[:: 2 if share < 0.5 else 3]:
            others = [d / "segments" / path.name for d in world.drives if d != drive and (d / "segments" / path.name).exists()]
            whole = any(o.stat().st_size == path.stat().st_size for o in others if o.parent.parent in (world.drives[1], world.drives[3]))
            if whole:
                os.truncate(path, int(path.stat().st_size * share))
    shutil.rmtree(world.drives[0] / "extents")
    report = checked(world.place())
    assert report.status == check.DEGRADED, check.sentence(report)
    assert report.versions.lost == 0
    compare(world, world.place(), tmp_path / "out")


def _holders(world: World, folder: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for drive in world.drives:
        for path in sorted((drive / folder).rglob("*")):
            if path.is_file():
                found.setdefault(path.name, []).append(path)
    return found


def test_what_is_lost_is_named(world: World, tmp_path: Path) -> None:
    """A small body and an extent are destroyed on every drive: both objects are named, the rest is exported, the status says it."""
    body = world.latest[PHOTOS, b"after the rounds"]
    for paths in _holders(world, "segments").values():
        for path in paths:
            data = path.read_bytes()
            if body in data:
                path.write_bytes(data.replace(body, bytes(len(body))))
    large = world.latest[PHOTOS, b"large/1"][:64]
    for paths in _holders(world, "extents").values():
        for path in paths:
            if path.read_bytes()[:64] == large:
                path.unlink()
    report = checked(world.place(index=True))
    assert report.status == check.LOST
    assert {lost["name"] for lost in report.lost} == {"after the rounds", "large/1"}, report.lost
    assert {lost["bucket"] for lost in report.lost} == {"photos"}
    doubt = checked(world.place())  # Without the index the end of the last batch might have been torn.
    assert [lost["name"] for lost in doubt.lost] == ["large/1"]
    assert [one["name"] for one in doubt.doubtful] == ["after the rounds"]
    with opened(world.place()) as store:
        done = export.export(store, NAMES, tmp_path / "out")
    assert (done.failed, done.files) == (1, len(world.latest) - 2)
    errors = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines() if '"error"' in line]
    assert [line["name"] for line in errors] == ["large/1"]


def test_orphans_are_counted(world: World) -> None:
    """An extent and a segment that no record knows are neither lost nor in the way."""
    name = "f" * 16 + "0" * 16
    folder = world.drives[0] / "extents" / name[:2]
    folder.mkdir(exist_ok=True)
    source = next(iter(_holders(world, "extents").values()))[0]
    shutil.copy(source, folder / name)
    report = checked(world.place())
    assert (report.status, report.extents.orphaned) == (check.WHOLE, 1)


def test_too_many_drives_are_missing(world: World) -> None:
    """With two of four gone there may have been more than what is found: that is said, and what is there is still read."""
    report = checked(world.place(without=(1, 3)))
    assert report.status == check.LOST
    assert "known to them alone" in report.incomplete
    assert report.versions.total > 0


def test_beside_a_server(world: World, tmp_path: Path) -> None:
    """While a store is open and written to, its own index is read: nothing is reported lost, and rebuild-index refuses."""

    async def offline(*words: str) -> tuple[int, bytes, bytes]:
        argv = [sys.executable, "-m", "storage.offline", *words, "--home", str(world.home)]
        process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out, err

    async def run() -> dict[str, Any]:
        store = await world.open()
        stop = asyncio.Event()

        async def write() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                await store.put(PHOTOS, b"busy/%d" % (n % 40), b"%d" % n * 500, etag="e")
                if n % 25 == 0:
                    await store.tend(hurry=True)

        busy = asyncio.ensure_future(write())
        try:
            for _ in range(3):
                status, out, err = await offline("check", "--json")
                assert status in (check.WHOLE, check.DEGRADED), out + err
            refused, _, said = await offline("rebuild-index")
            assert refused == command.FAILED, said
            assert b"is running on these drives" in said
        finally:
            stop.set()
            await busy
            await store.close()
        report: dict[str, Any] = json.loads(out)
        return report

    report = asyncio.run(run())
    assert report["live"]
    assert report["versions"]["lost"] == 0
    assert report["versions"]["total"] >= len(world.versions)


def _same(world: World, store: Store) -> Callable[[], Any]:
    async def look() -> None:
        for (bucket, name, id), body in world.versions.items():
            version = store.get(bucket, name, id)
            assert version is not None, name
            assert b"".join([piece async for piece in store.stream(version)]) == body, name

    return look


def test_the_index_is_made_anew(world: World) -> None:
    """The index is damaged; after rebuild-index the store opens with it as it is, and holds everything."""
    for path in (world.index / "lmdb").iterdir():
        path.write_bytes(b"rubbish")
    done = rebuild.rebuild([DriveSpec(path, joins=False) for path in world.drives], world.index)
    assert done.segments > 0
    assert not list(world.index.glob("*.before"))

    async def look() -> None:
        store = await world.open()
        assert store.recovered.index == "kept"
        await _same(world, store)()
        await store.close()

    asyncio.run(look())


def test_an_index_is_not_made_at_the_price_of_a_loss_unasked(world: World) -> None:
    """Two drives are missing: the old index stays as it was until somebody says that they are gone for good."""
    specs = [DriveSpec(path, joins=False) for path in world.drives]
    for n in (1, 3):
        world.drives[n].rename(world.home / f"away-{n}")
    before = prints(world.index)
    with pytest.raises(Unavailable, match="accept-loss"):
        rebuild.rebuild(specs, world.index)
    assert prints(world.index) == before
    done = rebuild.rebuild(specs, world.index, accept_loss=True)
    assert len(done.given_up) == 2
    for n in (1, 3):
        (world.home / f"away-{n}").rename(world.drives[n])

    async def look() -> None:
        store = await world.open()  # They are back: as new drives, and what they held stays away.
        assert len(store.members.bays) == 4
        assert not set(done.given_up) & {id.hex() for id in store.members.bays}
        await store.tend(hurry=True)
        await store.close()

    asyncio.run(look())
    assert checked(world.place()).versions.lost == 0


def test_foreign_drives_are_left_alone(world: World, tmp_path: Path) -> None:
    """A drive of another store among ours is named as such, and nothing of it is read; without any drive there is a plain sentence."""
    other = World(tmp_path / "other")

    async def make() -> None:
        for path in other.drives:
            path.mkdir(parents=True)
        store = await other.open()
        await store.put(EMPTY, b"theirs", b"x", etag="e")
        await store.close()

    asyncio.run(make())
    report = checked(Place((*world.drives, other.drives[0])))
    assert [drive.state for drive in report.drives] == ["here"] * 4 + ["foreign"]
    assert (report.buckets, report.versions.lost) == (2, 0)
    with pytest.raises(NotFound, match="No drive of an object store"):
        checked(Place((tmp_path,)))


def test_the_command(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verbs as they are typed: their words, their exit statuses, and names from a file and from the drives."""
    home = ["--home", str(world.home)]
    assert command.main(["check", *home, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "whole"
    names = tmp_path / "names.json"
    names.write_text(json.dumps({str(PHOTOS): "photos"}))
    assert command.main(["dump", *home, "--names", str(names), "--bucket", "photos", "--prefix", "large/"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["bucket", "version", "version", "version"]
    kept = {"format": 1, "written": "2026-01-01", "buckets": [{"id": str(PHOTOS), "name": "kept"}], "keys": []}
    (world.drives[2] / "names.json").write_text(json.dumps(kept))
    assert command.main(["export", *home, "--bucket", "kept", "--prefix", "large/", "--to", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out" / "buckets" / "kept" / "large").iterdir())) == 3
    assert command.main(["export", *home, "--to", str(tmp_path / "out")]) == command.FAILED
    assert "not empty" in capsys.readouterr().err
    assert command.main(["export", *home, "--bucket", "nobody", "--to", str(tmp_path / "none")]) == command.FAILED
    shutil.rmtree(world.drives[0])
    assert command.main(["check", *home]) == 1
    assert "not here" in capsys.readouterr().out
    assert command.main(["rebuild-index", *home]) == 0
    assert STORAGE_CLASSES["replicated-3"].replicas == 3
