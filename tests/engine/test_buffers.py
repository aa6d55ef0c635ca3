"""How much memory large bodies take on their way in: a buffer for each, and a common budget for all others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from pathlib import Path

import pytest

from cloudbox.common.errors import Unavailable
from storage.engine import STORAGE_CLASSES
from storage.engine import extents as module
from storage.engine.simulated import Platter
from tests.engine.test_erasure import body_of
from tests.engine.world import BUCKET, Box, etag

BUFFER = module.BUFFER_BYTES


@pytest.mark.parametrize("of", ["replicated-3", "erasure-4-2"])
def test_many_uploads_share_what_is_beyond_their_first_buffer(tmp_path: Path, of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them come through, slower, whatever the others' clients do, and what was lent comes back."""
    monkeypatch.setattr(module, "LENT_MAX", 2)

    async def scene() -> None:
        store = await Box(tmp_path, [Platter(seed=n) for n in range(6)]).start()
        body = body_of(3 * BUFFER + 5)
        lent: list[int] = []

        async def upload(name: bytes) -> None:
            async with await store.begin(BUCKET, name, storage_class=STORAGE_CLASSES[of]) as writer:
                for start in range(0, len(body), BUFFER // 2):
                    await writer.write(body[start : start + BUFFER // 2])
                    lent.append(store._buffers.lent)
                await writer.finish(etag=etag(body))

        slow = [await store.begin(BUCKET, b"slow", storage_class=STORAGE_CLASSES[of]) for _ in range(4)]
        for writer in slow:
            await writer.write(b"x")  # And nothing more, ever.
        await asyncio.wait_for(asyncio.gather(*(upload(b"%d" % n) for n in range(6))), 60)
        assert max(lent) == 2
        for writer in slow:
            await writer.abort()
        assert store._buffers.lent == 0
        for n in range(6):
            version = store.get(BUCKET, b"%d" % n)
            assert version is not None
            assert await store.read(version) == body
        await store.close()

    asyncio.run(scene())


def test_an_upload_that_fails_at_its_end_gives_everything_back(tmp_path: Path) -> None:
    async def scene() -> None:
        box = Box(tmp_path)
        store = await box.start()
        writer = await store.begin(BUCKET, b"name")
        await writer.write(body_of(BUFFER + 5))
        for platter in box.platters:
            platter.fail("write", errno.EIO)
        with pytest.raises(Unavailable):
            await writer.finish(etag="e")
        assert store._buffers.lent == 0
        assert [bay.writers for bay in store.members.bays.values()] == [0] * 4
        for platter in box.platters:
            platter.heal()
        with contextlib.suppress(Exception):
            await store.close()

    asyncio.run(scene())
