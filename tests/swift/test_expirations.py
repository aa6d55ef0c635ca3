"""X-Delete-At: at its moment an object is over for everybody, and soon after it is gone from the drives."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import botocore.exceptions
import pytest

from storage import expirations, expirer, usage
from tests.swift.conftest import Swift


def reap(swift: Swift) -> int:
    return asyncio.run_coroutine_threadsafe(expirer.reap(swift.cloud.plane, usage.infos), swift.cloud.loop).result(30)


def lines(swift: Swift) -> int:
    return len(swift.cloud.plane.store.list(expirations.QUEUE).versions)


def wait_until(moment: float) -> None:
    """The clock of the data plane is the machine's."""
    while time.time() < moment:
        time.sleep(0.05)


def test_what_is_over_is_gone(swift: Swift) -> None:
    """Gone by either dialect at its moment, from the lists and the count after the next round; what was put off or replaced stays."""
    swift.ok("PUT", "c")
    swift.ok("PUT", "c/over", b"x" * 100, X_Delete_After="1")
    swift.ok("PUT", "c/large", b"x" * (2 << 20), X_Delete_After="1")
    swift.ok("PUT", "c/put off", b"x", X_Delete_After="1")
    swift.ok("PUT", "c/replaced", b"x", X_Delete_After="1")
    end = time.time() + 1.05
    swift.ok("POST", "c/put off", X_Delete_After="1000")
    swift.ok("PUT", "c/replaced", b"y")
    wait_until(end + 1)
    for name in ("over", "large"):
        assert swift.ask("GET", f"c/{name}").status == 404
    assert reap(swift) == 2
    assert swift.names("c") == ["put off", "replaced"]
    assert swift.ok("HEAD", "c")["X-Container-Bytes-Used"] == "2"
    assert reap(swift) == 0
    assert lines(swift) == 1  # Of what was put off.
    for name in ("put off", "replaced"):
        swift.ok("DELETE", f"c/{name}")
    assert swift.ask("DELETE", "c").status == 204


@pytest.mark.slow
def test_over_for_s3_as_well(swift: Swift) -> None:
    """S3, which knows no such header, does not go on serving what Swift was told to end."""
    s3 = swift.cloud.client()
    bucket = swift.cloud.bucket(s3)
    swift.ok("PUT", f"{bucket}/o", b"x", X_Delete_At=str(int(time.time()) + 4))
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == b"x"
    wait_until(time.time() + 5.05)
    for ask in (s3.get_object, s3.head_object):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            ask(Bucket=bucket, Key="o")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_versions_outlive_their_object(swift: Swift) -> None:
    """In a container with versions an object that ends leaves its version, and no mark of a deletion."""
    swift.ok("PUT", "c", X_Versions_Enabled="true")
    id = swift.ok("PUT", "c/o", b"x", X_Delete_After="1")["X-Object-Version-Id"]
    wait_until(time.time() + 2.05)
    assert reap(swift) == 1
    assert swift.ask("GET", "c/o").status == 404
    assert swift.ok("GET", "c/o", query={"version-id": id}).body == b"x"
    listed: Any = swift.ok("GET", "c", query="versions&format=json").json()
    assert [row["version_id"] for row in listed] == [id]
    swift.ok("DELETE", "c/o", query={"version-id": id})
    swift.ok("DELETE", "c")


def test_containers_that_went_before_their_objects(swift: Swift) -> None:
    """Lines about containers that are no more are struck."""
    swift.ok("PUT", "c")
    swift.ok("PUT", "c/o", b"x", X_Delete_After="1")
    swift.ok("DELETE", "c/o")
    swift.ok("DELETE", "c")
    wait_until(time.time() + 2.05)
    assert reap(swift) == 0
    assert lines(swift) == 0
