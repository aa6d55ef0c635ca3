"""What buckets held over time, summed up from the moments at which it changed; and inventories, written by the real job."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
from collections.abc import Iterator
from typing import Any

import pytest

from cloudbox.common import clock, jobs
from cloudbox.common.errors import Conflict, Forbidden, NotFound, Unavailable
from cloudbox.common.models import Job
from storage import buckets, inventories, usage
from storage.engine import Usage
from storage.models import Bucket, BucketHour, BucketUsage
from tests.fixtures import machine_home, plain_static, world  # noqa: F401
from tests.storage.conftest import Cloud
from tests.world import World

START = dt.datetime(2026, 11, 3, 10, 15, tzinfo=dt.UTC)
GIB = 2**30


@contextlib.contextmanager
def at(moment: dt.datetime) -> Iterator[None]:
    before, clock.now = clock.now, lambda: moment
    try:
        yield
    finally:
        clock.now = before


def count(held: dict[str, int], moment: dt.datetime) -> int:
    """As the data plane does every minute."""
    ids = {row.id: row.name for row in Bucket.objects.all()}
    with at(moment):
        return usage.record(lambda id: Usage(1 if held[ids[id]] else 0, 1, held[ids[id]], 0, 0))


def hours() -> dict[tuple[str, int], int]:
    """(bucket, hour of the day) -> GiB-seconds."""
    return {(row.name, row.hour.hour): int(row.byte_seconds) // GIB for row in BucketHour.objects.all()}


MINUTE = dt.timedelta(minutes=1)


def test_amounts_count_from_one_moment_to_the_next(world: World) -> None:  # noqa: F811
    owner = world.ctx("owner")
    row = buckets.create(owner, name="media")
    buckets.create(owner, name="empty")
    assert count({"media": 2 * GIB, "empty": 0}, START) == 2
    assert count({"media": 2 * GIB, "empty": 0}, START + 10 * MINUTE) == 0
    assert not BucketHour.objects.exists(), "within an hour nothing is summed up that has not changed"
    assert count({"media": 3 * GIB, "empty": 0}, START + 20 * MINUTE) == 1
    assert hours() == {("media", 10): 2 * 20 * 60}
    # Nothing runs for two hours; afterwards it is as if something had.
    count({"media": 3 * GIB, "empty": 0}, START + 145 * MINUTE)
    assert hours() == {("media", 10): 2 * 1200 + 3 * 25 * 60, ("media", 11): 3 * 3600, ("media", 12): 3 * 40 * 60}
    with at(START + 145 * MINUTE):
        (fact,) = usage.of(START + dt.timedelta(hours=1))
        assert (fact.bucket_id, int(fact.byte_seconds), fact.objects_count) == (row.id, 3 * GIB * 3600, 1)
        with pytest.raises(Unavailable):
            usage.of(START + dt.timedelta(hours=2))
    with at(START + 190 * MINUTE), pytest.raises(Unavailable, match="not yet summed up"):
        usage.of(START + dt.timedelta(hours=2))
    count({"media": 3 * GIB, "empty": 0}, START + 190 * MINUTE)
    with at(START + 190 * MINUTE):
        assert int(usage.of(START + dt.timedelta(hours=2))[0].byte_seconds) == 3 * GIB * 3600


def test_what_a_deleted_bucket_held_stays(world: World) -> None:  # noqa: F811
    owner = world.ctx("owner")
    row = buckets.create(owner, name="short")
    count({"short": GIB}, START)
    with at(START + 5 * MINUTE):
        buckets.forget(owner, row)
        assert hours() == {("short", 10): 300}
        (told,) = usage.of_month(owner)
        assert (told["name"], told["gib_hours"]) == ("short", round(300 / 3600, 3))
        assert usage.of_month(world.ctx("stranger", world.other)) == []


def test_the_series_has_every_day(world: World) -> None:  # noqa: F811
    owner = world.ctx("owner")
    row = buckets.create(owner, name="media")
    count({"media": GIB}, START)
    count({"media": GIB}, START + dt.timedelta(days=2))
    with at(START + dt.timedelta(days=2)):
        by_day = usage.series(owner, bucket=row, days=5)
        assert [one.at.day for one in by_day] == [1, 2, 3, 4, 5]
        assert [one.gib_hours for one in by_day] == [0, 0, 13.75, 24, 10.25]
        assert by_day[3].bytes == GIB == by_day[4].bytes
        by_hour = usage.series(owner, days=1, by_day=False)
        assert len(by_hour) == 11
        assert by_hour[-1].gib_hours == 0.25


def test_an_upgraded_box_begins_to_sum_up_now(world: World) -> None:  # noqa: F811
    buckets.create(world.ctx("owner"), name="media")
    count({"media": GIB}, START)
    BucketUsage.objects.update(accrued_at=None)
    count({"media": GIB}, START + 60 * MINUTE)
    assert hours() == {}
    count({"media": 0}, START + 61 * MINUTE)
    assert hours() == {("media", 11): 60}


# --- inventories


@pytest.fixture
def filled(cloud: Cloud, settings: Any) -> Bucket:
    """Two versions, a marker, and a name that CSV and XML have to escape."""
    settings.STORE_URL = cloud.url
    client, name = cloud.client(), cloud.bucket()
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for key, body in (("a", b"1"), ("a", b"22"), ('odd, "name"\n', b"333"), ("in/b", b"4444"), ("gone", b"5")):
        client.put_object(Bucket=name, Key=key, Body=body)
    client.delete_object(Bucket=name, Key="gone")
    return Bucket.objects.select_related("project").get(name=name)


def _run() -> Job:
    job = Job.objects.filter(kind=inventories.KIND_NAME).latest("created_at")
    jobs.run(job.id)
    job.refresh_from_db()
    return job


def _rows(cloud: Cloud, found: inventories.Inventory) -> list[dict[str, str]]:
    body = cloud.client().get_object(Bucket=found.target, Key=found.key)["Body"].read().decode()
    return list(csv.DictReader(io.StringIO(body, newline="")))


def test_an_inventory_lists_what_is_there(cloud: Cloud, filled: Bucket) -> None:
    begun = inventories.start(cloud.me.ctx, filled)
    assert begun.under_way
    with pytest.raises(Conflict, match="Wait for that"):
        inventories.start(cloud.me.ctx, filled)
    assert _run().state == Job.State.DONE
    found = inventories.latest(filled)
    assert found is not None
    assert found.rows == 3
    assert {row["Key"]: (row["Size"], row["ETag"], row["StorageClass"]) for row in _rows(cloud, found)} == {
        "a": ("2", "b6d767d2f8ed5d21a44b0e5886680cb9", "STANDARD"),
        'odd, "name"\n': ("3", "310dcbbf4cce62f762a2aaa148d556bd", "STANDARD"),
        "in/b": ("4", "dbc4d84bfcfe2284ba11beffb853a8c4", "STANDARD"),
    }


def test_an_inventory_of_all_versions_into_another_bucket(cloud: Cloud, filled: Bucket) -> None:
    target = cloud.bucket()
    inventories.start(cloud.me.ctx, filled, target=target, versions=True)
    assert _run().state == Job.State.DONE
    found = inventories.latest(filled)
    assert found is not None
    assert found.target == target
    rows = _rows(cloud, found)
    assert sorted((row["Key"], row["IsLatest"], row["IsDeleteMarker"]) for row in rows if row["Key"] in ("a", "gone")) == [
        ("a", "false", "false"), ("a", "true", "false"), ("gone", "false", "false"), ("gone", "true", "true"),
    ]  # fmt: skip
    inventories.start(cloud.me.ctx, filled, target=target, prefix="in/")
    _run()
    again = inventories.latest(filled)
    assert again is not None
    assert [row["Key"] for row in _rows(cloud, again)] == ["in/b"]


def test_an_inventory_in_parts_and_one_that_breaks_off(cloud: Cloud, filled: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page a part; and a target that goes away leaves no unfinished upload, and says why."""
    monkeypatch.setattr(inventories, "PART_BYTES", 1)
    inventories.start(cloud.me.ctx, filled, versions=True)
    assert _run().state == Job.State.DONE
    target = cloud.bucket()
    inventories.start(cloud.me.ctx, filled, target=target)
    cloud.client().delete_bucket(Bucket=target)
    job = _run()
    assert (job.state, job.error) == (Job.State.FAILED, "The bucket was deleted meanwhile.")
    found = inventories.latest(filled)
    assert found is not None
    assert found.sentence == "The inventory could not be written: The bucket was deleted meanwhile."
    assert "Uploads" not in cloud.client().list_multipart_uploads(Bucket=filled.name)


def test_who_may_have_one_written(cloud: Cloud, filled: Bucket) -> None:
    with pytest.raises(Forbidden):
        inventories.start(cloud.reader.ctx, filled)
    with pytest.raises(NotFound):
        inventories.start(cloud.me.ctx, filled, target="never-was")
