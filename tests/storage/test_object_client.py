"""The house's own S3 client against a running data plane, and its signatures against botocore's."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from calendar import timegm
from collections.abc import Iterator
from time import strptime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from cloudbox.common import errors, object_signing
from cloudbox.common.object_client import Endpoint, Entry, ObjectClient, crc32
from cloudbox.common.object_signing import Keys
from identity import temporary
from tests.fixtures import DEAD_STORE
from tests.storage.conftest import Cloud, limit

# Names that break what is written carelessly: markup, quotes, slashes, signs of URLs, spaces, other scripts, control characters.
NAMES = [
    "plain.txt", "a b+c&d=e?f#g%20h", "<img src=x onerror=alert(1)>", "'\"`$(id)`", "//double//slash/", "../up/./down", "ключ/日本/😀",
    " spaces ", "line\nbreak\r\tand tab", "bell\x07and\x1bescape", "~tilde*(star)!",
]  # fmt: skip


def client_of(cloud: Cloud) -> ObjectClient:
    made = temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=600)
    return ObjectClient(Endpoint(cloud.url), lambda: Keys(made.access_key, made.secret_key, made.session_token))


def fetch(url: str, method: str = "GET", data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers or {}, method=method)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def keys_of(entries: list[Entry]) -> list[str]:
    return [entry.key for entry in entries]


def test_every_name_makes_the_round(cloud: Cloud) -> None:
    """Put, listed, read, described, tagged, copied, addressed and deleted under its very name."""
    client, bucket = client_of(cloud), cloud.bucket()
    for number, name in enumerate(NAMES):
        body = f"body {number}".encode()
        client.put(bucket, name, body, content_type="text/plain", metadata={"n": str(number)})
        assert client.head(bucket, name).metadata == {"n": str(number)}
        with client.get(bucket, name, start=5) as download:
            assert download.read(100) == str(number).encode()
        client.put_tags(bucket, name, {"env": f"prod {number}"})
        assert client.tags(bucket, name) == {"env": f"prod {number}"}
        status, read = fetch(client.presign("GET", bucket, name, seconds=60))
        assert (status, read) == (200, body)
    assert keys_of(client.list_objects(bucket).entries) == sorted(NAMES, key=str.encode)
    assert keys_of(list(client.walk(bucket, prefix="ключ/"))) == ["ключ/日本/😀"]
    for name in NAMES:
        client.copy(bucket, f"copy/{name}", source_bucket=bucket, source_key=name)
    assert len(client.list_objects(bucket, prefix="copy/").entries) == len(NAMES)
    assert client.delete_many(bucket, [(name, "") for name in NAMES]) == []
    assert keys_of(client.list_objects(bucket).entries) == sorted((f"copy/{name}" for name in NAMES), key=str.encode)


def test_pages_and_folders(cloud: Cloud) -> None:
    client, bucket = client_of(cloud), cloud.bucket()
    for name in ("a/1", "a/2", "b", "c/1", "d"):
        client.put(bucket, name, b"")
    first = client.list_objects(bucket, delimiter="/", limit=2)
    assert (keys_of(first.entries), first.prefixes) == (["b"], ["a/"])
    second = client.list_objects(bucket, delimiter="/", limit=2, token=first.next)
    assert (keys_of(second.entries), second.prefixes, second.next) == (["d"], ["c/"], "")
    assert keys_of(client.list_objects(bucket, after="a/1", limit=1).entries) == ["a/2"]


def test_versions_and_markers(cloud: Cloud) -> None:
    client, bucket = client_of(cloud), cloud.bucket()
    cloud.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = client.put(bucket, "a", b"one").version
    client.put(bucket, "a", b"two")
    client.delete(bucket, "a")
    found = client.list_versions(bucket, prefix="a").entries
    assert [(one.marker, one.latest, one.size) for one in found] == [(True, True, 0), (False, False, 3), (False, False, 3)]
    with pytest.raises(errors.NotFound):
        client.head(bucket, "a")
    page = client.list_versions(bucket, limit=1)
    rest = client.list_versions(bucket, after=page.next, after_version=page.next_version)
    assert page.entries + rest.entries == found
    client.copy(bucket, "a", source_bucket=bucket, source_key="a", source_version=first)
    with client.get(bucket, "a") as download:
        assert download.read(10) == b"one"
    # A version is deleted for good, and so is the marker.
    assert client.delete_many(bucket, [("a", one.version) for one in found]) == []
    assert len(client.list_versions(bucket).entries) == 1


def test_uploads_in_parts(cloud: Cloud) -> None:
    client, bucket = client_of(cloud), cloud.bucket()
    large, small = b"x" * (5 * 2**20), b"end"
    given = {"content-type": "video/mp4", "x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT"}
    upload = client.create_upload(bucket, "film", headers=given)
    for number, data in enumerate((large, small), 1):
        url = client.presign(
            "PUT",
            bucket,
            "film",
            seconds=60,
            query={"uploadId": upload, "partNumber": str(number)},
            headers={"x-amz-checksum-crc32": crc32(data)},
        )
        # What was signed for one body does not pass for another.
        assert fetch(url, "PUT", b"other", {"x-amz-checksum-crc32": crc32(data)})[0] == 400
        assert fetch(url, "PUT", data, {"x-amz-checksum-crc32": crc32(data)})[0] == 200
    parts = client.list_parts(bucket, "film", upload)
    assert [(part.number, part.size, part.crc32) for part in parts] == [(1, len(large), crc32(large)), (2, 3, crc32(small))]
    client.complete_upload(bucket, "film", upload, parts)
    head = client.head(bucket, "film", headers={"x-amz-checksum-mode": "ENABLED"})
    assert (head.size, head.content_type) == (len(large) + 3, "video/mp4")
    assert head.headers["x-amz-checksum-crc32"] == crc32(large + small)
    with pytest.raises(errors.NotFound):
        client.list_parts(bucket, "film", upload)
    client.abort_upload(bucket, "film", upload)
    client.copy_in_parts(bucket, "copy", source_bucket=bucket, source_key="film", head=client.head(bucket, "film"))
    assert client.head(bucket, "copy").size == head.size
    assert client.head(bucket, "copy").content_type == "video/mp4"


def test_streams_go_both_ways(cloud: Cloud) -> None:
    client, bucket = client_of(cloud), cloud.bucket()
    body = bytes(range(256)) * 8192

    def pieces() -> Iterator[bytes]:
        yield body[:100]
        yield body[100:]

    client.put(bucket, "file", io.BytesIO(body), length=len(body))
    client.put(bucket, "pieces", pieces(), length=len(body))
    for name in ("file", "pieces"):
        with client.get(bucket, name) as download:
            assert b"".join(download) == body
    with client.get(bucket, "file") as download, pytest.raises(errors.TooLarge):
        download.read(1000)
    client.put(bucket, "after", b"the pool still works")


def test_refusals_are_meanings(cloud: Cloud) -> None:
    client, bucket = client_of(cloud), cloud.bucket()
    with pytest.raises(errors.NotFound):
        client.head(bucket, "none")
    with pytest.raises(errors.NotFound):
        client.list_objects("no-such-bucket-here")
    client.put(bucket, "a", b"")
    with pytest.raises(errors.PreconditionFailed):
        client.put(bucket, "a", b"", headers={"if-none-match": "*"})
    limit(cloud.me.project, "object_gib", 0)
    cloud.plane.directory.changed_everything()
    cloud.plane._totals.clear()
    with pytest.raises(errors.QuotaExceeded, match="quota"):
        client.put(bucket, "big", b"x" * 1000)
    nobody = ObjectClient(Endpoint(cloud.url), lambda: Keys("AKIAXXXXXXXXXXXXXXXX", "wrong"))
    with pytest.raises(errors.Forbidden):
        nobody.list_objects(bucket)
    dead = ObjectClient(Endpoint(DEAD_STORE), lambda: Keys("a", "b"))
    with pytest.raises(errors.Unavailable):
        dead.list_objects(bucket)


# --- signatures, against botocore's

_SAFE = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=40)


@given(key=_SAFE, query=st.dictionaries(_SAFE, _SAFE, max_size=3), token=st.sampled_from(["", "tok/en+="]))
def test_signatures_are_botocores(key: str, query: dict[str, str], token: str) -> None:
    keys = Keys("AKIDEXAMPLE", "secret/+key", token)
    path, text = object_signing.encoded_path("bucket", key), object_signing.encoded_query(query)
    request = AWSRequest(
        "PUT", f"http://store.example:9000{path}" + (f"?{text}" if text else ""), headers={"x-amz-meta-a": " two  spaces "}
    )
    request.context["payload_signing_enabled"] = False
    auth: Any = botocore.auth.S3SigV4Auth(Credentials(keys.access_key, keys.secret_key, token or None), "s3", "us-east-1")
    auth.add_auth(request)
    now = timegm(strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ"))
    sent = {"host": "store.example:9000", "x-amz-meta-a": " two  spaces "}
    payload = request.headers["X-Amz-Content-SHA256"]
    ours = object_signing.signed_headers(keys, "PUT", path, text, sent, region="us-east-1", payload=payload, now=now)
    assert ours["authorization"] == request.headers["Authorization"]


def test_presigned_addresses_are_botocores() -> None:
    keys = Keys("AKIDEXAMPLE", "secret", "tok/en+=")
    auth: Any = botocore.auth.S3SigV4QueryAuth(
        Credentials(keys.access_key, keys.secret_key, keys.session_token), "s3", "us-east-1", expires=60
    )
    path = object_signing.encoded_path("bucket", "a b/ü+")
    request = AWSRequest("GET", f"http://store.example:9000{path}?versionId=1")
    auth.add_auth(request)
    now = timegm(strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ"))
    ours = object_signing.presigned_query(
        keys, "GET", path, {"versionId": "1"}, {"host": "store.example:9000"}, region="us-east-1", seconds=60, now=now
    )
    assert dict(parse_qsl(ours)) == dict(parse_qsl(urlsplit(request.url).query))
