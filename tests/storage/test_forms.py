"""Forms of browsers (POST Object) on a running data plane: what a policy allows, who posts, and what is answered."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import json
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.server.running import Answer, Client
from tests.storage.conftest import Cloud

Fields = dict[str, str]


def post(
    cloud: Cloud, bucket: str, fields: Fields, body: bytes = b"hello", *, name: str = "a.txt", kind: str = "", host: str = ""
) -> Answer:
    """As a browser sends it: the fields in their order, the file last."""
    mark = uuid4().hex
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    typed = f"Content-Type: {kind}\r\n" if kind else ""
    parts.append(f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n{typed}\r\n'.encode() + body + b"\r\n")
    data = b"".join(parts) + f"--{mark}--\r\n".encode()
    head = f"Host: {host or 'here'}\r\nContent-Length: {len(data)}\r\nContent-Type: multipart/form-data; boundary={mark}\r\n"
    with Client(cloud.port) as client:
        client.send(f"POST /{'' if host else bucket} HTTP/1.1\r\n{head}\r\n".encode() + data)
        return client.answer()


def signed(cloud: Cloud, conditions: list[Any], *, seconds: float = 600, version: int = 4, **fields: str) -> Fields:
    """A policy with these conditions, signed by `cloud.me`, and the fields that go with it."""
    now = dt.datetime.now(dt.UTC)
    ends = (now + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    me, day = cloud.me, now.strftime("%Y%m%d")
    if version == 4:
        extra = {
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": f"{me.key}/{day}/us-east-1/s3/aws4_request",
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        }
        conditions = [*conditions, *({name: value} for name, value in extra.items())]
    else:
        extra = {"AWSAccessKeyId": me.key}
    policy = base64.b64encode(json.dumps({"expiration": ends, "conditions": conditions}).encode())
    if version == 2:
        signature = base64.b64encode(hmac.digest(me.secret.encode(), policy, "sha1")).decode()
        return fields | extra | {"policy": policy.decode(), "signature": signature}
    key = f"AWS4{me.secret}".encode()
    for word in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return fields | extra | {"policy": policy.decode(), "x-amz-signature": hmac.digest(key, policy, "sha256").hex()}


@pytest.mark.parametrize("version", [2, 4])
def test_who_signs_and_how_it_is_answered(cloud: Cloud, version: int) -> None:
    """By both versions of signatures, by path and by host: 204, 200, 201 with a document, 303 to where the form says."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    common: list[Any] = [{"bucket": bucket}, ["starts-with", "$key", "in/"]]
    fields = signed(cloud, common, version=version, key="in/ü ${filename}")
    answer = post(cloud, bucket, fields, name="a&b.txt", kind="text/plain")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["location"] == f"http://here/{bucket}/in/%C3%BC%20a%26b.txt"
    got = s3.get_object(Bucket=bucket, Key="in/ü a&b.txt")
    assert (got["Body"].read(), got["ContentType"], answer.headers["etag"]) == (b"hello", "text/plain", got["ETag"])

    host = f"{bucket}.s3.localhost:{cloud.port}"
    status = [*common, {"success_action_status": "201"}]
    answer = post(cloud, bucket, signed(cloud, status, version=version, key="in/b", success_action_status="201"), host=host)
    assert answer.status == 201
    assert f"<Location>http://{host}/in/b</Location>" in answer.text
    assert f"<Bucket>{bucket}</Bucket><Key>in/b</Key>" in answer.text
    status = [*common, ["eq", "$success_action_status", "200"]]
    assert post(cloud, bucket, signed(cloud, status, version=version, key="in/c", success_action_status="200")).status == 200

    goal = "https://app.example.org/done?a=b"
    redirect = [*common, {"success_action_redirect": goal}]
    answer = post(cloud, bucket, signed(cloud, redirect, version=version, key="in/d", success_action_redirect=goal))
    assert answer.status == 303
    etag = quote(s3.head_object(Bucket=bucket, Key="in/d")["ETag"])
    assert answer.headers["location"] == f"{goal}&bucket={bucket}&key=in%2Fd&etag={etag}"
    # Nowhere but to another page: no scripts.
    script = "javascript:alert(1)"
    answer = post(cloud, bucket, signed(cloud, [*common, {"redirect": script}], version=version, key="in/e", redirect=script))
    assert answer.status == 204
    assert script not in answer.headers["location"]


def test_what_a_policy_does_not_allow(cloud: Cloud) -> None:
    s3 = cloud.client()
    bucket, other = cloud.bucket(s3), cloud.bucket(s3)
    common: list[Any] = [{"bucket": bucket}, ["starts-with", "$key", "in/"]]

    def status(fields: Fields, body: bytes = b"hello", *, into: str = bucket) -> tuple[int, str]:
        answer = post(cloud, into, fields, body)
        return answer.status, answer.text.partition("<Code>")[2].partition("<")[0]

    good = signed(cloud, common, key="in/k")
    assert status(good)[0] == 204
    assert status(good | {"key": "out/k"}) == (403, "AccessDenied")
    assert status(good, into=other) == (403, "AccessDenied")
    assert status(good | {"acl": "public-read"}) == (403, "AccessDenied")
    assert status(good | {"x-amz-meta-a": "b"}) == (403, "AccessDenied")
    assert status(good | {"x-ignore-this": "b"})[0] == 204
    assert status(signed(cloud, common, seconds=-5, key="in/k")) == (403, "AccessDenied")
    assert status(signed(cloud, common[1:], key="in/k")) == (403, "AccessDenied")  # It would be good for any bucket.
    assert status(good | {"x-amz-signature": "0" * 64}) == (403, "SignatureDoesNotMatch")
    assert status({name: value for name, value in good.items() if name != "policy"})[0] == 400
    assert status({name: value for name, value in good.items() if name != "key"}) == (400, "InvalidArgument")

    sized = signed(cloud, [*common, ["content-length-range", 3, 5]], key="in/sized")
    assert [status(sized, b"x" * size)[0] for size in (2, 3, 5, 6)] == [400, 204, 204, 400]
    assert status(sized, b"x" * 6)[1] == "EntityTooLarge"
    assert status(sized, b"x" * 2)[1] == "EntityTooSmall"
    for broken in (["content-length-range", 5, 3], ["content-length-range", "a", 3], ["like", "$key", "a"], ["eq", "key", "a"], [], 7):
        assert status(signed(cloud, [*common, broken], key="in/k")) == (400, "InvalidPolicyDocument"), broken
    typed = signed(cloud, [*common, ["starts-with", "$Content-Type", "image/"]], key="in/k")
    assert status(typed | {"Content-Type": "text/html"}) == (403, "AccessDenied")
    assert status(typed | {"Content-Type": "image/png"})[0] == 204
    assert sorted(one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]) == ["in/k", "in/sized"]
    assert s3.list_objects_v2(Bucket=other)["KeyCount"] == 0


def test_fields_become_what_headers_are(cloud: Cloud) -> None:
    """Metadata, tags, access, caching; a checksum is checked."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    fields = {
        "key": "k",
        "acl": "public-read",
        "Content-Type": "text/css",
        "Cache-Control": "no-store",
        "x-amz-meta-who": "me",
        "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        "x-amz-checksum-sha256": base64.b64encode(bytes(32)).decode(),
    }
    common = [{"bucket": bucket}, *(["starts-with", f"${name}", ""] for name in fields)]
    assert post(cloud, bucket, signed(cloud, common, **fields)).status == 400
    fields["x-amz-checksum-sha256"] = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="  # of "hello"
    assert post(cloud, bucket, signed(cloud, common, **fields)).status == 204
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got["ContentType"], got["CacheControl"], got["Metadata"]) == ("text/css", "no-store", {"who": "me"})
    assert got["ChecksumSHA256"] == fields["x-amz-checksum-sha256"]
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
    with Client(cloud.port) as nobody:
        assert nobody.ask(f"/{bucket}/k").body == b"hello"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("plain.txt", "plain.txt"),
        ("C:\\fakepath\\a b.txt", "a b.txt"),
        ("/home/me/ü.txt", "ü.txt"),
        ('say \\"hi\\".txt', 'say "hi".txt'),
        ("", ""),
    ],
)
def test_names_of_files(cloud: Cloud, name: str, kept: str) -> None:
    """What a browser says of the file; of a path only the last part."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    fields = signed(cloud, [{"bucket": bucket}, ["starts-with", "$key", ""]], key="in/${filename}")
    assert post(cloud, bucket, fields, name=name).status == 204
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [f"in/{kept}"]


def test_a_form_of_nobody(cloud: Cloud) -> None:
    """Without a policy only where everybody may write, and not by half a signature."""
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    assert post(cloud, bucket, {"key": "k"}).status == 403
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    assert post(cloud, bucket, {"key": "k"}).status == 204
    assert post(cloud, bucket, {"key": "k", "policy": "e30="}).status == 400
    assert post(cloud, bucket, {"key": "x" * 1025}).status == 400
    with Client(cloud.port) as client:
        head = "Content-Type: multipart/form-data; boundary=b\r\n"
        cut = client.ask(f"/{bucket}", method="POST", headers=head, body=b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n')
        assert (cut.status, "MalformedPOSTRequest" in cut.text) == (400, True)
        none = client.ask(
            f"/{bucket}", method="POST", headers=head, body=b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--b--'
        )
        assert (none.status, "exactly one file" in none.text) == (400, True)
