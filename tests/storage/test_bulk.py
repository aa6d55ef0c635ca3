"""Many objects at once on a running data plane: what a job goes on with, stops at, and does as nobody but the person who asked."""

from __future__ import annotations

from typing import Any

import pytest

from cloudbox.common import jobs
from cloudbox.common.errors import Conflict, Forbidden, NotFound
from cloudbox.common.models import Event, Job
from identity.models import Membership
from storage import bulk, clients, configurations
from storage.bulk import COPYING, DELETING, MOVING, Cursor, Task
from storage.models import Bucket
from tests.jobs import Killed, changed, die_once, fail_before, twice
from tests.storage.conftest import Cloud, cloud  # noqa: F401
from tests.world import work

ODD = ["nul\0name", "bell\x07", "a\nb", "snow ☃"]


@pytest.fixture
def shop(cloud: Cloud, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Cloud:  # noqa: F811
    """Every request does one page of four, and jobs the rest, a page at a turn."""
    settings.STORE_URL = cloud.url
    monkeypatch.setattr(bulk, "ROUND_SECONDS", -1)
    monkeypatch.setattr(bulk, "TURN_SECONDS", -1)
    monkeypatch.setattr(bulk, "COPY_PAGE", 4)
    monkeypatch.setattr(bulk, "DELETE_MAX", 4)
    return cloud


@pytest.fixture
def row(shop: Cloud) -> Bucket:
    """A bucket with ten objects in a folder, those of odd names among them, and one beside it."""
    row = configurations.create(shop.me.ctx, name="films")
    client = clients.of(shop.me.ctx)
    for name in [*(f"a/{n}" for n in range(6)), *(f"a/{name}" for name in ODD), "beside"]:
        client.put("films", name, b"x")
    return row


def begin(shop: Cloud, row: Bucket, task: Task, **more: Any) -> bulk.Progress:
    return bulk.begin(shop.me.ctx, row, clients.of(shop.me.ctx), task, **more)


def names(shop: Cloud, bucket: str = "films") -> set[str]:
    return {one.key for one in clients.of(shop.me.ctx).walk(bucket)}


def test_a_job_goes_on_where_the_request_ended(shop: Cloud, row: Bucket) -> None:
    """Names that JSON in a table cannot hold are the cursor at some page."""
    everything = names(shop)
    begun = begin(shop, row, Task(verb=COPYING, sources=("a/",), target="films", folder="b/"), total=10)
    assert (begun.under_way, begun.tally.done, begun.percent) == (True, 4, 40)
    assert bulk.under_way(shop.me.ctx, row) == [begun]
    work(row.id)
    assert begun.id is not None
    done = bulk.find(shop.me.ctx, row, begun.id)
    assert (done.under_way, done.tally.done, done.percent, done.sentence) == (False, 10, 100, "10 objects copied.")
    assert names(shop) == everything | {f"b/{name}" for name in everything if name != "beside"}
    moved = begin(shop, row, Task(verb=MOVING, sources=("b/", "beside"), target="films", base="", folder="c/"))
    work(row.id)
    assert bulk.find(shop.me.ctx, row, moved.id).tally.done == 11  # type: ignore[arg-type]
    gone = begin(shop, row, Task(verb=DELETING, sources=("a/", "c/")))
    work(row.id)
    assert bulk.find(shop.me.ctx, row, gone.id).tally.done == 21  # type: ignore[arg-type]
    assert names(shop) == set()
    ended = Event.objects.filter(verb="bulk-done", subject_id=row.id).latest("id")
    assert ended.detail == "21 objects deleted."
    with pytest.raises(NotFound):
        bulk.find(shop.me.ctx, configurations.create(shop.me.ctx, name="other"), gone.id)  # type: ignore[arg-type]


def test_what_is_little_needs_no_job(shop: Cloud, row: Bucket) -> None:
    done = begin(shop, row, Task(verb=DELETING, sources=("beside",)), total=1)
    assert (done.id, done.under_way, done.tally.done) == (None, False, 1)
    assert not Job.objects.filter(kind=bulk.BULK).exists()


def test_it_stops_where_it_is_told_to(shop: Cloud, row: Bucket) -> None:
    begun = begin(shop, row, Task(verb=DELETING, sources=("a/",)), total=10)
    assert begun.id is not None
    assert bulk.cancel(shop.me.ctx, row, begun.id).cancelled
    work(row.id)
    found = bulk.find(shop.me.ctx, row, begun.id)
    assert (found.under_way, found.tally.done) == (False, 4)
    assert found.sentence == "Stopped: 4 of 10 objects deleted."
    assert len(names(shop)) == 7
    with pytest.raises(Forbidden):
        bulk.cancel(shop.reader.ctx, row, begun.id)


def test_who_may_no_longer_does_no_more(shop: Cloud, row: Bucket) -> None:
    """Somebody is taken out of the project while their job waits: not one object more goes."""
    Membership.objects.filter(user=shop.reader.user, project=shop.me.project).update(role="member")
    ctx = type(shop.reader.ctx)(user=shop.reader.user, project=shop.me.project, role="member", api="portal")
    begun = bulk.begin(ctx, row, clients.of(ctx), Task(verb=DELETING, sources=("a/",)))
    assert begun.tally.done == 4
    assert begun.id is not None
    Membership.objects.filter(user=shop.reader.user, project=shop.me.project).delete()
    work(row.id)
    found = bulk.find(shop.me.ctx, row, begun.id)
    assert not found.under_way
    assert found.tally.done == 4
    assert len(names(shop)) == 7
    assert found.sentence.startswith("It broke off: ")


def test_twice_and_killed(shop: Cloud, row: Bucket) -> None:
    """A step that runs twice, and a worker that dies after it, leave what one run leaves; one that fails says so."""
    task = Task(verb=COPYING, sources=("a/",), target="films", folder="b/")
    with changed(bulk.BULK, twice):
        begin(shop, row, task)
        work(row.id)
    assert len(names(shop)) == 21
    begun = begin(shop, row, Task(verb=DELETING, sources=("b/",)))
    assert begun.sentence == "4 objects deleted so far."
    with changed(bulk.BULK, die_once, step=0), pytest.raises(Killed):
        work(row.id)
    assert begun.id is not None
    jobs.run(begun.id)
    assert len(names(shop)) == 11
    broken = begin(shop, row, Task(verb=DELETING, sources=("a/",)))
    with changed(bulk.BULK, fail_before, step=0):
        work(row.id)
    assert bulk.find(shop.me.ctx, row, broken.id).sentence.startswith("It broke off: The trial made this step fail.")  # type: ignore[arg-type]


def test_not_too_many_at_once(shop: Cloud, row: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "JOBS_MAX", 1)
    begin(shop, row, Task(verb=DELETING, sources=("a/",)))
    with pytest.raises(Conflict, match="under way"):
        begin(shop, row, Task(verb=DELETING, sources=("a/",)))
    work(row.id)
    assert names(shop) == {"beside"}


def test_a_task_survives_the_table() -> None:
    task = Task(verb=MOVING, sources=(*ODD, "half\udcff/"), versions=True, target="p:b", base="x\0/", folder="y/", name="", replace=True)
    assert Task.unpacked(task.packed()) == task
    cursor = Cursor(1, "nul\0", "v")
    assert Cursor.unpacked(cursor.packed()) == cursor
