"""Lists as files: every row that matches and no other, streamed, and nothing in them runs in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from compute import volumes
from compute.models import Instance
from dashboard import downloads
from tests.world import World

Browse = Callable[..., Client]
FILES = {
    "/p/shop/instances.csv": "member",
    "/p/shop/images.csv": "member",
    "/p/shop/volumes.csv": "member",
    "/p/shop/networks.csv": "member",
    "/p/shop/activity.csv": "member",
    "/admin/instances.csv": "support",
    "/admin/images.csv": "support",
    "/admin/projects.csv": "support",
    "/admin/users.csv": "support",
    "/admin/audit.csv": "support",
}


def _rows(answer: Any) -> list[dict[str, str]]:
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("path", FILES)
def test_a_list_is_a_file(path: str, browse: Browse, world: World) -> None:
    world.running()
    volumes.create(world.ctx("member"), name="data", size_gib=1)
    answer = browse(FILES[path]).get(path)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="')
    rows = _rows(answer)
    assert rows
    assert all(row["id"] for row in rows)
    assert browse("stranger").get(path).status_code == 404


def _many(world: World, count: int, **changes: Any) -> None:
    same = {"project": world.project, "flavor": world.flavor, "image": world.image, "vcpus": 1, "memory_mib": 512, "disk_gib": 5}
    Instance.objects.bulk_create(
        [Instance(**(same | {"name": f"vm-{n:04}", "hostname": f"vm-{n}", "status": "running"} | changes)) for n in range(count)]
    )


def test_every_row_is_there_once_and_the_filter_holds(browse: Browse, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than a batch has: none is skipped or told twice; queries grow with the batches, not with the rows."""
    monkeypatch.setattr(downloads, "BATCH_ROWS", 20)
    _many(world, 105)
    world.running(name="other")
    client = browse("reader")
    with CaptureQueriesContext(connection) as queries:
        names = [row["name"] for row in _rows(client.get("/p/shop/instances.csv?q=vm-&sort=-name"))]
    assert names == [f"vm-{n:04}" for n in reversed(range(105))]
    assert len(queries) <= 8 + 3 * 6
    assert [row["name"] for row in _rows(client.get("/p/shop/instances.csv?q=other"))] == ["other"]
    assert _rows(client.get("/p/shop/instances.csv?state=stopped")) == []


def test_what_is_left_out_is_said(browse: Browse, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "BATCH_ROWS", 10)
    monkeypatch.setattr(downloads, "ROWS_MAX", 30)
    _many(world, 31)
    rows = _rows(browse("reader").get("/p/shop/instances.csv"))
    assert len(rows) == 31
    assert rows[-1]["id"].startswith("Only the first 30 rows are here.")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", '=HYPERLINK("http://x","y")'])
def test_nothing_in_it_is_a_formula(text: str, browse: Browse, world: World) -> None:
    """Whatever a tenant calls a thing, the cell that tells of it begins with an apostrophe."""
    _many(world, 1, name=text, tags={text: "x"}, description=text)
    (row,) = _rows(browse("reader").get("/p/shop/instances.csv"))
    assert row["name"] == f"'{text}"
    assert row["description"] == f"'{text}"
    assert row["tags"] == f"'{text}=x"
    assert row["vcpus"] == "1"


@pytest.mark.django_db(transaction=True)
def test_a_web_process_streams(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under ASGI the first rows leave before the last are read."""
    monkeypatch.setattr(downloads, "BATCH_ROWS", 10)
    _many(world, 50)
    reader = world.users["reader"]

    async def read() -> tuple[int, int]:
        client = AsyncClient()
        await client.aforce_login(reader)
        answer = await client.get("/p/shop/instances.csv")
        content: AsyncIterator[bytes] = answer.streaming_content  # type: ignore[assignment]
        parts = [part async for part in content]
        return len(parts), sum(part.count(b"vm-") for part in parts)

    assert async_to_sync(read)() == (6, 100)
