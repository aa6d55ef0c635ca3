"""boto3's own transfers and addresses, and curl signing by itself: keys of every kind, virtual hosts, presigned uploads."""

from __future__ import annotations

import hashlib
import os
import subprocess
import urllib.request
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from tests.clients.conftest import BOTH, MIB, NAMES, Store, grow, program, seen

KEYS = [
    *NAMES,
    "line\nbreak\ttab",
    "back\\slash",
    "trailing space ",
    " leading",
    "//slashes///",
    "./dots/../x",
    "..",
    "%2F%zz+",
    "\u007f\u0080",
    "e\u0301 and \u00e9",
    "\U0001f408" * 255,
    "<&\"'>]]>",
    "?query#fragment",
]


def client(store: Store, **config: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=store.url,
        aws_access_key_id=store.me.key,
        aws_secret_access_key=store.me.secret,
        region_name="us-east-1",
        verify=str(store.authority) if store.authority else None,
        config=Config(s3={"addressing_style": "path"} | config.pop("s3", {}), retries={"max_attempts": 0}, **config),
    )


@BOTH
def test_any_key(store: Store) -> None:
    """Put, listed in byte order by each listing, read, copied, tagged, and deleted in one request."""
    s3, bucket = client(store), store.bucket()
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    ordered = sorted(KEYS, key=str.encode)
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ordered
    assert [one["Key"] for one in s3.list_objects(Bucket=bucket)["Contents"]] == ordered
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 3})
    assert [one["Key"] for page in pages for one in page["Contents"]] == ordered
    assert [one["Key"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]] == ordered
    for key in KEYS:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": key}, Metadata={"a": "b"}, MetadataDirective="REPLACE")
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
        assert s3.head_object(Bucket=bucket, Key=key)["Metadata"] == {"a": "b"}
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in KEYS]})
    assert sorted(one["Key"] for one in gone["Deleted"]) == sorted(KEYS)
    assert "Errors" not in gone
    # What XML cannot hold is listed all the same, since botocore asks for names in the coding of addresses.
    s3.put_object(Bucket=bucket, Key="\u0001", Body=b"x")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["\u0001"]
    assert s3.get_object(Bucket=bucket, Key="\u0001")["Body"].read() == b"x"
    s3.delete_object(Bucket=bucket, Key="\u0001")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@BOTH
def test_transfers(store: Store) -> None:
    """A tree by the transfer manager, large files in parallel parts, down again with ranges, and the checksums that it asks for."""
    s3, bucket = client(store), store.bucket()
    there, back = store.folder / "there", store.folder / "back"
    tree = grow(there)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    for name in tree:
        s3.upload_file(str(there / name), bucket, name, Config=config, ExtraArgs={"ChecksumAlgorithm": "CRC32"})
    for name in tree:
        (back / name).parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, name, str(back / name), Config=config)
    assert seen(back) == tree
    assert s3.get_object_attributes(Bucket=bucket, Key="parts.bin", ObjectAttributes=["ObjectParts"])["ObjectParts"]["TotalPartsCount"] == 5
    s3.copy({"Bucket": bucket, "Key": "parts.bin"}, bucket, "copy", Config=config)
    assert hashlib.sha256(s3.get_object(Bucket=bucket, Key="copy")["Body"].read()).hexdigest() == tree["parts.bin"]


def test_virtual_hosts(store: Store) -> None:
    """The bucket in the host's name. The store is told as the proxy, which spares the test a name server, and tries absolute targets."""
    s3 = boto3.client(
        "s3",
        endpoint_url="http://s3.localhost",
        aws_access_key_id=store.me.key,
        aws_secret_access_key=store.me.secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "virtual"}, proxies={"http": store.url}, retries={"max_attempts": 0}),
    )
    bucket = store.bucket()
    keys = [key for key in KEYS if not {".", ".."} & set(key.split("/"))]  # urllib3 tidies what it tells a proxy, after it was signed.
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == len(keys)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    s3.create_bucket(Bucket=f"{bucket}-2")
    assert bucket in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEYS[4]})
    assert url.startswith(f"http://{bucket}.s3.localhost/")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": store.url}))
    with opener.open(url) as answer:
        assert answer.read() == KEYS[4].encode()


@BOTH
@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_addresses(store: Store, version: str) -> None:
    """Up and down by curl with nothing but the address, by both versions of signatures; an address that ended opens nothing."""
    s3, bucket = client(store, signature_version=version), store.bucket()
    body = os.urandom(3 * MIB)
    (store.folder / "body").write_bytes(body)
    curl = [program("curl", "curl"), "--silent", "--show-error", "--fail-with-body"]
    curl += ["--cacert", str(store.authority)] if store.authority else []
    for key in ("plain", "a b+c/ü?&=%"):
        about = {"Bucket": bucket, "Key": key}
        put = s3.generate_presigned_url("put_object", Params=about)
        subprocess.run([*curl, "--upload-file", store.folder / "body", put], check=True, capture_output=True)
        get = s3.generate_presigned_url("get_object", Params=about | {"ResponseContentDisposition": 'attachment; filename="x"'})
        got = subprocess.run([*curl, "--dump-header", store.folder / "head", get], check=True, capture_output=True)
        assert got.stdout == body
        assert 'attachment; filename="x"' in (store.folder / "head").read_text()
        if version == "s3":  # Version 4 can only be waited for.
            late = s3.generate_presigned_url("get_object", Params=about, ExpiresIn=-1)
            refused = subprocess.run([*curl, late], check=False, capture_output=True)
            assert (refused.returncode, b"expired" in refused.stdout) == (22, True)
        other = subprocess.run([*curl, "--request", "DELETE", get], check=False, capture_output=True)
        assert (other.returncode, b"SignatureDoesNotMatch" in other.stdout) == (22, True)


@BOTH
def test_curl_signs(store: Store) -> None:
    """curl's own signatures (--aws-sigv4), the smallest client there is."""
    bucket, body = store.bucket(), os.urandom(100_000)
    (store.folder / "body").write_bytes(body)
    curl = [program("curl", "curl"), "--silent", "--show-error", "--fail-with-body", "--aws-sigv4", "aws:amz:us-east-1:s3"]
    curl += ["--user", f"{store.me.key}:{store.me.secret}", "--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
    curl += ["--cacert", str(store.authority)] if store.authority else []
    url = f"{store.url}/{bucket}/folder/object.bin"
    subprocess.run([*curl, "--upload-file", store.folder / "body", url], check=True, capture_output=True)
    assert subprocess.run([*curl, url], check=True, capture_output=True).stdout == body
    assert b"<Key>folder/object.bin</Key>" in subprocess.run([*curl, f"{store.url}/{bucket}"], check=True, capture_output=True).stdout
    subprocess.run([*curl, "--request", "DELETE", url], check=True, capture_output=True)
    assert store.digests(bucket) == {}
