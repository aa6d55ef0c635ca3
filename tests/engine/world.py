"""A store on drives in memory, with a twin in plain Python that says what it should hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from storage.engine import DriveSpec, Mode, Store, Version
from storage.engine.simulated import MemoryDrive, Platter, Power
from storage.engine.store import Settings

BUCKET = UUID(int=0x11)
OTHER = UUID(int=0x12)
MAP_BYTES = 64 << 20


@dataclass
class Box:
    """Platters and an index folder that outlive the store on them."""

    folder: Path
    platters: list[Platter] = field(default_factory=lambda: [Platter(seed=n) for n in range(4)])
    segment_bytes: int = 256 << 10
    boots: int = 1
    reserve_bytes: int = 0

    def share_power(self) -> Power:
        """One plug for all drives."""
        power = Power()
        for platter in self.platters:
            platter.power = power
        return power

    async def start(
        self, *, worker: int = 0, without: tuple[int, ...] = (), draining: tuple[int, ...] = (), accept_loss: bool = False
    ) -> Store:
        drives = [
            DriveSpec(Path(f"memory {n}"), drive=MemoryDrive(platter), draining=n in draining)
            for n, platter in enumerate(self.platters)
            if n not in without
        ]
        settings = Settings(
            segment_bytes=self.segment_bytes,
            fill_ahead=False,
            spares_quiet_seconds=0.0,
            reserve_bytes=self.reserve_bytes,
            map_bytes=MAP_BYTES,
            boot=f"boot {self.boots}",
            accept_loss=accept_loss,
        )
        return await Store.open(drives, index=self.folder / "index", worker=worker, settings=settings)

    def lose_index(self) -> None:
        import shutil

        shutil.rmtree(self.folder / "index", ignore_errors=True)

    @staticmethod
    def abandon(store: Store) -> None:
        """What a kill leaves of it: no seal, no sync, no mark that all is well."""
        for lane in store.committer._lanes.values():
            if lane._next is not None:
                lane._next.cancel()
        store.members.close()
        store.pool.shutdown(wait=True, cancel_futures=True)
        store.index.close(sync=False)
        store._locks.close()

    def power_loss(self) -> None:
        """What was not synced is torn, and the index of this boot is not to be trusted."""
        for platter in self.platters:
            platter.power_loss()
        self.boots += 1


@dataclass
class Kept:
    """A version as the twin knows it."""

    id: str
    body: bytes
    meta: bytes
    marker: bool = False


class Twin:
    """The store, as lists and dicts: per name its versions, newest first."""

    def __init__(self) -> None:
        self.names: dict[bytes, list[Kept]] = {}

    def put(self, name: bytes, version: Version, body: bytes, meta: bytes, mode: Mode) -> None:
        versions = self.names.setdefault(name, [])
        if mode is Mode.REPLACE:
            versions[:] = [v for v in versions if v.id != "null"]
        versions.insert(0, Kept(version.id, body, meta, version.delete_marker))

    def delete(self, name: bytes, id: str) -> None:
        versions = self.names.get(name, [])
        versions[:] = [v for v in versions if v.id != id]
        if not versions:
            self.names.pop(name, None)

    def listing(self, prefix: bytes, delimiter: bytes) -> list[tuple[bytes, str]]:
        """Names of objects, and common prefixes marked by an empty id, in order."""
        found: dict[bytes, str] = {}
        for name in sorted(self.names):
            latest = self.names[name][0]
            if latest.marker or not name.startswith(prefix):
                continue
            at = name.find(delimiter, len(prefix)) if delimiter else -1
            if at < 0:
                found[name] = latest.id
            else:
                found.setdefault(name[: at + len(delimiter)], "")
        return sorted(found.items())

    def versions(self, prefix: bytes, delimiter: bytes) -> list[tuple[bytes, str]]:
        found: dict[tuple[bytes, str], None] = {}
        for name in sorted(self.names):
            if not name.startswith(prefix):
                continue
            at = name.find(delimiter, len(prefix)) if delimiter else -1
            for version in self.names[name]:
                found[(name, version.id) if at < 0 else (name[: at + len(delimiter)], "")] = None
        return list(found)


def etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def pages(store: Store, bucket: UUID, prefix: bytes, delimiter: bytes, limit: int) -> list[tuple[bytes, str]]:
    """All pages of a listing, merged as a client would."""
    found: list[tuple[bytes, str]] = []
    after = b""
    while True:
        page = store.list(bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        assert len(page.versions) + len(page.prefixes) <= limit
        found += [(v.name, v.id) for v in page.versions] + [(p, "") for p in page.prefixes]
        if page.next is None:
            return sorted(found)
        after = page.next[0]


def version_pages(store: Store, bucket: UUID, prefix: bytes, delimiter: bytes, limit: int) -> list[tuple[bytes, str]]:
    found: list[tuple[bytes, str]] = []
    after, after_version = b"", ""
    while True:
        page = store.list_versions(bucket, prefix=prefix, delimiter=delimiter, after=after, after_version=after_version, limit=limit)
        rows = [((v.name, v.id), v.latest) for v in page.versions]
        seen: set[bytes] = {n for n, _ in found}
        for (name, id), latest in rows:
            assert latest == (name not in seen), f"{name!r} {id} says latest={latest}"
            seen.add(name)
        merged = [key for key, _ in rows] + [(p, "") for p in page.prefixes]
        # Prefixes lie among the names by byte order; versions of one name keep theirs.
        order = {key: n for n, key in enumerate(merged)}
        found += sorted(merged, key=lambda key: (key[0], order[key]))
        if page.next is None:
            return found
        after, after_version = page.next


async def same(store: Store, twin: Twin, bucket: UUID = BUCKET) -> None:
    """The store holds exactly what the twin says, byte for byte, and its counters agree."""
    for name, versions in twin.names.items():
        latest = store.get(bucket, name)
        assert (latest and latest.id) == versions[0].id, (name, latest, versions)
        for number, kept in enumerate(versions):
            version = store.get(bucket, name, kept.id)
            assert version is not None, (name, kept)
            assert (version.delete_marker, version.meta, version.latest) == (kept.marker, kept.meta, number == 0), (version, kept)
            body = b"".join([piece async for piece in store.stream(version)])
            assert body == kept.body, f"{name!r} {kept.id}: wrong bytes"
    for limit in (3, 1000):
        assert pages(store, bucket, b"", b"", limit) == twin.listing(b"", b"")
        assert version_pages(store, bucket, b"", b"", limit) == twin.versions(b"", b"")
    usage = store.usage(bucket)
    kept_versions = [v for versions in twin.names.values() for v in versions]
    live = sum(not versions[0].marker for versions in twin.names.values())
    assert (usage.objects, usage.versions, usage.bytes) == (live, len(kept_versions), sum(len(v.body) for v in kept_versions))
