"""The bench's load generator asks as clients do, and sees what is wrong with an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from cloudbox.box.management.storage_load import Client, Endpoint, Job, Outcome
from tests.storage.conftest import Cloud


def run(cloud: Cloud, *, secret: str = "", **job: Any) -> Outcome:
    endpoint = Endpoint("127.0.0.1", cloud.port, cloud.me.key, secret or cloud.me.secret, "us-east-1")
    return asyncio.run(Client(endpoint).run(Job(**{"bucket": "load-generator", **job})))


def test_what_a_run_does(cloud: Cloud) -> None:
    """Every kind of job, without an error; afterwards the bucket is gone, with the upload that was cut off."""
    assert not run(cloud, kind="make").errors
    put = run(cloud, kind="put", prefix="a/", size=4096, connections=4, count=40)
    assert (len(put.latencies), put.bytes, put.errors) == (40, 40 * 4096, {})
    s3 = cloud.client()
    assert s3.list_objects_v2(Bucket="load-generator")["KeyCount"] == 40
    read = run(cloud, kind="get", prefix="a/", size=4096, connections=3, count=40)
    assert (read.bytes, read.errors) == (40 * 4096, {})
    assert not run(cloud, kind="head", prefix="a/", size=4096, count=40).errors
    assert not run(cloud, kind="put", prefix="large/", size=2 << 20, connections=2, count=2).errors
    assert not run(cloud, kind="get", prefix="large/", size=2 << 20, count=2).errors
    assert not run(cloud, kind="multipart", prefix="parts", size=32 << 20, connections=2).errors
    assert s3.head_object(Bucket="load-generator", Key="parts")["ContentLength"] == 32 << 20
    assert not run(cloud, kind="put", prefix="list/", size=16, connections=4, count=30, a_folder=10).errors
    for kind in ("list", "list-folders"):
        listed = run(cloud, kind=kind, prefix="list/", count=30, a_folder=10, seconds=0.2)
        assert listed.latencies
        assert not listed.errors
    assert not run(cloud, kind="delete", prefix="a/", count=20).errors
    s3.create_multipart_upload(Bucket="load-generator", Key="cut off")
    assert not run(cloud, kind="empty").errors
    assert "load-generator" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_what_is_wrong_is_counted(cloud: Cloud) -> None:
    """A refused signature, a missing object, another length, other bytes."""
    run(cloud, kind="make")
    assert run(cloud, kind="put", prefix="a/", size=10, count=2, secret="another").errors == {"status 403": 2}
    assert run(cloud, kind="get", prefix="a/", size=10, count=2).errors == {"status 404": 2}
    s3 = cloud.client()
    s3.put_object(Bucket="load-generator", Key="a/0000000", Body=b"0123456789")
    assert run(cloud, kind="get", prefix="a/", size=10, count=1).errors == {"wrong bytes": 1}
    assert run(cloud, kind="head", prefix="a/", size=11, count=1).errors == {"wrong length": 1}
    assert not run(cloud, kind="empty").errors
