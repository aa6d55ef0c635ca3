"""The store against its twin: random histories of every kind of change, then every listing, then again without the index."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.engine import Mode, absent, checkpoint
from tests.engine.world import BUCKET, Box, Twin, etag, pages, same, version_pages

# Few short names collide often; NULs, FFs and long names with common beginnings meet the seams of the index's keys.
LONG = b"long/" + b"p" * 432
SPECIAL = [b"\0", b"\0\0", b"a\0", b"a\0b", b"a\xff", b"\xff\xff", b"a/b", b"a/b/", b"a/b/c", b"a//", b"b", b"ab", b"a/\xff/x"]
SEAMS = [LONG[:n] + tail for n in (435, 437) for tail in (b"", b"pp", b"ppp", b"ppp\0", b"ppp\xff", b"pppp", b"pppp/q", b"ppp\0\0z")]
DEEP = [
    b"\0" * 1024,
    b"\0" * 440,
    b"\0" * 219,
    b"\0" * 220,
    b"\0" * 221,
    b"q" * 1024,
    b"q" * 880,
    b"q" * 881,
    b"q" * 440,
    b"q" * 441,
    b"q" * 439,
]
names = st.sampled_from([b"a", b"a", *SPECIAL, *SEAMS, *DEEP])
bodies = st.sampled_from([b"", b"x", b"hello" * 10, b"z" * 3000])
prefixes = st.sampled_from(
    [b"", b"", b"a", b"a/", b"a\0", b"\0", b"\xff", b"long/", LONG, LONG + b"pp", b"q" * 500, b"\0" * 300, b"nothing"]
)
delimiters = st.sampled_from([b"", b"/", b"\0", b"b", b"\xff", b"pp"])

step = st.one_of(
    st.tuples(st.just("put"), names, bodies, st.sampled_from(list(Mode))),
    st.tuples(st.just("put"), names, bodies, st.sampled_from(list(Mode))),
    st.tuples(st.just("large"), names, bodies, st.sampled_from(list(Mode))),
    st.tuples(st.just("parts"), names, bodies, st.sampled_from(list(Mode))),
    st.tuples(st.just("marker"), names, bodies, st.sampled_from(list(Mode))),
    st.tuples(st.just("delete"), names, st.integers(0, 3)),
    st.tuples(st.just("meta"), names, st.integers(0, 3)),
    st.tuples(st.just("absent"), names, bodies),
    st.tuples(st.just("list"), prefixes, delimiters, st.integers(1, 5)),
    st.just(("checkpoint",)),
    st.just(("restart",)),
    st.just(("power loss",)),
    st.just(("no index",)),
)


async def run(history: list[Any], folder: Path) -> None:
    box, twin = Box(folder), Twin()
    store = await box.start()
    for serial, (what, *rest) in enumerate(history):
        meta = b"%d" % serial
        if what in ("put", "large", "parts"):
            name, body, mode = rest
            if what == "put":
                version = await store.put(BUCKET, name, body, etag=etag(body), meta=meta, mode=mode)
            elif what == "large":
                writer = await store.begin(BUCKET, name, mode=mode)
                await writer.write(body)
                version = await writer.finish(etag=etag(body), meta=meta)
            else:
                upload = await store.create_upload(BUCKET, name)
                parts = [await store.put_part(upload, 1, body, etag="1"), await store.put_part(upload, 7, b"unused", etag="7")]
                writer = await store.begin_part(upload, 9)
                await writer.write(body)
                parts.append(await writer.finish(etag="9"))
                version = await store.complete(upload, [parts[0], parts[2]], etag="e-2", meta=meta, mode=mode)
                body = body + body
            twin.put(name, version, body, meta, mode)
        elif what == "marker":
            name, _, mode = rest
            twin.put(name, await store.add_delete_marker(BUCKET, name, meta=meta, mode=mode), b"", meta, mode)
        elif what in ("delete", "meta"):
            name, number = rest
            versions = twin.names.get(name, [])
            if number < len(versions):
                kept = versions[number]
                if what == "delete":
                    assert await store.delete(BUCKET, name, kept.id) is not None
                    twin.delete(name, kept.id)
                else:
                    found = store.get(BUCKET, name, kept.id)
                    assert found is not None
                    await store.update_meta(found, meta)
                    kept.meta = meta
            else:
                assert await store.delete(BUCKET, name, "0123456789abcdef") is None
        elif what == "absent":
            name, body = rest
            there = name in twin.names and not twin.names[name][0].marker
            try:
                version = await store.put(BUCKET, name, body, etag=etag(body), meta=meta, condition=absent)
            except Exception:
                assert there
            else:
                assert not there
                twin.put(name, version, body, meta, Mode.REPLACE)
        elif what == "list":
            prefix, delimiter, limit = rest
            assert pages(store, BUCKET, prefix, delimiter, limit) == twin.listing(prefix, delimiter)
            assert version_pages(store, BUCKET, prefix, delimiter, limit) == twin.versions(prefix, delimiter)
        elif what == "checkpoint":
            assert checkpoint.write(store.index, store.members, store.committer.clock.stamp())
        else:
            await store.close()
            if what == "power loss":
                (box.folder / "index" / "open-0").write_text(f"boot {box.boots}")  # As if it had not been closed.
                box.power_loss()
            elif what == "no index":
                for platter in box.platters:  # Nor a checkpoint.
                    platter.files = {name: content for name, content in platter.files.items() if not name.startswith("checkpoints")}
                box.lose_index()
            store = await box.start()
            await same(store, twin)
    await same(store, twin)
    await store.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(step, max_size=40))
def test_any_history_reads_as_its_twin(history: list[Any]) -> None:
    """Whatever is done in whatever order, names, versions, bodies, counters and pages are those of the twin: also after a restart,
    a power loss with and without a checkpoint, and the loss of the index."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(history, Path(folder)))
