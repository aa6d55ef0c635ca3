"""Swift's API on a running data plane: what it keeps, who may, and that it is one store with S3."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import tarfile
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudbox.common import errors as meanings
from cloudbox.common.errors import CloudError
from identity import credentials, projects, roles, users
from identity.context import SYSTEM, Context
from identity.models import CustomGrant, CustomRole
from storage.api.swift import acls, errors, tempurl
from storage.api.swift.acls import AclInvalid, Names
from tests.swift.conftest import Swift

MIB = 1 << 20


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def until(condition: Any) -> None:
    """What the database tells the workers comes a moment later."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- the basics


def test_an_object_and_its_metadata(swift: Swift) -> None:
    assert swift.ok("PUT", "c").status == 201
    assert swift.ok("PUT", "c").status == 202
    made = swift.ok("PUT", "c/a b/ü.txt", b"hello", X_Object_Meta_Color="blue", Content_Encoding="identity", X_Delete_After="3600")
    assert made["ETag"] == md5(b"hello")
    found = swift.ok("GET", "c/a b/ü.txt")
    assert found.body == b"hello"
    assert found["X-Object-Meta-Color"] == "blue"
    assert found["Content-Type"] == "text/plain"
    assert int(found["X-Delete-At"]) > time.time()
    assert swift.ask("GET", "c/a b/ü.txt", Range="bytes=1-2").body == b"el"
    assert swift.ask("GET", "c/a b/ü.txt", Range="bytes=9-").status == 416
    assert swift.ask("GET", "c/a b/ü.txt", If_None_Match=made["ETag"]).status == 304
    assert swift.ask("GET", "c/a b/ü.txt", If_Match="other").status == 412
    assert swift.ask("POST", "c/a b/ü.txt", X_Object_Meta_Size="5").status == 202
    after = swift.ok("HEAD", "c/a b/ü.txt")
    assert after["X-Object-Meta-Size"] == "5"
    assert "X-Object-Meta-Color" not in after
    assert "X-Delete-At" not in after
    assert swift.ask("PUT", "c/x", b"abc", ETag=md5(b"abd")).status == 422
    assert swift.ask("GET", "c/x").status == 404
    assert swift.ask("PUT", "c/a b/ü.txt", b"2", If_None_Match="*").status == 412
    assert swift.ask("PUT", "none/x", b"abc").status == 404
    assert swift.ask("DELETE", "c").status == 409
    assert swift.ask("DELETE", "c/a b/ü.txt").status == 204
    assert swift.ask("DELETE", "c/a b/ü.txt").status == 404
    assert swift.ask("DELETE", "c").status == 204
    assert swift.ask("DELETE", "c").status == 404


def test_listings(swift: Swift) -> None:
    """Forward and backward, by prefix and delimiter, between markers: what a list in Python says."""
    swift.ok("PUT", "c")
    names = ["a", "a/1", "a/2", "b", "b/x/1", "b/x/2", "ç"]
    for name in names:
        swift.ok("PUT", f"c/{name}", b"x")
    assert swift.names("c") == sorted(names, key=str.encode)
    assert swift.names("c", reverse="true") == sorted(names, key=str.encode)[::-1]
    assert swift.names("c", delimiter="/") == ["a", "a/", "b", "b/", "ç"]
    assert swift.names("c", delimiter="/", reverse="true") == ["ç", "b/", "b", "a/", "a"]
    assert swift.names("c", prefix="b/", delimiter="/") == ["b/x/"]
    assert swift.names("c", marker="a/1", end_marker="b/x/1") == ["a/2", "b"]
    assert swift.names("c", reverse="true", marker="b", end_marker="a") == ["a/2", "a/1"]
    assert swift.names("c", reverse="true", limit="2") == ["ç", "b/x/2"]
    assert swift.ok("GET", "c", query={"limit": "1"}).body == b"a\n"
    assert b"<name>a</name>" in swift.ok("GET", "c", Accept="text/xml").body
    assert swift.ask("GET", "c", query={"limit": "10001"}).status == 412
    assert swift.ask("GET", "c", Accept="image/png").status == 406
    listed = swift.ok("GET", query={"format": "json"}).json()
    assert [(row["name"], row["count"], row["bytes"]) for row in listed] == [("c", len(names), len(names))]


def test_limits(swift: Swift) -> None:
    swift.ok("PUT", "c")
    assert swift.ask("PUT", "x" * 257).status == 400
    assert swift.ask("PUT", "c/" + "x" * 1025, b"").status == 400
    assert swift.ask("PUT", "c/o", b"", **{"X-Object-Meta-" + "n" * 129: "v"}).status == 400
    assert swift.ask("PUT", "c/o", b"", X_Object_Meta_N="v" * 257).status == 400
    assert swift.ask("PUT", "c/o", b"", **{f"X-Object-Meta-{n}": "v" for n in range(91)}).status == 400
    assert swift.ask("PUT", "c/o", b"", X_Delete_At="yesterday").status == 400
    assert swift.ask("PUT", "c/o", b"", X_Delete_At="1").status == 400
    assert swift.ask("PUT", "c/o", b"", X_Object_Manifest="c").status == 400
    assert swift.ask("GET", "c%2500").status == 404
    swift.connection.request("GET", f"{swift.account}/c/%ff", headers={"X-Auth-Token": swift.token(None)})
    answer = swift.connection.getresponse()
    assert (answer.status, answer.read()) == (412, b"Invalid UTF8 or contains NULL")


def test_large_bodies(swift: Swift) -> None:
    body = bytes(range(256)) * (5 * MIB // 256) + b"end"
    swift.ok("PUT", "c")
    assert swift.ok("PUT", "c/big", body)["ETag"] == md5(body)
    assert swift.ok("GET", "c/big").body == body
    assert swift.ask("GET", "c/big", Range="bytes=-3").body == b"end"
    parts = swift.ask("GET", "c/big", Range="bytes=0-1,-3")
    assert parts.status == 206
    assert parts["Content-Type"].startswith("multipart/byteranges")
    assert b"\r\n\r\nend\r\n" in parts.body
    swift.ok("COPY", "c/big", Destination="c/copy", X_Object_Meta_New="1")
    copy = swift.ok("HEAD", "c/copy")
    assert (copy["ETag"], copy["X-Object-Meta-New"]) == (md5(body), "1")


# --- who may


def test_roles(swift: Swift) -> None:
    """Readers look, members of other projects do not, nobody is told to sign in; nothing is done by those who may not."""
    swift.ok("PUT", "c", X_Container_Meta_Temp_URL_Key="secret")
    swift.ok("PUT", "c/o", b"x")
    swift.ok("POST", "", X_Account_Meta_Temp_URL_Key="secret")
    looks = [("GET", ""), ("HEAD", ""), ("GET", "c"), ("HEAD", "c"), ("GET", "c/o"), ("HEAD", "c/o")]
    writes = [
        ("POST", ""),
        ("PUT", "new"),
        ("PUT", "c"),
        ("POST", "c"),
        ("DELETE", "c"),
        ("PUT", "c/n"),
        ("POST", "c/o"),
        ("DELETE", "c/o"),
    ]
    cloud = swift.cloud
    for method, path in looks:
        assert swift.ask(method, path, who=cloud.reader).status < 300, (method, path)
        assert swift.ask(method, path, who=cloud.stranger).status == 403, (method, path)
        assert swift.ask(method, path, who="nobody").status == 401, (method, path)
    for method, path in [*writes, ("COPY", "c/o")]:
        for who, status in ((cloud.reader, 403), (cloud.stranger, 403), ("nobody", 401)):
            assert swift.ask(method, path, who=who, Destination="c/p").status == status, (method, path, status)
    for path in ("", "c"):
        assert not any("temp-url-key" in name for name in swift.ok("HEAD", path, who=cloud.reader).headers)
        assert any("temp-url-key" in name for name in swift.ok("HEAD", path).headers)
    assert swift.names("c") == ["o"]
    assert swift.ask("GET", "none", who=cloud.stranger).status == 403
    assert swift.ask("GET", "none").status == 404
    assert swift.ask("GET", account="/v1/AUTH_" + "0" * 32).status == 403
    assert swift.ask("GET", account="/v1/AUTH_x").status == 403


def test_what_ends_tokens(swift: Swift) -> None:
    """In the data plane as well, and at once: a new password, lost membership, a token given back."""
    swift.ok("PUT", "c")
    cloud = swift.cloud
    assert swift.ask("GET", "c", who=cloud.reader).status == 204
    ctx = Context(user=cloud.me.user, project=cloud.me.project, role="admin")
    projects.remove_member(ctx, cloud.reader.user.id)
    until(lambda: swift.ask("GET", "c", who=cloud.reader).status == 401)
    assert swift.ask("GET", account=f"/v1/AUTH_{cloud.stranger.project.id.hex}", who=cloud.stranger).status == 204
    users.reset_password(SYSTEM, cloud.stranger.user)
    until(lambda: swift.ask("GET", account=f"/v1/AUTH_{cloud.stranger.project.id.hex}", who=cloud.stranger).status == 401)
    assert swift.ask("GET", "c", who="nobody", X_Auth_Token="gAAAAnonsense").status == 401


def test_container_acls(swift: Swift) -> None:
    cloud = swift.cloud
    other, user = cloud.stranger.project, cloud.stranger.user
    swift.ok("PUT", "c")
    swift.ok("PUT", "c/o", b"x")
    for element in (f"{other.id.hex}:{user.id.hex}", f"{other.slug}:{user.email}", f"*:{user.id.hex}", f"{other.slug}:*", "*:*"):
        swift.ok("POST", "c", X_Container_Read=element)
        assert swift.ask("GET", "c/o", who=cloud.stranger).status == 200, element
        assert swift.ask("GET", "c", who=cloud.stranger).status == 200, element
        assert swift.ask("PUT", "c/n", b"x", who=cloud.stranger).status == 403
        assert swift.ask("GET", "c/o", who="nobody").status == 401
    for element in (f"{cloud.me.project.id.hex}:{user.id.hex}", other.slug, f"{other.id.hex}:{cloud.me.user.id.hex}", ""):
        swift.ok("POST", "c", X_Container_Read=element)
        assert swift.ask("GET", "c/o", who=cloud.stranger).status == 403, element
    swift.ok("POST", "c", X_Container_Write=f"{other.slug}:*")
    assert swift.ask("PUT", "c/n", b"x", who=cloud.stranger).status == 201
    assert swift.ask("GET", "c/n", who=cloud.stranger).status == 403
    assert swift.ask("DELETE", "c/n", who=cloud.stranger).status == 204
    swift.ok("POST", "c", X_Container_Read=".r:*,.r:-bad.example.com")
    assert swift.ask("GET", "c/o", who="nobody").status == 200
    assert swift.ask("GET", "c", who="nobody").status == 401
    assert swift.ask("GET", "c/o", who="nobody", Referer="http://bad.example.com/x").status == 401
    swift.ok("POST", "c", X_Container_Read=".r:*,.rlistings")
    assert swift.ask("GET", "c", who="nobody").status == 200
    assert swift.ask("POST", "c", X_Container_Write=".r:*").status == 400
    assert "X-Container-Read" not in swift.ok("HEAD", "c", who=cloud.reader)


def test_reseller_admins_and_quotas(swift: Swift) -> None:
    """A ResellerAdmin reaches every account and sets its quota; members cannot."""
    cloud = swift.cloud
    swift.ok("PUT", "c", X_Container_Meta_Quota_Count="1")
    swift.ok("PUT", "c/1", b"x")
    assert swift.ask("PUT", "c/2", b"x").status == 413
    swift.ok("POST", "c", X_Container_Meta_Quota_Count="", X_Container_Meta_Quota_Bytes="10")
    assert swift.ask("PUT", "c/2", b"x" * 10).status == 413
    swift.ok("POST", "c", X_Remove_Container_Meta_Quota_Bytes="x")
    swift.ok("PUT", "c/2", b"x" * 10)
    assert swift.ask("POST", "", X_Account_Meta_Quota_Bytes="5").status == 403
    role, _ = CustomRole.objects.get_or_create(name=roles.RESELLER_ADMIN)
    CustomGrant.objects.create(user=cloud.stranger.user, project=cloud.stranger.project, role=role)
    swift.ok("POST", "", who=cloud.stranger, X_Account_Meta_Quota_Bytes="12")
    assert swift.ask("PUT", "c/3", b"xx").status == 413
    assert swift.ok("HEAD")["X-Account-Meta-Quota-Bytes"] == "12"
    swift.ok("PUT", "c/3", b"xx", who=cloud.stranger)
    swift.ok("POST", "", who=cloud.stranger, X_Remove_Account_Meta_Quota_Bytes="x")
    swift.ok("PUT", "c/4", b"xx")


# --- signed addresses


def signed(
    swift: Swift, method: str, path: str, key: str, *, expires: int = 0, prefix: str | None = None, digest: str = "sha256"
) -> dict[str, str]:
    expires = expires or int(time.time()) + 60
    scope = f"prefix:{swift.account}/{path.partition('/')[0]}/{prefix}" if prefix is not None else f"{swift.account}/{path}"
    signature = hmac.new(key.encode(), f"{method}\n{expires}\n{scope}".encode(), digest).hexdigest()
    return {"temp_url_sig": signature, "temp_url_expires": str(expires)} | ({"temp_url_prefix": prefix} if prefix is not None else {})


def test_temp_urls(swift: Swift) -> None:
    swift.ok("POST", "", X_Account_Meta_Temp_URL_Key="account key")
    swift.ok("PUT", "c", X_Container_Meta_Temp_URL_Key="container key")
    swift.ok("PUT", "d")
    for path in ("c/o", "c/dir/p", "d/q"):
        swift.ok("PUT", path, path.encode(), X_Object_Meta_Secret="1")

    def by(method: str, path: str, key: str, at: str = "", **more: Any) -> int:
        return swift.ask(at or method, path, who="nobody", query=signed(swift, method, path, key, **more)).status

    for digest in ("sha1", "sha256", "sha512"):
        assert by("GET", "c/o", "account key", digest=digest) == 200
    assert by("GET", "c/o", "container key") == 200
    assert by("GET", "c/o", "container key", at="HEAD") == 200
    assert by("GET", "d/q", "account key") == 200
    assert by("GET", "d/q", "container key") == 401
    assert by("GET", "c/o", "another key") == 401
    assert by("GET", "c/o", "account key", expires=int(time.time()) - 1) == 401
    assert by("GET", "c/o", "account key", at="PUT") == 401
    assert by("GET", "c/o", "account key", at="DELETE") == 401
    assert by("GET", "c/dir/p", "account key", prefix="dir/") == 200
    assert by("GET", "c/o", "account key", prefix="dir/") == 401
    assert swift.ask("GET", "c/dir/p", who="nobody", query=signed(swift, "GET", "c/o", "account key")).status == 401
    assert swift.ask("GET", "c", who="nobody", query=signed(swift, "GET", "c/", "account key", prefix="")).status == 401
    download = swift.ask("GET", "c/o", who="nobody", query=signed(swift, "GET", "c/o", "account key") | {"filename": 'ö".txt'})
    assert download["Content-Disposition"].startswith("attachment; filename=")
    assert "X-Object-Meta-Secret" not in download
    upload = signed(swift, "PUT", "c/up", "container key")
    assert swift.ask("PUT", "c/up", b"new", who="nobody", query=upload).status == 201
    assert swift.ask("PUT", "c/up", b"", who="nobody", query=upload, X_Copy_From="d/q").status == 400
    assert swift.ask("PUT", "c/up", b"", who="nobody", query=upload, X_Object_Manifest="d/q").status == 400
    assert swift.ask("PUT", "c/up", b"[]", who="nobody", query=upload | {"multipart-manifest": "put"}).status == 400
    # An address to delete one object deletes no other.
    query = signed(swift, "DELETE", "c/up", "account key") | {"bulk-delete": ""}
    assert swift.ask("DELETE", "c/up", b"c/o\nd/q\n", who="nobody", query=query).status == 401
    assert swift.ok("GET", "c/o").body == b"c/o"
    # A manifest in a container leads no further than its key does.
    swift.ok("PUT", "c/all", b"", X_Object_Manifest="d/q")
    assert by("GET", "c/all", "container key") == 401
    assert by("GET", "c/all", "account key") == 200


def test_forms(swift: Swift) -> None:
    """A browser's form puts its files under the prefix that was signed, and none that is too large or too many."""
    swift.ok("PUT", "c", X_Container_Meta_Temp_URL_Key="key")
    expires = int(time.time()) + 60

    def post(files: list[tuple[str, bytes]], *, size: int = 100, count: int = 2, key: str = "key", redirect: str = "") -> Any:
        path = f"{swift.account}/c/in/"
        text = f"{path}\n{redirect}\n{size}\n{count}\n{expires}"
        signature = hmac.new(key.encode(), text.encode(), "sha256").hexdigest()
        fields = {"redirect": redirect, "max_file_size": size, "max_file_count": count, "expires": expires, "signature": signature}
        body = "".join(f'--xyz\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()).encode()
        for number, (name, content) in enumerate(files):
            head = f'--xyz\r\nContent-Disposition: form-data; name="file{number}"; filename="{name}"\r\nContent-Type: text/x-test\r\n\r\n'
            body += head.encode() + content + b"\r\n"
        return swift.ask("POST", "c/in/", body + b"--xyz--\r\n", who="nobody", Content_Type="multipart/form-data; boundary=xyz")

    assert post([("a.txt", b"one\r\n--xy\r\n"), ("b.txt", b"")]).status == 201
    assert swift.ok("GET", "c/in/a.txt").body == b"one\r\n--xy\r\n"
    assert swift.ok("GET", "c/in/a.txt")["Content-Type"] == "text/x-test"
    assert swift.ok("GET", "c/in/b.txt").body == b""
    assert post([("c.txt", b"x" * 101)]).status == 413
    assert post([("d", b"1"), ("e", b"2"), ("f", b"3")]).status == 400
    assert post([("g", b"1")], key="other").status == 401
    sent = post([("h", b"1")], redirect="https://example.org/done?x=1")
    assert (sent.status, sent["Location"]) == (303, "https://example.org/done?x=1&status=201&message=")
    assert "in/c.txt" not in swift.names("c")
    assert "in/g" not in swift.names("c")


def test_a_signature_ends_at_its_account(swift: Swift) -> None:
    """A link may point anywhere; an address signed by one account never opens through it what lies in another."""
    guest = swift.cloud.stranger
    theirs = f"AUTH_{guest.project.id.hex}"
    swift.ok("PUT", "c", who=guest, account=f"/v1/{theirs}")
    swift.ok("PUT", "c/private", b"private", who=guest, account=f"/v1/{theirs}")
    swift.ok("POST", "", X_Account_Meta_Temp_URL_Key="key")
    swift.ok("PUT", "c")
    swift.ok("PUT", "c/mine", b"mine")
    swift.ok("PUT", "c/inside", X_Symlink_Target="c/mine")
    assert swift.ask("GET", "c/inside", who="nobody", query=signed(swift, "GET", "c/inside", "key")).body == b"mine"
    for target in ("c/private", "c/none", "none/none"):
        swift.ok("PUT", "c/outside", X_Symlink_Target=target, X_Symlink_Target_Account=theirs)
        for method in ("GET", "HEAD"):
            answer = swift.ask(method, "c/outside", who="nobody", query=signed(swift, method, "c/outside", "key"))
            assert answer.status == 401, (method, target, answer.body)
    swift.ok("POST", "c", who=guest, account=f"/v1/{theirs}", X_Container_Read=".r:*")
    swift.ok("PUT", "c/outside", X_Symlink_Target="c/private", X_Symlink_Target_Account=theirs)
    assert swift.ask("GET", "c/outside", who="nobody", query=signed(swift, "GET", "c/outside", "key")).body == b"private"


# --- one store with S3


def test_one_store_with_s3(swift: Swift) -> None:
    cloud, s3 = swift.cloud, swift.cloud.client()
    bucket = cloud.bucket(s3)
    s3.put_object(
        Bucket=bucket, Key="from-s3", Body=b"hello", Metadata={"color": "blue"}, ContentType="text/x-s3", ContentEncoding="identity"
    )
    found = swift.ok("GET", f"{bucket}/from-s3")
    assert (found.body, found["X-Object-Meta-Color"], found["Content-Type"]) == (b"hello", "blue", "text/x-s3")
    assert bucket in swift.names("")
    swift.ok("PUT", "Made by Swift")
    swift.ok("PUT", f"{bucket}/from-swift", b"swift", X_Object_Meta_Size="5")
    back = s3.get_object(Bucket=bucket, Key="from-swift")
    assert (back["Body"].read(), back["Metadata"], back["ETag"]) == (b"swift", {"size": "5"}, f'"{md5(b"swift")}"')
    assert {row["Name"] for row in s3.list_buckets()["Buckets"]} == {bucket, "Made by Swift"}
    # Multipart uploads of the one are objects of the other.
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    parts = []
    for number, body in ((1, b"a" * 5 * MIB), (2, b"b")):
        done = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    assert swift.ask("GET", f"{bucket}/parts", Range="bytes=-2").body == b"ab"
    # What a bucket's policy denies, it denies here.
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/from-s3"}],
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    until(lambda: swift.ask("GET", f"{bucket}/from-s3").status == 403)
    assert swift.ask("GET", f"{bucket}/from-swift").status == 200
    s3.delete_bucket_policy(Bucket=bucket)
    # Versions are the same, whoever looks.
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert swift.ok("HEAD", bucket)["X-Versions-Enabled"] == "True"
    swift.ok("PUT", f"{bucket}/v", b"1")
    s3.put_object(Bucket=bucket, Key="v", Body=b"2")
    rows = swift.ok("GET", bucket, query="versions&format=json&prefix=v").json()
    assert [row["is_latest"] for row in rows] == [True, False]
    assert swift.ok("GET", f"{bucket}/v", query={"version-id": rows[1]["version_id"]}).body == b"1"
    # An object that S3 encrypts is read, and written encrypted, here as well.
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rules)
    swift.ok("PUT", f"{bucket}/sealed", b"secret" * 100_000)
    assert s3.head_object(Bucket=bucket, Key="sealed")["ServerSideEncryption"] == "AES256"
    assert swift.ok("GET", f"{bucket}/sealed").body == b"secret" * 100_000


def test_object_lock_holds_here(swift: Swift) -> None:
    """A default retention of S3's covers what Swift writes, and Swift deletes no version that is locked."""
    s3 = swift.cloud.client()
    bucket = swift.cloud.bucket(s3, ObjectLockEnabledForBucket=True)
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=rule)
    version = swift.ok("PUT", f"{bucket}/o", b"x")["X-Object-Version-Id"]
    assert swift.ask("DELETE", f"{bucket}/o", query={"version-id": version}).status == 403
    assert swift.ask("DELETE", f"{bucket}/o").status == 204
    assert swift.ok("GET", f"{bucket}/o", query={"version-id": version}).body == b"x"


# --- large objects, links, versions


def test_static_large_objects(swift: Swift) -> None:
    swift.ok("PUT", "c")
    for name in "ab":
        swift.ok("PUT", f"c/{name}", name.encode() * MIB)
    rows = [{"path": "c/a", "etag": md5(b"a" * MIB), "size_bytes": MIB}, {"path": "/c/b", "range": "1-2"}, {"data": "eHl6"}]
    made = swift.ok("PUT", "c/all", json.dumps(rows).encode(), query={"multipart-manifest": "put"})
    found = swift.ok("GET", "c/all")
    assert found.body == b"a" * MIB + b"bb" + b"xyz"
    assert (found["X-Static-Large-Object"], found["ETag"]) == ("True", made["ETag"])
    assert swift.ask("GET", "c/all", Range=f"bytes={MIB - 1}-{MIB + 3}").body == b"abbxy"
    assert swift.ask("GET", "c/all", query={"part-number": "2"}).body == b"bb"
    assert swift.ok("HEAD", "c/all")["Content-Length"] == str(MIB + 5)
    assert [row["bytes"] for row in swift.ok("GET", "c", query={"format": "json", "prefix": "all"}).json()] == [MIB + 5]
    kept = swift.ok("GET", "c/all", query={"multipart-manifest": "get"}).json()
    assert kept[0]["hash"] == md5(b"a" * MIB)
    for wrong in (
        b"{",
        b"{}",
        b"[]",
        b"[1]",
        b'[{"path": "c"}]',
        b'[{"path": "c/none"}]',
        b'[{"path": "c/a", "etag": "x"}]',
        b'[{"data": "%"}]',
    ):
        assert swift.ask("PUT", "c/w", wrong, query={"multipart-manifest": "put"}).status == 400, wrong
    swift.ok("PUT", "c/a", b"changed")
    assert swift.ask("GET", "c/all").status == 409
    report = swift.ok("DELETE", "c/all", query={"multipart-manifest": "delete"}, Accept="application/json").json()
    assert report["Number Deleted"] == 3
    assert swift.names("c") == []


def test_dynamic_large_objects(swift: Swift) -> None:
    swift.ok("PUT", "c")
    for name in "123":
        swift.ok("PUT", f"c/seg/{name}", name.encode() * 3)
    swift.ok("PUT", "c/all", b"", X_Object_Manifest="c/seg/")
    assert swift.ok("GET", "c/all").body == b"111222333"
    assert swift.ask("GET", "c/all", Range="bytes=2-6").body == b"12223"
    swift.ok("COPY", "c/all", Destination="c/whole")
    assert swift.ok("GET", "c/whole")["ETag"] == md5(b"111222333")
    assert "X-Object-Manifest" not in swift.ok("HEAD", "c/whole")


def test_links(swift: Swift) -> None:
    swift.ok("PUT", "c")
    etag = swift.ok("PUT", "c/o", b"target")["ETag"]
    swift.ok("PUT", "c/link", b"", X_Symlink_Target="c/o")
    swift.ok("PUT", "c/static", b"", X_Symlink_Target="c/o", X_Symlink_Target_Etag=etag)
    assert swift.ok("GET", "c/link").body == swift.ok("GET", "c/static").body == b"target"
    assert swift.ok("GET", "c/link", query={"symlink": "get"})["X-Symlink-Target"] == "c/o"
    swift.ok("PUT", "c/o", b"other")
    assert swift.ok("GET", "c/link").body == b"other"
    assert swift.ask("GET", "c/static").status == 409
    assert swift.ask("PUT", "c/bad", b"", X_Symlink_Target="c/o", X_Symlink_Target_Etag=etag).status == 409
    assert swift.ask("PUT", "c/bad", b"", X_Symlink_Target="o").status == 412
    assert swift.ask("PUT", "c/bad", b"x", X_Symlink_Target="c/o").status == 400
    swift.ok("PUT", "c/loop1", b"", X_Symlink_Target="c/loop2")
    swift.ok("PUT", "c/loop2", b"", X_Symlink_Target="c/loop1")
    assert swift.ask("GET", "c/loop1").status == 409
    # A link leads nobody to what they may not read.
    other = f"AUTH_{swift.cloud.stranger.project.id.hex}"
    swift.ok("PUT", "c/away", b"", X_Symlink_Target="theirs/o", X_Symlink_Target_Account=other)
    assert swift.ask("GET", "c/away").status == 403


def test_versions(swift: Swift) -> None:
    swift.ok("PUT", "c", X_Versions_Enabled="true")
    ids = [swift.ok("PUT", "c/o", body)["X-Object-Version-Id"] for body in (b"1", b"2")]
    assert swift.ok("DELETE", "c/o")["X-Object-Version-Id"] not in ids
    assert swift.ask("GET", "c/o").status == 404
    assert swift.ok("GET", "c/o", query={"version-id": ids[0]}).body == b"1"
    assert swift.ask("GET", "c/o", query={"version-id": "nonsense"}).status == 400
    swift.ok("PUT", "c/o", b"", query={"version-id": ids[0]})
    assert swift.ok("GET", "c/o").body == b"1"
    rows = swift.ok("GET", "c", query="versions&format=json").json()
    assert swift.ok("GET", "c", query="versions&reverse=true").json() == rows[::-1]
    assert swift.ask("DELETE", "c").status == 409
    latest = next(row["version_id"] for row in rows if row["is_latest"])
    swift.ok("DELETE", "c/o", query={"version-id": latest})
    assert swift.ask("GET", "c/o").status == 404, "no older version takes the place of one that was deleted"
    for row in swift.ok("GET", "c", query="versions").json():
        swift.ok("DELETE", "c/o", query={"version-id": row["version_id"]})
    assert swift.ok("DELETE", "c").status == 204


@pytest.mark.parametrize("mode", ["X_Versions_Location", "X_History_Location"])
def test_versions_of_old(swift: Swift, mode: str) -> None:
    swift.ok("PUT", "old")
    swift.ok("PUT", "c", **{mode: "old"})
    for body in (b"1", b"2", b"3"):
        swift.ok("PUT", "c/o", body)
    assert len(swift.names("old", prefix="001o/")) == 2
    swift.ok("DELETE", "c/o")
    if mode == "X_Versions_Location":
        assert swift.ok("GET", "c/o").body == b"2"
        assert len(swift.names("old")) == 1
    else:
        assert swift.ask("GET", "c/o").status == 404
        assert len(swift.names("old")) == 4


def test_a_version_of_a_manifest_goes_with_its_segments(swift: Swift) -> None:
    """DELETE ?version-id&multipart-manifest=delete takes that version and its segments, and leaves the other versions alone."""
    swift.ok("PUT", "parts")
    swift.ok("PUT", "c", X_Versions_Enabled="true")
    ids = []
    for name in ("a", "b"):
        swift.ok("PUT", f"parts/{name}", name.encode() * 4)
        manifest = json.dumps([{"path": f"/parts/{name}"}]).encode()
        ids.append(swift.ok("PUT", "c/big", manifest, query={"multipart-manifest": "put"})["X-Object-Version-Id"])
    report = swift.ok("DELETE", "c/big", query={"multipart-manifest": "delete", "version-id": ids[0]}, Accept="application/json").json()
    assert (report["Number Deleted"], report["Errors"]) == (2, [])
    assert swift.names("parts") == ["b"]
    assert [row["version_id"] for row in swift.ok("GET", "c", query="versions&format=json").json()] == [ids[1]]
    assert swift.ok("GET", "c/big").body == b"bbbb"


def test_a_heartbeat_tells_what_came_of_it(swift: Swift) -> None:
    """With heartbeat=on the answer is always 202, and its body says what a plain answer would have said."""
    swift.ok("PUT", "c")
    swift.ok("PUT", "c/part", b"part")

    def put(path: str, **more: str) -> Any:
        body = json.dumps([{"path": path}]).encode()
        answer = swift.ask("PUT", "c/big", body, query={"multipart-manifest": "put", "heartbeat": "on"}, Accept="application/json", **more)
        assert answer.status == 202
        return answer.json()

    assert put("/c/part")["Response Status"] == "201 Created"
    wrong = put("/c/none")
    assert (wrong["Response Status"], wrong["Errors"]) == ("400 Bad Request", [["/c/none", "404 Not Found"]])
    assert put("/c/part", ETag="0" * 32)["Response Status"] == "422 Unprocessable Entity"


def test_a_token_at_a_wrong_address_is_told_so_in_swifts_words(swift: Swift) -> None:
    """What shows a token of Keystone's is never answered in S3's language."""
    answer = swift.ask("GET", account="/nowhere")
    assert (answer.status, answer["X-Trans-Id"][:2]) == (412, "tx")


def test_an_older_version_made_the_object_again(swift: Swift) -> None:
    """PUT ?version-id: to Swift that is the same version, now the latest, whatever the store keeps for it; deleted, it is gone."""
    swift.ok("PUT", "c", X_Versions_Enabled="true")
    first, second = (swift.ok("PUT", "c/o", body)["X-Object-Version-Id"] for body in (b"1", b"2"))

    def listed() -> list[tuple[str, bool]]:
        return [(row["version_id"], row["is_latest"]) for row in swift.ok("GET", "c", query="versions&format=json").json()]

    assert swift.ok("PUT", "c/o", query={"version-id": first})["X-Object-Version-Id"] == first
    found = swift.ok("GET", "c/o")
    assert (found.body, found["X-Object-Version-Id"]) == (b"1", first)
    assert listed() == [(second, False), (first, True)]
    third = swift.ok("PUT", "c/o", b"3")["X-Object-Version-Id"]
    assert listed() == [(third, True), (second, False), (first, False)]
    swift.ok("PUT", "c/o", query={"version-id": first})
    swift.ok("DELETE", "c/o", query={"version-id": first})
    assert swift.ask("GET", "c/o").status == 404
    assert listed() == [(third, False), (second, False)]
    for id in (second, third):
        swift.ok("DELETE", "c/o", query={"version-id": id})
    swift.ok("DELETE", "c")


def test_links_copied_to_another_account(swift: Swift) -> None:
    """A link without an account of its own means that of where it lies; with one, it goes on meaning that."""
    guest = swift.cloud.stranger
    theirs = f"/v1/AUTH_{guest.project.id.hex}"
    mine = swift.account.rpartition("/")[2]
    swift.ok("PUT", "c", X_Container_Read=f"{guest.project.id.hex}:*")
    swift.ok("PUT", "c/target", b"mine")
    swift.ok("PUT", "c/link", X_Symlink_Target="c/target")
    swift.ok("PUT", "c", who=guest, account=theirs)
    given = {"X_Copy_From": "c/link", "X_Copy_From_Account": mine}
    swift.ok("PUT", "c/link", who=guest, account=theirs, query={"symlink": "get"}, **given)
    assert swift.ask("GET", "c/link", who=guest, account=theirs).status == 404
    swift.ok("PUT", "c/target", b"theirs", who=guest, account=theirs)
    assert swift.ok("GET", "c/link", who=guest, account=theirs).body == b"theirs"
    swift.ok("PUT", "c/link", who=guest, account=theirs, query={"symlink": "get"}, X_Symlink_Target_Account=mine, **given)
    assert swift.ok("GET", "c/link", who=guest, account=theirs).body == b"mine"
    swift.ok("POST", "c", X_Remove_Container_Read="x")
    closed = swift.ask("GET", "c/link", who=guest, account=theirs)
    assert (closed.status, closed["Content-Location"]) == (403, f"{swift.account}/c/target")


# --- many at once, sites


def test_bulk(swift: Swift) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, body in (("one/a.txt", b"a"), ("one/b/c.html", b"c" * 100_000), ("two/x", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    done = swift.ok("PUT", "", packed.getvalue(), query={"extract-archive": "tar.gz"}, Accept="application/json").json()
    assert (done["Number Files Created"], done["Response Status"]) == (3, "201 Created")
    assert swift.names("one") == ["a.txt", "b/c.html"]
    assert swift.ok("GET", "one/b/c.html")["Content-Type"] == "text/html"
    bad = swift.ok("PUT", "one", b"no archive" * 100, query={"extract-archive": "tar"}, Accept="application/json").json()
    assert bad["Response Status"] == "400 Bad Request"
    assert swift.ask("PUT", "", b"x", query={"extract-archive": "tar"}, who=swift.cloud.reader).status == 403
    names = b"one/a.txt\none/b%2Fc.html\none/none\n/two/x\ntwo\n"
    for who in (swift.cloud.reader, swift.cloud.stranger):
        report = swift.ok("POST", "", names, query="bulk-delete", who=who, Accept="application/json").json()
        assert report["Number Deleted"] == 0
    report = swift.ok("POST", "", names, query="bulk-delete", Accept="application/json").json()
    assert (report["Number Deleted"], report["Number Not Found"], report["Errors"]) == (4, 1, [])
    assert swift.names("") == ["one"]


def test_sites(swift: Swift) -> None:
    """Listings escape what uploads are called; without a right to read there is no page."""
    swift.ok("PUT", "c", X_Container_Read=".r:*,.rlistings", X_Container_Meta_Web_Listings="true", X_Container_Meta_Web_Error="e.html")
    swift.ok("PUT", "c/<script>alert(1)</script>", b"x")
    swift.ok("PUT", "c/404e.html", b"gone")
    swift.ok("PUT", "c/dir/x", b"x")
    page = swift.ask("GET", "c/", who="nobody")
    assert page.status == 200
    assert b"<script>" not in page.body
    assert b"&lt;script&gt;" in page.body
    assert swift.ask("GET", "c", who="nobody").status == 301
    assert swift.ask("GET", "c/dir", who="nobody").status == 301
    missing = swift.ask("GET", "c/none", who="nobody")
    assert (missing.status, missing.body) == (404, b"gone")
    swift.ok("PUT", "c/index.html", b"home")
    swift.ok("POST", "c", X_Container_Meta_Web_Index="index.html")
    assert swift.ask("GET", "c/", who="nobody").body == b"home"
    swift.ok("POST", "c", X_Remove_Container_Read="x")
    assert swift.ask("GET", "c/", who="nobody").status == 401


def test_cors(swift: Swift) -> None:
    swift.ok("PUT", "c", X_Container_Meta_Access_Control_Allow_Origin="https://ok.example", X_Container_Meta_Access_Control_Max_Age="9")
    swift.ok("PUT", "c/o", b"x")
    asked = {"Access_Control_Request_Method": "GET"}
    good = swift.ask("OPTIONS", "c/o", who="nobody", Origin="https://ok.example", **asked)
    assert (good.status, good["Access-Control-Allow-Origin"], good["Access-Control-Max-Age"]) == (200, "https://ok.example", "9")
    assert swift.ask("OPTIONS", "c/o", who="nobody", Origin="https://bad.example", **asked).status == 401
    assert swift.ask("GET", "c/o", Origin="https://ok.example")["Access-Control-Allow-Origin"] == "https://ok.example"
    assert "Access-Control-Allow-Origin" not in swift.ask("GET", "c/o", Origin="https://bad.example")


# --- hostile input


@given(st.text(max_size=60))
def test_acls_are_cleaned_or_refused(text: str) -> None:
    """A list is kept in a form that cleans to itself, and never lets in who has no name."""
    try:
        kept = acls.clean("x-container-read", text)
    except AclInvalid:
        return
    assert acls.clean("x-container-read", kept) == kept
    assert not acls.by_name(kept, Names())


@given(st.text(max_size=140))
def test_signatures_of_any_text(text: str) -> None:
    found = tempurl.signature_of(text)
    assert found is None or found[0] in ("sha1", "sha256", "sha512")


METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS")
NASTY = st.text(st.sampled_from("c/o%2500ÿ\\?&=;:<>'\"*\u202e" + "ab"), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(METHODS),
    path=NASTY,
    query=st.dictionaries(
        st.sampled_from(
            [
                "versions",
                "version-id",
                "symlink",
                "multipart-manifest",
                "limit",
                "marker",
                "reverse",
                "format",
                "part-number",
                "temp_url_sig",
            ]
        ),
        NASTY,
        max_size=3,
    ),
    header=st.sampled_from(
        ["X_Copy_From", "Destination", "X_Symlink_Target", "Range", "X_Object_Manifest", "If_Match", "X_Delete_At", "Accept"]
    ),
    value=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
)
def test_hostile_requests(swift: Swift, method: str, path: str, query: dict[str, str], header: str, value: str) -> None:
    """Whatever is asked: an answer, and never an error of ours."""
    swift.ask("PUT", "c")
    answer = swift.ask(method, f"c/{path}", b"", query=query, **{header: value})
    assert answer.status < 500 or answer.status == 501, answer.body


def _all(kind: type[CloudError]) -> list[type[CloudError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _all(below))]


@pytest.mark.parametrize("kind", [kind for kind in _all(meanings.CloudError) if kind.__module__ == "cloudbox.common.errors"])
def test_every_meaning_has_an_answer(kind: type[CloudError]) -> None:
    answer = errors.render(kind("Said plainly."), realm="AUTH_x", head=False)
    assert 400 <= answer.status < 600


def test_credentials_of_applications(swift: Swift) -> None:
    """An application credential's token does what its role does."""
    from identity import tokens
    from identity.token_format import Scope, ScopeKind

    me = swift.cloud.me
    row, _ = credentials.create_token(Context(user=me.user, project=me.project, role="admin"), name="look", role="reader")
    text, _ = tokens.issue(me.user, methods=("application_credential",), scope=Scope(ScopeKind.PROJECT, me.project.id), credential=row)
    swift.ok("PUT", "c")
    assert swift.ask("GET", "c", who="nobody", X_Auth_Token=text).status == 204
    assert swift.ask("PUT", "d", who="nobody", X_Auth_Token=text).status == 403
