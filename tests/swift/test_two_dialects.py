"""One store, two languages: what either wrote, the other reads as it was meant, with its metadata, versions and parts."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any
from uuid import uuid4

import botocore.exceptions
import pytest

from tests.swift.conftest import Swift

MIB = 1 << 20


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def body_of(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


def slo(swift: Swift, path: str, *segments: str) -> str:
    manifest = json.dumps([{"path": f"/{one}"} for one in segments]).encode()
    return swift.ok("PUT", path, manifest, query={"multipart-manifest": "put"}, X_Object_Meta_Kind="large", Content_Type="text/x-large")[
        "ETag"
    ]


@pytest.fixture
def large(swift: Swift) -> tuple[str, bytes]:
    """A container with a static large object `big` of three segments, and its bytes."""
    name = f"large-{uuid4().hex[:8]}"
    swift.ok("PUT", name)
    parts = [body_of(one, size) for one, size in (("a", MIB), ("b", 3 * MIB + 1), ("c", 5))]
    for number, part in enumerate(parts):
        swift.ok("PUT", f"{name}/segments/{number}", part)
    slo(swift, f"{name}/big", *(f"{name}/segments/{number}" for number in range(3)))
    return name, b"".join(parts)


def test_static_large_objects_by_s3(swift: Swift, large: tuple[str, bytes]) -> None:
    """S3 sees the object, not the list: size, ranges, conditions, copies whole and in parts."""
    name, body = large
    s3 = swift.cloud.client()
    found = s3.get_object(Bucket=name, Key="big")
    assert found["Body"].read() == body
    assert (found["ContentLength"], found["ContentType"], found["Metadata"]) == (len(body), "text/x-large", {"kind": "large"})
    etag = found["ETag"]
    assert etag.endswith('-3"')  # So no client takes it for an MD5.
    assert s3.head_object(Bucket=name, Key="big")["ContentLength"] == len(body)
    swift.ok("PUT", f"{name}/not large", b"x", X_Object_Meta_Slo="is a word of theirs")
    assert s3.list_objects_v2(Bucket=name, Prefix="not")["Contents"][0]["Size"] == 1
    for row in (
        s3.list_objects_v2(Bucket=name, Prefix="big")["Contents"][0],
        s3.list_object_versions(Bucket=name, Prefix="big")["Versions"][0],
    ):
        assert (row["Size"], row["ETag"]) == (len(body), etag)
    edge = s3.get_object(Bucket=name, Key="big", Range=f"bytes={MIB - 3}-{MIB + 2}")
    assert edge["Body"].read() == body[MIB - 3 : MIB + 3]
    assert edge["ContentRange"] == f"bytes {MIB - 3}-{MIB + 2}/{len(body)}"
    assert s3.get_object(Bucket=name, Key="big", Range="bytes=-5")["Body"].read() == body[-5:]
    assert s3.get_object(Bucket=name, Key="big", IfMatch=etag)["Body"].read() == body
    with pytest.raises(botocore.exceptions.ClientError):
        s3.get_object(Bucket=name, Key="big", IfNoneMatch=etag)
    copied = s3.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": "big"})
    assert copied["CopyObjectResult"]["ETag"] == f'"{md5(body)}"'
    assert s3.get_object(Bucket=name, Key="copy")["Body"].read() == body
    upload = s3.create_multipart_upload(Bucket=name, Key="part")["UploadId"]
    part = s3.upload_part_copy(
        Bucket=name, Key="part", UploadId=upload, PartNumber=1, CopySource=f"{name}/big", CopySourceRange=f"bytes=1-{2 * MIB}"
    )
    parts = [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]
    s3.complete_multipart_upload(Bucket=name, Key="part", UploadId=upload, MultipartUpload={"Parts": parts})
    assert swift.ok("GET", f"{name}/part").body == body[1 : 2 * MIB + 1]


def test_segments_that_are_gone(swift: Swift, large: tuple[str, bytes]) -> None:
    """A large object that no longer holds is refused by either dialect, and is never copied short."""
    name, body = large
    s3 = swift.cloud.client()
    swift.ok("PUT", f"{name}/segments/2", b"other")
    assert s3.get_object(Bucket=name, Key="big", Range="bytes=0-9")["Body"].read() == body[:10]
    for copy in (
        lambda: s3.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": "big"}),
        lambda: s3.get_object(Bucket=name, Key="big", Range="bytes=-3"),
    ):
        with pytest.raises(botocore.exceptions.ClientError):
            copy()
    assert swift.ask("COPY", f"{name}/big", Destination=f"{name}/copy").status == 409
    assert swift.ask("GET", f"{name}/copy").status == 404
    swift.ok("DELETE", f"{name}/segments/0")
    assert swift.ask("GET", f"{name}/big").status == 409


def test_who_may_read_segments(swift: Swift, large: tuple[str, bytes]) -> None:
    """The list gives no right to what it lists: who may read the manifest alone gets nothing of a closed container."""
    name, _ = large
    cloud = swift.cloud
    shared = f"open-{uuid4().hex[:8]}"
    cloud.client().create_bucket(Bucket=shared)  # By S3, so that S3's clients elsewhere can name it.
    slo(swift, f"{shared}/big", *(f"{name}/segments/{number}" for number in range(3)))
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{cloud.stranger.project.id.hex}:root"}, "Action": "s3:GetObject"}
            | {"Resource": f"arn:aws:s3:::{shared}/*"}
        ],
    }
    cloud.client().put_bucket_policy(Bucket=shared, Policy=json.dumps(policy))
    assert cloud.client(cloud.stranger).head_object(Bucket=shared, Key="big")["ContentLength"] > 4 * MIB
    with pytest.raises(botocore.exceptions.ClientError):
        cloud.client(cloud.stranger).get_object(Bucket=shared, Key="big")
    swift.ok("POST", shared, X_Container_Read=f"{cloud.stranger.project.id.hex}:*")
    assert swift.ask("GET", f"{shared}/big", who=cloud.stranger, account=swift.account).status == 409


def test_parts_of_s3_by_swift(swift: Swift) -> None:
    """A multipart upload, encrypted or not, is one object to Swift: its length, any range of it, a segment of a manifest."""
    s3 = swift.cloud.client()
    bucket = swift.cloud.bucket(s3)
    parts = [body_of("1", 5 * MIB), body_of("2", 5 * MIB + 7), body_of("3", 99)]
    body = b"".join(parts)
    for key, more in (("plain", {}), ("sealed", {"ServerSideEncryption": "AES256"})):
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key, Metadata={"color": "blue"}, **more)["UploadId"]
        done = [
            {"PartNumber": n, "ETag": s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=n, Body=part)["ETag"]}
            for n, part in enumerate(parts, 1)
        ]
        etag = s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done})["ETag"]
        found = swift.ok("GET", f"{bucket}/{key}")
        assert found.body == body, key
        assert (found["ETag"], found["X-Object-Meta-Color"]) == (etag.strip('"'), "blue")
        at = 5 * MIB - 2
        assert swift.ok("GET", f"{bucket}/{key}", Range=f"bytes={at}-{at + 5}").body == body[at : at + 6]
        slo(swift, f"{bucket}/all-{key}", f"{bucket}/{key}", f"{bucket}/{key}")
        assert swift.ok("GET", f"{bucket}/all-{key}").body == body * 2
        assert (
            s3.get_object(Bucket=bucket, Key=f"all-{key}", Range=f"bytes={len(body) - 1}-{len(body)}")["Body"].read()
            == body[-1:] + body[:1]
        )


def test_metadata_both_ways(swift: Swift) -> None:
    """User metadata, headers and tags survive a change by the other side."""
    s3 = swift.cloud.client()
    bucket = swift.cloud.bucket(s3)
    headers = {"Content_Type": "text/x-swift", "Content_Disposition": 'attachment; filename="a"', "Content_Encoding": "gzip"}
    swift.ok("PUT", f"{bucket}/o", b"x", X_Object_Meta_Two_Words="1", **headers)
    found = s3.head_object(Bucket=bucket, Key="o")
    assert found["Metadata"] == {"two-words": "1"}
    assert (found["ContentType"], found["ContentDisposition"], found["ContentEncoding"]) == tuple(headers.values())
    s3.put_object_tagging(Bucket=bucket, Key="o", Tagging={"TagSet": [{"Key": "team", "Value": "blue"}]})
    swift.ok("POST", f"{bucket}/o", X_Object_Meta_New="2", Cache_Control="max-age=9")
    found = s3.head_object(Bucket=bucket, Key="o")
    assert (found["Metadata"], found["CacheControl"], found["ContentType"]) == ({"new": "2"}, "max-age=9", "text/x-swift")
    assert s3.get_object_tagging(Bucket=bucket, Key="o")["TagSet"] == [{"Key": "team", "Value": "blue"}]
    s3.copy_object(Bucket=bucket, Key="o", CopySource={"Bucket": bucket, "Key": "o"}, Metadata={"third": "3"}, MetadataDirective="REPLACE")
    told = swift.ok("HEAD", f"{bucket}/o")
    assert told["X-Object-Meta-Third"] == "3"
    assert "X-Object-Meta-New" not in told


def test_versions_both_ways(swift: Swift) -> None:
    """Whoever switched them on and whoever writes: the same versions, in the same order; a deletion by one is one by the other."""
    s3 = swift.cloud.client()
    name = f"versions-{uuid4().hex[:8]}"
    swift.ok("PUT", name, X_Versions_Enabled="true")
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    swift.ok("PUT", f"{name}/o", b"1")
    by_s3 = s3.put_object(Bucket=name, Key="o", Body=b"2")["VersionId"]
    swift.ok("PUT", f"{name}/o", b"3")

    def by_swift() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = swift.ok("GET", name, query="versions&format=json").json()
        return rows

    listed = s3.list_object_versions(Bucket=name)["Versions"]
    assert [row["ETag"].strip('"') for row in listed] == [row["hash"] for row in by_swift()] == [md5(one) for one in (b"3", b"2", b"1")]
    second = by_swift()[1]["version_id"]
    assert swift.ok("GET", f"{name}/o", query={"version-id": second}).body == b"2"
    assert s3.get_object(Bucket=name, Key="o", VersionId=by_s3)["Body"].read() == b"2"
    s3.delete_object(Bucket=name, Key="o")
    assert swift.ask("GET", f"{name}/o").status == 404
    assert by_swift()[0]["content_type"].startswith("application/x-deleted")
    swift.ok("PUT", f"{name}/o", query={"version-id": second})
    assert s3.get_object(Bucket=name, Key="o")["Body"].read() == b"2"
    swift.ok("DELETE", f"{name}/o")
    assert s3.list_object_versions(Bucket=name)["DeleteMarkers"][0]["IsLatest"]
    swift.ok("POST", name, X_Versions_Enabled="false")
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Suspended"


def test_names_both_ways(swift: Swift) -> None:
    """A bucket that S3 made is a container of its project; one of Swift's is a bucket to the keys of its project, whatever its name."""
    s3 = swift.cloud.client()
    bucket = swift.cloud.bucket(s3)
    names = ["a b/ü.txt", "dir/", "q?&=#%25", "日本語/🐈", "x//y"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
        assert swift.ok("GET", f"{bucket}/{name}").body == name.encode()
        swift.ok("PUT", f"{bucket}/swift/{name}", name.encode())
        assert s3.get_object(Bucket=bucket, Key=f"swift/{name}")["Body"].read() == name.encode()
    assert swift.names(bucket) == [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert swift.ok("HEAD", bucket)["X-Container-Object-Count"] == str(2 * len(names))
    assert swift.ask("DELETE", bucket).status == 409
    for name in swift.names(bucket):
        s3.delete_object(Bucket=bucket, Key=name)
    swift.ok("DELETE", bucket)
    with pytest.raises(botocore.exceptions.ClientError):
        s3.head_bucket(Bucket=bucket)
