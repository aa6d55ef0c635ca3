"""boto3, unmodified, against a running data plane: what its users rely on, one story a test."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import urllib.request
from typing import Any
from uuid import uuid4

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from identity import credentials, quotas
from identity.models import Quota
from storage import expirer, keys, usage
from storage.api.s3.router import BUCKET, OBJECT
from storage.models import Bucket, BucketUsage
from storage.server.protocol import Phase
from tests.server.running import Client, eventually
from tests.storage.conftest import Cloud, limit

MIB = 1 << 20


def refused(call: Any, **kwargs: Any) -> tuple[int, str]:
    """(status, code) of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(**kwargs)
    error = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]


def test_objects_come_back_as_they_went(cloud: Cloud) -> None:
    """Empty, small and large bodies: bytes, headers, metadata, ranges, conditions, copy, deletion."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    for size in (0, 1, MIB, MIB + 1, 6 * MIB + 5):
        body = os.urandom(size)
        put = s3.put_object(Bucket=bucket, Key=f"a/ü {size}+&", Body=body, Metadata={"x": "y"}, CacheControl="no-store", ContentType="a/b")
        assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
        got = s3.get_object(Bucket=bucket, Key=f"a/ü {size}+&")
        assert got["Body"].read() == body
        assert (got["Metadata"], got["CacheControl"], got["ContentType"]) == ({"x": "y"}, "no-store", "a/b")
        if size:
            assert s3.get_object(Bucket=bucket, Key=f"a/ü {size}+&", Range="bytes=-7")["Body"].read() == body[-7:]
            part = s3.get_object(Bucket=bucket, Key=f"a/ü {size}+&", Range=f"bytes={size // 2}-")
            assert part["Body"].read() == body[size // 2 :]
            assert part["ContentRange"] == f"bytes {size // 2}-{size - 1}/{size}"
        assert refused(s3.get_object, Bucket=bucket, Key=f"a/ü {size}+&", IfNoneMatch=put["ETag"])[0] == 304
        s3.copy_object(Bucket=bucket, Key=f"copy {size}", CopySource={"Bucket": bucket, "Key": f"a/ü {size}+&"})
        copied = s3.get_object(Bucket=bucket, Key=f"copy {size}")
        assert (copied["Body"].read(), copied["Metadata"]) == (body, {"x": "y"})
    assert refused(s3.get_object, Bucket=bucket, Key="copy 1", Range="bytes=5-9") == (416, "InvalidRange")
    assert refused(s3.put_object, Bucket=bucket, Key="copy 1", Body=b"", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(s3.put_object, Bucket=bucket, Key="none", Body=b"", IfMatch='"x"') == (404, "NoSuchKey")
    assert refused(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    names = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert names == sorted(names, key=str.encode)
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": name} for name in names]})
    assert len(gone["Deleted"]) == len(names) == 10
    s3.delete_bucket(Bucket=bucket)
    assert refused(s3.head_bucket, Bucket=bucket)[0] == 404


@pytest.mark.parametrize("size", [5, 3 * MIB])
@pytest.mark.parametrize("code", ["NoSuchBucket", "NoSuchUpload"])
def test_what_goes_while_bytes_come(cloud: Cloud, size: int, code: str) -> None:
    """Who writes is told that the bucket, or the upload, is gone, not that a name is missing."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    about = {"Bucket": bucket, "Key": "k"}
    url = s3.generate_presigned_url("put_object", Params=about)
    if code == "NoSuchUpload":
        about["UploadId"] = s3.create_multipart_upload(**about)["UploadId"]
        url = s3.generate_presigned_url("upload_part", Params={**about, "PartNumber": 1})
    with Client(cloud.port) as client:
        client.send(
            f"PUT {url.removeprefix(cloud.url)} HTTP/1.1\r\nHost: 127.0.0.1:{cloud.port}\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        client.send(bytes(size - 1))
        eventually(lambda: cloud.run(_requests(cloud)) > 0)
        if code == "NoSuchUpload":
            s3.abort_multipart_upload(**about)
        else:
            s3.delete_bucket(Bucket=bucket)
        client.send(b"x")
        answer = client.answer()
    assert (answer.status, f"<Code>{code}</Code>" in answer.text) == (404, True)


async def _requests(cloud: Cloud) -> int:
    """How many wait for bytes of their bodies."""
    return sum(connection.phase is Phase.BODY for connection in cloud.front.connections)


def test_several_ranges_are_one_multipart_answer(cloud: Cloud) -> None:
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    body = os.urandom(2 * MIB)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=0-9,1000000-1500000"})) as answer:
        assert answer.status == 206
        boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
        text = answer.read()
    parts = [part.partition(b"\r\n\r\n")[2] for part in text.split(b"\r\n--" + boundary)[1:-1]]
    assert parts == [body[:10], body[1_000_000:1_500_001]]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_uploads_in_parts_keep_their_checksums(cloud: Cloud, algorithm: str) -> None:
    """Parts of all sizes, one sent again, one copied: bytes, ETag, checksum, parts by number; a wrong list is refused."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, Metadata={"m": "1"})["UploadId"]
    about = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    bodies = [os.urandom(5 * MIB), os.urandom(5 * MIB + 1), os.urandom(3)]
    s3.put_object(Bucket=bucket, Key="source", Body=b"x" + bodies[1] + b"y")
    s3.upload_part(**about, PartNumber=1, Body=b"other", ChecksumAlgorithm=algorithm)
    parts = []
    for number, body in enumerate(bodies, 1):
        if number == 2:
            copied = s3.upload_part_copy(
                **about, PartNumber=2, CopySource={"Bucket": bucket, "Key": "source"}, CopySourceRange=f"bytes=1-{len(body)}"
            )["CopyPartResult"]
            parts.append({"PartNumber": 2, "ETag": copied["ETag"]})
        else:
            parts.append(
                {"PartNumber": number, "ETag": s3.upload_part(**about, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)["ETag"]}
            )
    assert [one["Size"] for one in s3.list_parts(**about)["Parts"]] == [len(body) for body in bodies]
    assert refused(s3.complete_multipart_upload, **about, MultipartUpload={"Parts": parts[::-1]}) == (400, "InvalidPartOrder")
    wrong = [{**parts[0], "ETag": '"0"'}]
    assert refused(s3.complete_multipart_upload, **about, MultipartUpload={"Parts": wrong}) == (400, "InvalidPart")
    twice = [parts[0], {**parts[1], "ETag": '"0"'}, *parts[1:]]  # As a client may list them that sent the second part once more.
    done = s3.complete_multipart_upload(**about, MultipartUpload={"Parts": twice})
    joined = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert done["ETag"] == f'"{hashlib.md5(joined).hexdigest()}-3"'
    again = s3.complete_multipart_upload(**about, MultipartUpload={"Parts": parts})
    assert again["ETag"] == done["ETag"]  # A client that missed the answer gets it once more.
    whole = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert whole["Body"].read() == b"".join(bodies)
    assert whole[f"Checksum{algorithm}"] == done[f"Checksum{algorithm}"]
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (bodies[1], 3)
    seen = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts", "ObjectSize"])
    assert (seen["ObjectParts"]["TotalPartsCount"], seen["ObjectSize"]) == (3, sum(map(len, bodies)))


def test_versions(cloud: Cloud) -> None:
    """Enabled, hidden by a marker, suspended: each version is found, and the null version is replaced."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    one = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"]
    assert refused(s3.get_object, Bucket=bucket, Key="k") == (404, "NoSuchKey")
    assert refused(s3.get_object, Bucket=bucket, Key="k", VersionId=marker["VersionId"]) == (405, "MethodNotAllowed")
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=one)["Body"].read() == b"one"
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"before"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"null again")
    listed = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [(version["VersionId"], version["IsLatest"]) for version in listed] == [("null", True), (one, False)]
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"null again"


def test_encryption_hides_the_bytes_and_gives_them_back(cloud: Cloud) -> None:
    """SSE-S3, SSE-KMS through a rotation, SSE-C: ranges and parts decrypt, no drive holds the plain text, wrong keys are refused."""
    key = keys.create(cloud.me.ctx, name="archive")
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    secret = os.urandom(32)
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secret}
    kinds: dict[str, dict[str, Any]] = {
        "s3": {"ServerSideEncryption": "AES256"},
        "kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "archive"},
        "c": customer,
    }
    plain = b"a secret sentence " * 100_000
    for name, given in kinds.items():
        reading = given if name == "c" else {}
        s3.put_object(Bucket=bucket, Key=name, Body=plain, **given)
        s3.put_object(Bucket=bucket, Key=f"{name} small", Body=plain[:100], **given)
        assert s3.get_object(Bucket=bucket, Key=name, **reading)["Body"].read() == plain
        assert s3.get_object(Bucket=bucket, Key=name, Range="bytes=1000001-1000020", **reading)["Body"].read() == plain[1000001:1000021]
        assert s3.get_object(Bucket=bucket, Key=f"{name} small", Range="bytes=17-40", **reading)["Body"].read() == plain[17:41]
        upload = s3.create_multipart_upload(Bucket=bucket, Key="parts", **given)["UploadId"]
        about = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
        body = plain * 3
        parts = [
            {"PartNumber": n, "ETag": s3.upload_part(**about, PartNumber=n, Body=piece, **reading)["ETag"]}
            for n, piece in ((1, body[: 5 * MIB]), (2, body[5 * MIB :]))
        ]
        s3.complete_multipart_upload(**about, MultipartUpload={"Parts": parts}, **reading)
        around = f"bytes={5 * MIB - 9}-{5 * MIB + 8}"
        assert s3.get_object(Bucket=bucket, Key="parts", Range=around, **reading)["Body"].read() == body[5 * MIB - 9 : 5 * MIB + 9]
    assert refused(s3.get_object, Bucket=bucket, Key="c")[0] == 400
    assert refused(s3.get_object, Bucket=bucket, Key="c", SSECustomerAlgorithm="AES256", SSECustomerKey=os.urandom(32))[0] == 400
    keys.rotate(cloud.me.ctx, key.id)
    assert s3.get_object(Bucket=bucket, Key="kms")["Body"].read() == plain
    versions = [cloud.plane.store.get(Bucket.objects.get(name=bucket).id, name.encode()) for name in ("s3", "kms small", "c")]
    for version in versions:
        assert version is not None
        assert b"secret sentence" not in cloud.run(cloud.plane.store.read(version, 0, min(version.size, 1000)))
    keys.set_enabled(cloud.me.ctx, key.id, False)
    cloud.run(_settled(cloud))
    assert refused(s3.get_object, Bucket=bucket, Key="kms small")[1] == "KMS.NotFoundException"


async def _settled(cloud: Cloud) -> None:
    """What notices would have dropped by now."""
    cloud.plane.directory.changed_everything()


def test_locks_hold(cloud: Cloud) -> None:
    """COMPLIANCE holds against everybody, GOVERNANCE against who does not ask to bypass it, a legal hold until it is taken off."""
    import datetime as dt

    s3 = cloud.client()
    bucket = cloud.bucket(s3, ObjectLockEnabledForBucket=True)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    put = lambda key, **more: s3.put_object(Bucket=bucket, Key=key, Body=b"x", **more)["VersionId"]  # noqa: E731
    strict = put("strict", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    soft = put("soft", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    held = put("held", ObjectLockLegalHoldStatus="ON")
    for key, version in (("strict", strict), ("soft", soft), ("held", held)):
        assert refused(s3.delete_object, Bucket=bucket, Key=key, VersionId=version) == (403, "AccessDenied")
    assert refused(s3.delete_object, Bucket=bucket, Key="strict", VersionId=strict, BypassGovernanceRetention=True)[0] == 403
    s3.delete_object(Bucket=bucket, Key="soft", VersionId=soft, BypassGovernanceRetention=True)
    s3.put_object_legal_hold(Bucket=bucket, Key="held", LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket=bucket, Key="held", VersionId=held)
    shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": until - dt.timedelta(hours=1)}
    assert refused(s3.put_object_retention, Bucket=bucket, Key="strict", Retention=shorter) == (403, "AccessDenied")
    assert s3.delete_object(Bucket=bucket, Key="strict")["DeleteMarker"]  # Hiding it is allowed.


def test_policies_and_acls_take_effect_at_once(cloud: Cloud) -> None:
    """A stranger is let in by a policy and shut out by its end, with no moment in between; a reader reads; a deny beats the owner."""
    mine, theirs, nobody = cloud.client(), cloud.client(cloud.stranger), cloud.client(signature_version=UNSIGNED)
    reading = cloud.client(cloud.reader)
    bucket = cloud.bucket(mine)
    mine.put_object(Bucket=bucket, Key="k", Body=b"x")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{cloud.stranger.project.id.hex}:root"},
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
            }
        ],
    }
    for _ in range(5):
        assert refused(theirs.get_object, Bucket=bucket, Key="k") == (403, "AccessDenied")
        mine.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        assert theirs.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
        assert refused(theirs.put_object, Bucket=bucket, Key="k", Body=b"")[0] == 403
        mine.delete_bucket_policy(Bucket=bucket)
    assert refused(nobody.get_object, Bucket=bucket, Key="k") == (403, "AccessDenied")
    mine.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    mine.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": True, "BlockPublicPolicy": True})
    assert refused(nobody.get_object, Bucket=bucket, Key="k") == (403, "AccessDenied")
    policy["Statement"][0]["Principal"] = "*"
    assert refused(mine.put_bucket_policy, Bucket=bucket, Policy=json.dumps(policy)) == (403, "AccessDenied")
    assert reading.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert refused(reading.put_object, Bucket=bucket, Key="k", Body=b"") == (403, "AccessDenied")
    policy["Statement"][0] |= {"Effect": "Deny", "Action": "s3:DeleteObject"}
    mine.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert refused(mine.delete_object, Bucket=bucket, Key="k") == (403, "AccessDenied")


def test_a_revoked_key_opens_nothing(cloud: Cloud) -> None:
    """The key was used, and so is known by heart; PostgreSQL's notice makes the worker forget it."""
    s3 = cloud.client()
    s3.list_buckets()
    credentials.delete_access_key(cloud.me.ctx, cloud.me.key)
    eventually(lambda: cloud.plane.directory.peek_credential(cloud.me.key) is None)
    assert refused(s3.list_buckets) == (403, "InvalidAccessKeyId")


# What a stranger or nobody may ask of a bucket that is private: nothing.
# A form says who posts in its fields, and a list of deletions is judged name by name: these are tried by themselves.
_OPEN = {("", "POST", "bucket"), ("delete", "POST", "bucket")}


def test_every_route_refuses_strangers_and_nobody(cloud: Cloud) -> None:
    """Each method of each subresource of a private bucket and its object, by anybody who has no business there: 403."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3, ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    client = Client(cloud.port)
    tried = 0
    for kind, table in (("bucket", BUCKET), ("object", OBJECT)):
        for name, methods in table.items():
            for method in methods:
                if (name, method, kind) in _OPEN:
                    continue
                query = {"uploadId": f"uploadId={upload}&partNumber=1"}.get(name, name)
                target = f"/{bucket}{'/k' if kind == 'object' else ''}{'?' + query if query else ''}"
                answer = client.ask(target, method=method, body=b"<x/>" if method in ("PUT", "POST") else b"")
                assert answer.status in (403, 409), (method, target, answer.status, answer.body)
                assert answer.status == 403 or (name, method) == ("", "PUT"), (method, target)
                tried += 1
    assert tried > 60
    deletion = client.ask(f"/{bucket}?delete", method="POST", body=b"<Delete><Object><Key>k</Key></Object></Delete>")
    assert deletion.status == 200
    assert "<Code>AccessDenied</Code>" in deletion.text
    theirs = cloud.client(cloud.stranger)
    for call, more in (
        (theirs.list_objects_v2, {}),
        (theirs.get_bucket_policy, {}),
        (theirs.delete_bucket, {}),
        (theirs.get_object, {"Key": "k"}),
        (theirs.get_object, {"Key": "missing"}),
        (theirs.delete_object, {"Key": "k"}),
        (theirs.abort_multipart_upload, {"Key": "k", "UploadId": upload}),
        (theirs.list_parts, {"Key": "k", "UploadId": upload}),
    ):
        assert refused(call, Bucket=bucket, **more) == (403, "AccessDenied"), call


def test_a_form_of_a_browser(cloud: Cloud) -> None:
    """A presigned POST uploads what its policy allows, and nothing else."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    post = s3.generate_presigned_post(bucket, "in/${filename}", Conditions=[["content-length-range", 1, 10]])

    def send(fields: dict[str, str], body: bytes) -> int:
        mark = uuid4().hex
        parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
        parts.append(f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'.encode() + body + b"\r\n")
        data = b"".join(parts) + f"--{mark}--\r\n".encode()
        kind = f"Content-Type: multipart/form-data; boundary={mark}\r\n"
        return Client(cloud.port).ask(f"/{bucket}", method="POST", headers=kind, body=data).status

    assert send(post["fields"], b"hello") == 204
    assert s3.get_object(Bucket=bucket, Key="in/a.txt")["Body"].read() == b"hello"
    assert send(post["fields"], b"too long for it") == 400
    assert send(post["fields"] | {"acl": "public-read"}, b"hello") == 403
    assert send(post["fields"] | {"key": "elsewhere"}, b"hello") == 403
    split = s3.generate_presigned_post(
        bucket, "k", Fields={"x-amz-meta-a": "b\r\nX-C: d"}, Conditions=[["starts-with", "$x-amz-meta-a", ""]]
    )
    assert send(split["fields"], b"hello") == 400
    broken = base64.b64encode(b'{"expiration": "2099-01-01T00:00:00Z", "conditions": []}').decode()
    assert send(post["fields"] | {"policy": broken}, b"hello") == 403


def test_quotas_refuse_what_goes_over(cloud: Cloud) -> None:
    """A project's and a bucket's quota, by objects and by bytes; usage reaches the tables."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    Bucket.objects.filter(name=bucket).update(quota_objects=2, quota_bytes=100)
    cloud.run(_settled(cloud))
    s3.put_object(Bucket=bucket, Key="1", Body=b"x" * 60)
    assert refused(s3.put_object, Bucket=bucket, Key="2", Body=b"x" * 60) == (403, "QuotaExceeded")
    s3.put_object(Bucket=bucket, Key="2", Body=b"x")
    assert refused(s3.put_object, Bucket=bucket, Key="3", Body=b"x") == (403, "QuotaExceeded")
    other = cloud.bucket(s3)
    limit(cloud.me.project, "objects", 2)
    cloud.run(_settled(cloud))
    cloud.plane._totals.clear()
    assert refused(s3.put_object, Bucket=other, Key="4", Body=b"") == (403, "QuotaExceeded")
    limit(cloud.me.project, "buckets", 2)
    assert refused(s3.create_bucket, Bucket=f"bucket-{uuid4().hex}") == (403, "QuotaExceeded")
    assert usage.record(cloud.plane.store.usage) == 2
    row = BucketUsage.objects.get(bucket__name=bucket)
    assert (row.objects_count, row.bytes) == (2, 61)
    assert usage.record(cloud.plane.store.usage) == 0


def test_lifecycle_expires_what_is_due(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock moves ten days: old objects get a marker, noncurrent versions and unfinished uploads go, locked and young ones stay."""
    import datetime as dt

    from cloudbox.common import clock

    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    rules = [
        {
            "ID": "logs",
            "Status": "Enabled",
            "Filter": {"Prefix": "logs/"},
            "Expiration": {"Days": 5},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 3},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
        }
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    s3.put_object(Bucket=bucket, Key="logs/a", Body=b"1")
    put = s3.put_object(Bucket=bucket, Key="logs/a", Body=b"2")
    assert 'rule-id="logs"' in put["Expiration"]
    s3.put_object(Bucket=bucket, Key="kept", Body=b"3")
    s3.create_multipart_upload(Bucket=bucket, Key="logs/upload")
    infos = usage.with_lifecycle()
    assert cloud.run(expirer.run(cloud.plane, infos)).expired == 0
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=10)
    monkeypatch.setattr(clock, "now", lambda: later)
    done = cloud.run(expirer.run(cloud.plane, infos))
    assert (done.buckets, done.expired, done.aborted, done.failed) == (1, 2, 1, 0)
    listed = s3.list_object_versions(Bucket=bucket)
    assert [(one["Key"], one["Size"]) for one in listed["Versions"]] == [("kept", 1), ("logs/a", 1)]
    assert [one["Key"] for one in listed["DeleteMarkers"]] == ["logs/a"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_addresses(cloud: Cloud) -> None:
    """By host, by path, and by the project's slug; what is not served says so."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    client = Client(cloud.port)
    client.send(f"GET /k HTTP/1.1\r\nHost: {bucket}.s3.localhost:{cloud.port}\r\n\r\n".encode())
    assert client.answer().body == b"x"
    assert client.ask(f"/{cloud.me.project.slug}:{bucket}/k").body == b"x"
    assert client.ask(f"/{bucket}/k?restore").status == 501
    assert client.ask(f"/{bucket}?inventory").status == 501
    missing = client.ask("/no-such-bucket-at-all/k")
    assert (missing.status, "NoSuchBucket" in missing.text) == (404, True)
    assert missing.headers["x-amz-request-id"] in missing.text


def test_a_website(cloud: Cloud) -> None:
    """Index, folder, redirect, routing rule, error page; and nothing of what is not public."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    for key, body in (("index.html", b"home"), ("docs/index.html", b"docs"), ("oops.html", b"oops")):
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/html", ACL="public-read")
    s3.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    s3.put_object(Bucket=bucket, Key="old", Body=b"", ACL="public-read", WebsiteRedirectLocation="/docs/")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    configuration = {
        "IndexDocument": {"Suffix": "index.html"},
        "ErrorDocument": {"Key": "oops.html"},
        "RoutingRules": [
            {"Condition": {"KeyPrefixEquals": "was/"}, "Redirect": {"ReplaceKeyPrefixWith": "is/", "HttpRedirectCode": "302"}}
        ],
    }
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=configuration)
    kept = s3.get_bucket_website(Bucket=bucket)
    assert {name: kept[name] for name in configuration} == configuration
    client = Client(cloud.port)

    def get(path: str) -> tuple[int, bytes, str]:
        client.send(f"GET {path} HTTP/1.1\r\nHost: {bucket}.s3-website.localhost\r\n\r\n".encode())
        answer = client.answer()
        return answer.status, answer.body, answer.headers.get("location", "")

    assert get("/")[:2] == (200, b"home")
    assert get("/docs/")[:2] == (200, b"docs")
    assert get("/docs") == (302, b"", "/docs/")
    assert get("/old") == (301, b"", "/docs/")
    assert get("/was/here")[::2] == (302, f"http://{bucket}.s3-website.localhost/is/here")
    assert get("/missing")[:2] == (404, b"oops")
    assert get("/secret")[:2] == (403, b"oops")
    s3.delete_bucket_website(Bucket=bucket)
    assert get("/")[0] == 404


def test_a_recount_finds_what_the_books_say(cloud: Cloud) -> None:
    """Creating and deleting keeps the quota of buckets right; a wrong figure is found and mended."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    cloud.bucket(s3)
    s3.delete_bucket(Bucket=bucket)
    assert quotas.recount() == []
    Quota.objects.filter(project=cloud.me.project, resource="buckets").update(used=7)
    assert quotas.recount() == [f"{cloud.me.project.slug}: buckets was 7, is 1"]
