"""What was asked of buckets, by the hour: counted by a running data plane in both dialects, written once, and shown."""

from __future__ import annotations

import datetime as dt
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloudbox.common import clock
from cloudbox.common.errors import Unavailable
from identity.context import Context
from storage import buckets, traffic
from storage.models import BucketTraffic
from tests.storage.conftest import Cloud, cloud  # noqa: F401


def flushed(cloud: Cloud) -> dict[str, dict[str, int]]:  # noqa: F811
    """By bucket: what is in the table when the worker has written what it had counted."""
    cloud.run(cloud.plane.traffic.flush(cloud.plane.run, traffic.write))
    return {row.name: {name: getattr(row, name) for name in traffic.FIELDS if getattr(row, name)} for row in BucketTraffic.objects.all()}


def test_every_answer_is_counted_once(cloud: Cloud) -> None:  # noqa: F811
    """Reads, lists, writes, deletions, bytes in both directions, also of what comes anonymously; strangers who were refused are not."""
    s3, name = cloud.client(), cloud.bucket()
    flushed(cloud)
    BucketTraffic.objects.all().delete()
    s3.put_object(Bucket=name, Key="a", Body=b"x" * 1000)
    s3.put_object(Bucket=name, Key="big", Body=b"y" * 300_000)
    for _ in range(3):
        s3.get_object(Bucket=name, Key="a")["Body"].read()
    s3.get_object(Bucket=name, Key="big", Range="bytes=0-9")["Body"].read()
    s3.head_object(Bucket=name, Key="a")
    s3.delete_object(Bucket=name, Key="big")
    with pytest.raises(ClientError):
        s3.get_object(Bucket=name, Key="never-was")
    with pytest.raises(ClientError):
        cloud.client(cloud.stranger).get_object(Bucket=name, Key="a")
    found = flushed(cloud)[name]
    error = found["sent_bytes"] - 3 * 1000 - 10
    assert 100 < error < 1000, "the document that says that there is no such key"
    assert found["received_bytes"] >= 301_000
    assert (found["reads"], found["writes"], found["deletes"], found.get("lists", 0)) == (6, 2, 1, 0)
    listed = s3.list_objects_v2(Bucket=name)
    assert listed["KeyCount"] == 1
    link = s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "a"})
    with urllib.request.urlopen(link) as answer:
        assert len(answer.read()) == 1000
    again = flushed(cloud)[name]
    assert (again["reads"], again["lists"]) == (7, 1)
    assert flushed(cloud)[name] == again, "nothing is written twice"


def test_a_flush_that_fails_loses_nothing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    s3, name = cloud.client(), cloud.bucket()
    before = flushed(cloud).get(name, {}).get("writes", 0)
    s3.put_object(Bucket=name, Key="a", Body=b"1")

    def broken(taken: Any) -> None:
        raise OSError("PostgreSQL is away")

    with monkeypatch.context() as patch:
        patch.setattr(traffic, "write", broken)
        with pytest.raises(OSError, match="away"):
            flushed(cloud)
    s3.put_object(Bucket=name, Key="b", Body=b"1")
    assert flushed(cloud)[name]["writes"] == before + 2


def test_a_bucket_that_is_gone_is_told_of_all_the_same(cloud: Cloud) -> None:  # noqa: F811
    s3, name = cloud.client(), cloud.bucket()
    s3.put_object(Bucket=name, Key="a", Body=b"1")
    s3.delete_object(Bucket=name, Key="a")
    s3.delete_bucket(Bucket=name)
    assert flushed(cloud)[name]["deletes"] >= 1
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    with pytest.raises(Unavailable):
        traffic.of(hour)
    before, clock.now = clock.now, lambda: hour + dt.timedelta(hours=1, seconds=61)
    try:
        assert [row.name for row in traffic.of(hour) if row.name == name] == [name]
    finally:
        clock.now = before


def test_series(cloud: Cloud) -> None:  # noqa: F811
    """Each day is there; a bucket's is its own, the project's is the sum, a stranger's is empty."""
    ctx = Context(user=cloud.me.user, project=cloud.me.project, role=cloud.me.role, api="test")
    row = buckets.get(cloud.me.ctx, cloud.bucket())
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    BucketTraffic.objects.all().delete()
    for n, (bucket, back) in enumerate([(row.id, 0), (row.id, 24), (cloud.me.project.id, 0)], 1):
        BucketTraffic.objects.create(
            bucket_id=bucket, project=cloud.me.project, name="b", hour=hour - dt.timedelta(hours=back), reads=n, sent_bytes=10 * n
        )
    assert [one.reads for one in traffic.series(ctx, bucket=row, days=3)] == [0, 2, 1]
    assert [one.sent_bytes for one in traffic.series(ctx, days=3)] == [0, 20, 40]
    assert traffic.total(traffic.series(ctx, days=3)).requests == 6
    stranger = Context(user=cloud.stranger.user, project=cloud.stranger.project, role="admin", api="test")
    assert traffic.total(traffic.series(stranger, days=3)).requests == 0
