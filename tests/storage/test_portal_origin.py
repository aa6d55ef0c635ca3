"""The portal's pages reach the store without CORS rules of the bucket, by presigned addresses only; what these show never runs."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import pytest

from cloudbox.common.object_client import Endpoint, ObjectClient
from cloudbox.common.object_signing import Keys
from identity import temporary
from storage.api.s3 import portal
from storage.api.s3.portal import Portal, of_box
from tests.storage.conftest import Cloud

PAGES = Portal(ports=[8000])


@pytest.mark.parametrize(
    ("origin", "host", "yes"),
    [
        ("http://box.example:8000", "box.example:9000", True),
        ("https://box.example:8000", "box.example:9443", True),
        ("http://[::1]:8000", "[::1]:9000", True),
        ("http://BOX.example:8000", "box.example:9000", True),
        ("http://box.example:8001", "box.example:9000", False),
        ("http://evil.example:8000", "box.example:9000", False),
        ("http://box.example:8000.evil.example", "box.example:9000", False),
        ("http://box.example:8000/path", "box.example:9000", False),
        ("http://user@box.example:8000", "box.example:9000", False),
        ("null", "box.example:9000", False),
        ("", "", False),
        ("http://box.example:port", "box.example:9000", False),
        ("file://box.example:8000", "box.example:9000", False),
    ],
)
def test_whose_pages(origin: str, host: str, yes: bool) -> None:
    assert PAGES.includes(origin, host) is yes


def test_named_origins() -> None:
    pages = of_box({"port": 8000, "url": "https://cloud.example/start", "portal_origins": ["http://localhost:8080"]})
    assert pages.includes("https://cloud.example", "store.example:9000")
    assert pages.includes("http://localhost:8080", "10.0.0.1:9000")
    assert not pages.includes("http://cloud.example", "store.example:9000")


def ask(cloud: Cloud, method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=10)
    parts = urlsplit(url)
    connection.request(method, f"{parts.path}?{parts.query}", body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


def presign(cloud: Cloud, verb: str, **params: Any) -> str:
    return cloud.client(signature_version="s3v4").generate_presigned_url(verb, Params=params, ExpiresIn=60)  # type: ignore[no-any-return]


@pytest.fixture
def page(cloud: Cloud) -> str:
    """The origin of the portal's pages, as the tests' data plane knows it."""
    cloud.pages.ports = frozenset([8123])
    return "http://127.0.0.1:8123"


def test_a_page_uploads_by_a_presigned_address(cloud: Cloud, page: str) -> None:
    bucket = cloud.bucket()
    url = presign(cloud, "put_object", Bucket=bucket, Key="a")
    asked = {"Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "content-type,x-amz-checksum-crc32,cookie"}
    status, said = ask(cloud, "OPTIONS", url, Origin=page, **asked)
    assert (status, said["access-control-allow-origin"]) == (200, page)
    assert said["access-control-allow-headers"] == "content-type, x-amz-checksum-crc32"
    assert "access-control-allow-credentials" not in said
    status, said = ask(cloud, "PUT", url, b"hello", Origin=page)
    assert (status, said["access-control-allow-origin"]) == (200, page)
    assert "etag" in said["access-control-expose-headers"].lower()
    # A refusal can be read, too: else a page could not tell why.
    status, said = ask(cloud, "PUT", url[:-1] + ("0" if url[-1] != "0" else "1"), b"hello", Origin=page)
    assert (status, said["access-control-allow-origin"]) == (403, page)


def test_nobody_else_and_nothing_else(cloud: Cloud, page: str) -> None:
    bucket = cloud.bucket()
    cloud.client().put_object(Bucket=bucket, Key="a", Body=b"x", ACL="public-read")
    url = presign(cloud, "get_object", Bucket=bucket, Key="a")
    for origin, address in (("http://127.0.0.1:8124", url), ("http://localhost:8123", url), (page, f"/{bucket}/a")):
        status, said = ask(cloud, "GET", address, Origin=origin)
        assert (status, said.get("access-control-allow-origin")) == (200, None), (origin, address)
        assert ask(cloud, "OPTIONS", address, Origin=origin, Access_Control_Request_Method="GET")[0] == 403


def test_an_address_may_name_its_page(cloud: Cloud) -> None:
    """Behind a forwarded port only the portal knows where its page came from: it signs that."""
    bucket, page = cloud.bucket(), "http://localhost:18000"
    made = temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=600)
    client = ObjectClient(Endpoint(cloud.url), lambda: Keys(made.access_key, made.secret_key, made.session_token))
    url = client.presign("PUT", bucket, "a", seconds=60, query={portal.ORIGIN: page})
    assert ask(cloud, "OPTIONS", url, Origin=page, Access_Control_Request_Method="PUT")[1]["access-control-allow-origin"] == page
    assert ask(cloud, "PUT", url, b"x", Origin=page)[1]["access-control-allow-origin"] == page
    assert "access-control-allow-origin" not in ask(cloud, "PUT", url, b"x", Origin="http://localhost:18001")[1]
    altered = url.replace("18000", "18001")
    assert ask(cloud, "PUT", altered, b"x", Origin="http://localhost:18001")[0] == 403


def test_what_a_presigned_address_shows_never_runs(cloud: Cloud) -> None:
    bucket, s3 = cloud.bucket(), cloud.client()
    s3.put_object(Bucket=bucket, Key="a.html", Body=b"<script>alert(1)</script>", ContentType="text/html", ACL="public-read")
    said = ask(cloud, "GET", presign(cloud, "get_object", Bucket=bucket, Key="a.html"))[1]
    assert "sandbox" in said["content-security-policy"].split("; ")
    assert said["x-content-type-options"] == "nosniff"
    shown = presign(cloud, "get_object", Bucket=bucket, Key="a.html", ResponseContentType="application/pdf")
    said = ask(cloud, "GET", shown)[1]
    assert (said["content-type"], said["x-content-type-options"]) == ("application/pdf", "nosniff")
    assert "content-security-policy" not in said
    # Whoever publishes a bucket publishes pages that work.
    assert "content-security-policy" not in ask(cloud, "GET", f"/{bucket}/a.html")[1]
