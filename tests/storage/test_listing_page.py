"""A page of a listing is made in bulk; names that are not plain, and properties that show, still come out one by one as they should."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree import ElementTree

from cloudbox.box.management.storage_load import Ask, Client, Endpoint
from tests.storage.conftest import Cloud

NAMES = ["a b", "line\nbreak", "plain-1", "plain/2", "x&<y>", "ü/ñ", "\u20ac"]
SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def page(cloud: Cloud, bucket: str, query: str) -> list[dict[str, Any]]:
    """What each entry says, by the name of its elements."""

    async def ask() -> bytes:
        client = Client(Endpoint("127.0.0.1", cloud.port, cloud.me.key, cloud.me.secret, "us-east-1"))
        connection = await client.connect()
        assert await client.ask(connection, Ask("GET", f"/{bucket}", query, keep=True)), client.outcome
        connection.close()
        return bytes(connection.body)

    root = ElementTree.fromstring(asyncio.run(ask()))
    return [{part.tag.removeprefix(SPACE): part.text for part in entry} for entry in root.findall(f"{SPACE}Contents")]


def test_names_of_every_kind(cloud: Cloud) -> None:
    """Mixed with plain ones and among plain ones only; url-encoded and not; through boto3, which decodes."""
    s3, bucket = cloud.client(), cloud.bucket()
    for name in NAMES:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    assert sorted(one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]) == sorted(NAMES)
    assert sorted(one["Key"] for one in s3.list_objects(Bucket=bucket)["Contents"]) == sorted(NAMES)
    shown = [one["Key"] for one in page(cloud, bucket, "list-type=2")]
    assert shown == sorted(NAMES, key=str.encode)
    encoded = [one["Key"] for one in page(cloud, bucket, "encoding-type=url&list-type=2")]
    assert "line%0Abreak" in encoded
    assert "%C3%BC/%C3%B1" in encoded
    assert [one["Key"] for one in page(cloud, bucket, "list-type=2&prefix=plain")] == ["plain-1", "plain/2"]


def test_what_an_entry_says(cloud: Cloud) -> None:
    """Size, ETag, moment, storage class, checksums, owner: of a plain object, of one with properties, and of a completed upload."""
    s3, bucket = cloud.client(), cloud.bucket()
    s3.put_object(Bucket=bucket, Key="a", Body=b"12345", StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256")
    client = cloud.client(request_checksum_calculation="when_required")
    client.put_object(Bucket=bucket, Key="b", Body=b"")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="c", UploadId=upload, PartNumber=1, Body=b"x" * 100)
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="c", UploadId=upload, MultipartUpload=done)
    first, second, third = page(cloud, bucket, "fetch-owner=true&list-type=2")
    assert (first["Size"], first["StorageClass"], first["ChecksumAlgorithm"], first["ChecksumType"]) == (
        "5",
        "STANDARD_IA",
        "SHA256",
        "FULL_OBJECT",
    )
    assert (second["Size"], second["StorageClass"]) == ("0", "STANDARD")
    assert "ChecksumAlgorithm" not in second
    assert (third["Size"], third["ETag"]) == ("100", s3.head_object(Bucket=bucket, Key="c")["ETag"])
    for entry in (first, second, third):
        head = s3.head_object(Bucket=bucket, Key=entry["Key"])
        assert entry["ETag"] == head["ETag"]
        assert entry["LastModified"][:19] == head["LastModified"].strftime("%Y-%m-%dT%H:%M:%S")
        assert "Owner" in entry
    assert "Owner" not in page(cloud, bucket, "list-type=2")[0]
    assert "Owner" in page(cloud, bucket, "")[0]
