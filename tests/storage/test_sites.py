"""Hosts: buckets as websites in all their answers, and buckets named by the host by both versions of signatures."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.server.running import Answer, Client
from tests.storage.conftest import Cloud


class Site:
    def __init__(self, cloud: Cloud, **configuration: Any) -> None:
        self.cloud, self.s3 = cloud, cloud.client()
        self.bucket = cloud.bucket(self.s3)
        self.host = f"{self.bucket}.s3-website.localhost"
        self.s3.put_bucket_acl(Bucket=self.bucket, ACL="public-read")
        self.s3.put_bucket_website(Bucket=self.bucket, WebsiteConfiguration=configuration)

    def put(self, key: str, body: bytes, **more: Any) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ACL="public-read", **more)

    def ask(self, path: str, *, method: str = "GET", headers: str = "", host: str = "") -> Answer:
        with Client(self.cloud.port) as client:
            length = "Content-Length: 0\r\n" if method == "POST" else ""
            client.send(f"{method} {path} HTTP/1.1\r\nHost: {host or self.host}\r\n{length}{headers}\r\n".encode())
            return client.answer(method=method)


def test_all_to_another_host(cloud: Cloud) -> None:
    site = Site(cloud, RedirectAllRequestsTo={"HostName": "www.example.org", "Protocol": "https"})
    answer = site.ask("/a%20b/c?x=y")
    assert (answer.status, answer.headers["location"]) == (301, "https://www.example.org/a%20b/c")
    assert site.ask("/", method="HEAD").status == 301


def test_rules_for_errors(cloud: Cloud) -> None:
    """A rule for what is missing, with the whole name replaced; what is closed has the error page."""
    rules = [
        {
            "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "app/"},
            "Redirect": {"ReplaceKeyWith": "app/index.html", "HttpRedirectCode": "307"},
        }
    ]
    site = Site(cloud, IndexDocument={"Suffix": "index.html"}, ErrorDocument={"Key": "oops.html"}, RoutingRules=rules)
    site.put("oops.html", b"<p>oops")
    site.put("app/there", b"there")
    assert site.ask("/app/there").body == b"there"
    answer = site.ask("/app/missing")
    assert (answer.status, answer.headers["location"]) == (307, f"http://{site.host}/app/index.html")
    assert (site.ask("/missing").status, site.ask("/missing").body) == (404, b"<p>oops")
    # A part of the error page is no error page, whatever part was asked for.
    assert site.ask("/missing", headers="Range: bytes=0-1\r\nIf-None-Match: *\r\n").body == b"<p>oops"
    head = site.ask("/missing", method="HEAD")
    assert (head.status, head.headers["content-length"]) == (404, "7")


def test_pages_as_browsers_ask_for_them(cloud: Cloud) -> None:
    site = Site(cloud, IndexDocument={"Suffix": "index.html"})
    site.put("index.html", b"home", ContentType="text/html", CacheControl="max-age=60")
    site.put("/evil.example/index.html", b"a name that begins with a slash")
    site.put("film", bytes(range(100)))
    home = site.ask("/")
    assert (home.status, home.body, home.headers["content-type"], home.headers["cache-control"]) == (
        200,
        b"home",
        "text/html",
        "max-age=60",
    )
    assert site.ask("/", headers=f"If-None-Match: {home.headers['etag']}\r\n").status == 304
    part = site.ask("/film", headers="Range: bytes=10-19\r\n")
    assert (part.status, part.body) == (206, bytes(range(10, 20)))
    assert site.ask("/", host=f"{site.host}.:{cloud.port}").body == b"home"  # A name with its final dot is the same name.
    slash = site.ask("//evil.example")
    assert slash.status == 302
    assert not slash.headers["location"].startswith("//")
    assert site.ask(slash.headers["location"]).body == b"a name that begins with a slash"


def test_what_is_no_page(cloud: Cloud) -> None:
    """Other methods, signatures, buckets that are none or no site; names are shown as text, not as markup."""
    site = Site(cloud, IndexDocument={"Suffix": "index.html"})
    assert site.ask("/", method="POST").status == 405
    assert "GET, HEAD" in site.ask("/", method="DELETE").headers["allow"]
    missing = site.ask("/<script>alert(1)</script>".replace("<", "%3C").replace(">", "%3E"))
    assert missing.status == 404
    assert "<script>" not in missing.text
    assert site.ask("/", host="no-such-bucket-here.s3-website.localhost").status == 404
    plain = cloud.bucket()
    answer = site.ask("/", host=f"{plain}.s3-website.localhost")
    assert (answer.status, "NoSuchWebsiteConfiguration" in answer.text) == (404, True)
    site.s3.put_object(Bucket=site.bucket, Key="closed", Body=b"x")
    assert site.ask("/closed").status == 403


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_buckets_named_by_the_host(cloud: Cloud, version: str) -> None:
    """Objects, subresources, parts and the list of all buckets; the host's name is part of what is signed."""
    s3 = boto3.client(
        "s3",
        endpoint_url="http://s3.localhost",
        aws_access_key_id=cloud.me.key,
        aws_secret_access_key=cloud.me.secret,
        region_name="us-east-1",
        config=Config(
            s3={"addressing_style": "virtual"}, signature_version=version, proxies={"http": cloud.url}, retries={"max_attempts": 0}
        ),
    )
    bucket = cloud.bucket(s3)
    for key in ("k", "a b/ü+&?", "acl"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata={"m": "1"})
        assert s3.get_object(Bucket=bucket, Key=key, ResponseContentType="a/b")["ContentType"] == "a/b"
        s3.put_object_acl(Bucket=bucket, Key=key, ACL="public-read")
        assert len(s3.get_object_acl(Bucket=bucket, Key=key)["Grants"]) == 2
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    etag = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    done = s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=parts)
    assert done["Location"] == f"http://{bucket}.s3.localhost/parts"
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "parts"}]})
    assert [one["Key"] for one in s3.list_objects(Bucket=bucket)["Contents"]] == ["a b/ü+&?", "acl"]
    assert bucket in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    with Client(cloud.port) as client:
        # One bucket's signed request under another bucket's name.
        other = cloud.bucket()
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "acl"}).partition(".localhost")[2]
        client.send(f"GET {url} HTTP/1.1\r\nHost: {bucket}.s3.localhost\r\n\r\n".encode())
        assert client.answer().status == 200
        client.send(f"GET {url} HTTP/1.1\r\nHost: {other}.s3.localhost\r\n\r\n".encode())
        assert client.answer().status == 403
