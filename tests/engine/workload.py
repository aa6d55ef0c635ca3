"""Clients that do a bit of everything and write down what they were about to do and what was acknowledged; and the judge.

A journal is lines of JSON: ["begin", name, serial, what, length, add] before a change, ["done", name, serial] after its answer,
["refused", name, serial] if the answer was that it did not happen. Each name belongs to one client, which does one thing at a time, so
at the end at most one change per name is open: it may have happened or not. Everything else is as acknowledged, or the store has lied.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from cloudbox.common.errors import CloudError, Unavailable
from storage.engine import STORAGE_CLASSES, Mode, StorageClass, Store, Version, absent

BUCKET = UUID(int=0x77)
KINDS = ("small", "small", "small", "empty", "extent", "parts", "delete", "marker", "meta", "absent")


def body_of(name: str, serial: int, length: int) -> bytes:
    """The same wherever it is computed."""
    block = hashlib.sha256(f"{name}:{serial}".encode()).digest()
    return (block * (length // len(block) + 1))[:length]


class Client:
    """Goes on until something fails that is no refusal."""

    def __init__(self, store: Store, label: str, journal: Callable[[list[Any]], None], chance: random.Random, first: int) -> None:
        self._store, self._label, self._journal, self._chance = store, label, journal, chance
        self._serial = first
        self._coded = STORAGE_CLASSES["erasure-4-2"] if len(store.members.bays) >= 6 else STORAGE_CLASSES["replicated-3"]

    async def run(self, count: int = 1 << 30) -> None:
        for _ in range(count):
            self._serial += 1
            name = f"{self._label}/{self._chance.randrange(6)}"
            what = self._chance.choice(KINDS)
            length = {"empty": 0, "extent": self._chance.randrange(1, 400_000)}.get(what, self._chance.choice((1, 40, 700, 4096, 30_000)))
            add = name.endswith(("4", "5"))
            self._journal(["begin", name, self._serial, what, length, add])
            try:
                await self._do(name, what, length, Mode.ADD if add else Mode.REPLACE)
            except Unavailable:
                return
            except CloudError:
                self._journal(["refused", name, self._serial])
                continue
            self._journal(["done", name, self._serial])

    def _class_of(self, name: str) -> StorageClass:
        """Half of the names are erasure-coded where there are drives enough."""
        return self._coded if name.endswith(("1", "3", "5")) else STORAGE_CLASSES["replicated-3"]

    async def _do(self, name: str, what: str, length: int, mode: Mode) -> None:
        store, key, meta = self._store, name.encode(), b"%d" % self._serial
        body = body_of(name, self._serial, length)
        current = store.get(BUCKET, key)
        if what in ("small", "empty", "absent"):
            condition = absent if what == "absent" else None
            await store.put(BUCKET, key, body, etag="e", meta=meta, mode=mode, condition=condition)
        elif what == "extent":
            async with await store.begin(BUCKET, key, mode=mode, storage_class=self._class_of(name)) as writer:
                await writer.write(body)
                await writer.finish(etag="e", meta=meta)
        elif what == "parts":
            upload = await store.create_upload(BUCKET, key, storage_class=self._class_of(name))
            first = await store.put_part(upload, 1, body[: length // 2], etag="1")
            async with await store.begin_part(upload, 2) as writer:
                await writer.write(body[length // 2 :])
                second = await writer.finish(etag="2")
            await store.complete(upload, [first, second], etag="e-2", meta=meta, mode=mode)
        elif what == "marker":
            await store.add_delete_marker(BUCKET, key, meta=meta, mode=mode)
        elif what == "delete" and current is not None:
            await store.delete(BUCKET, key, current.id)
        elif what == "meta" and current is not None:
            await store.update_meta(current, meta)


State = tuple[tuple[str, str, bool], ...]  # Of a name, newest version first: digest of its body, its meta, whether it is a marker.


def after(state: State, name: str, serial: int, what: str, length: int, add: bool) -> State:
    """What the change makes of a name."""
    body = "" if what == "marker" else hashlib.sha256(body_of(name, serial, length)).hexdigest()
    if what == "delete":
        return state[1:]
    if what == "meta":
        return ((state[0][0], str(serial), state[0][2]), *state[1:]) if state else state
    new = (body, str(serial), what == "marker")
    return (new, *state) if add else (new,)


class Judge:
    """Reads journals and says which states each name may be in."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.open: dict[str, list[Any]] = {}
        self.acknowledged = 0

    def read(self, lines: Iterable[list[Any]]) -> None:
        for kind, name, serial, *rest in lines:
            if kind == "begin":
                self.open[name] = [serial, *rest]
            else:
                change = self.open.pop(name)
                assert change[0] == serial
                if kind == "done":
                    self.acknowledged += 1
                    self.states[name] = after(self.states.get(name, ()), name, *change)

    async def check(self, store: Store) -> None:
        """Every name is in a state that it may be in, and what it turned out to be is from now on what it is."""
        for name in {*self.states, *self.open}:
            before = self.states.get(name, ())
            allowed = {before}
            if name in self.open:
                allowed.add(after(before, name, *self.open[name]))
            seen = await state_of(store, name)
            assert seen in allowed, f"{name}: {seen} is none of {allowed} (open: {self.open.get(name)})"
            self.states[name] = seen
        self.open.clear()
        self._count(store)

    def _count(self, store: Store) -> None:
        usage = store.usage(BUCKET)
        found = versions_of(store)
        assert (usage.versions, usage.bytes) == (len(found), sum(v.size for v in found))
        assert usage.objects == sum(v.latest and not v.delete_marker for v in found)


async def state_of(store: Store, name: str) -> State:
    found = []
    for version in versions_of(store, prefix=name.encode()):
        if version.name != name.encode():
            continue
        digest = hashlib.sha256()
        async for piece in store.stream(version):
            digest.update(piece)
        found.append(("" if version.delete_marker else digest.hexdigest(), version.meta.decode(), version.delete_marker))
    return tuple(found)


def versions_of(store: Store, *, prefix: bytes = b"") -> list[Version]:
    """All, page by page: after some hundred trials a name has more than fit on one."""
    found: list[Version] = []
    after_name, after_version = b"", ""
    while True:
        page = store.list_versions(BUCKET, prefix=prefix, after=after_name, after_version=after_version)
        found += page.versions
        if page.next is None:
            return found
        after_name, after_version = page.next


async def run_clients(
    store: Store, count: int, journal: Callable[[list[Any]], None], *, seed: int, label: str = "c", first: int = 0, changes: int = 1 << 30
) -> None:
    """Until the store fails them. `first` keeps what they write apart from what they wrote in an earlier life."""
    clients = [Client(store, f"{label}{number}", journal, random.Random(seed * 1000 + number), first) for number in range(count)]
    await asyncio.gather(*(client.run(changes) for client in clients))


def parse(raw: bytes) -> list[list[Any]]:
    """Whole lines only: the last one may have been cut off by a kill."""
    return [json.loads(line) for line in raw.split(b"\n")[:-1]]
