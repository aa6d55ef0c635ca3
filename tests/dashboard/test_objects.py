"""A bucket's pages against a running data plane: folders, pages, hostile names, the panel, versions, links, and many objects at once."""

from __future__ import annotations

import html
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.test import Client

from cloudbox.common import clock
from cloudbox.common.errors import Invalid
from cloudbox.common.models import Job
from cloudbox.common.object_client import Replica, crc32
from dashboard.object_names import shown, unwire, why_unreachable, wire
from dashboard.portal import object_rounds, object_store, object_uploads
from dashboard.portal.object_detail import places_of
from storage import buckets, bulk
from tests.storage.conftest import Cloud, Person, cloud, limit  # noqa: F401
from tests.storage.test_object_client import NAMES
from tests.world import work

MARKUP = "<img src=x onerror=alert(1)>'\"&amp;.txt"
OVERRIDE = "invoice\u202efdp.exe"
HOSTILE = [*NAMES, MARKUP, OVERRIDE, "~b64:YQ==", "{{ 7|add:7 }}", "javascript:alert(1)", "\ufffd", "a\nb"]


@pytest.fixture
def shop(cloud: Cloud, plain_static: None, settings: LazySettings) -> Cloud:  # noqa: F811
    settings.STORE_URL, settings.STORE_PORT = cloud.url, cloud.port
    object_store._kept.clear()
    return cloud


@pytest.fixture
def browse(shop: Cloud) -> Callable[..., Client]:
    def as_(who: Person | None = None) -> Client:
        client = Client(raise_request_exception=True, HTTP_HOST="127.0.0.1:8000")
        client.force_login((who or shop.me).user)
        return client

    return as_


def at(shop: Cloud, bucket: str, rest: str = "", **query: str) -> str:
    return f"/p/{shop.me.project.slug}/buckets/{bucket}/o{rest}" + (f"?{urlencode(query)}" if query else "")


def ask(client: Client, url: str, **body: Any) -> Any:
    return client.post(url, json.dumps(body), content_type="application/json")


def counted(client: Client, url: str, **body: Any) -> dict[str, int]:
    """As the page does: round by round, sums at the end."""
    sums = {"objects": 0, "bytes": 0}
    cursor: str | None = ""
    while cursor is not None:
        answer = ask(client, f"{url}/count", cursor=cursor, **body)
        assert answer.status_code == 200, answer.content
        found = answer.json()
        cursor = found.pop("cursor")
        for name in sums:
            sums[name] += found[name]
    return sums


def worked(client: Client, url: str, verb: str, **body: Any) -> dict[str, Any]:
    """Ask for it, let the worker carry what became a job, and look again, as the page does."""
    answer = ask(client, f"{url}/{verb}", **body)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    if found["job"]:
        assert found["going"]
        work(Job.objects.get(pk=found["job"]).subject_id)
        (found,) = ask(client, f"{url}/rounds", jobs=[found["job"]]).json()["jobs"]
    assert not found["going"]
    return found


def names_on(answer: Any) -> list[str]:
    return [unwire(html.unescape(one)) for one in re.findall(r'<tr data-name="([^"]*)"', answer.content.decode())]


def fetch(url: str, method: str = "GET", data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers or {}, method=method)) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


# --- names


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_names_come_back_from_addresses(name: str) -> None:
    carried = wire(name)
    assert unwire(carried) == name
    assert not re.search("[\x00-\x1f\x7f\ufffd]", carried)
    assert not re.search("[\x00-\x1f\x7f\u202a-\u202e]", shown(name))


def test_names_that_are_none() -> None:
    for text in ("~b64:?", "~b64:a", "x" * 1025, "~b64:" + "YWFh" * 400):
        with pytest.raises(Invalid):
            unwire(text)
    assert why_unreachable("a/../b")
    assert why_unreachable("./a")
    assert not why_unreachable("a/...b/.c")


# --- lists


def test_hostile_names_are_only_text(shop: Cloud, browse: Callable[..., Client]) -> None:
    """Every name is listed, its panel opens, and nothing of it becomes markup."""
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    for name in HOSTILE:
        s3.put(bucket, name, name.encode(), content_type="text/plain")
    seen: set[str] = set()
    folders = [""]
    while folders:
        page = client.get(at(shop, bucket, prefix=wire(folders.pop())))
        assert page.status_code == 200
        for name in names_on(page):
            if name.endswith("/") and name not in HOSTILE:
                folders.append(name)
            elif name.endswith("/"):
                folders.append(name)
                seen.add(name)
            else:
                seen.add(name)
    assert seen == set(HOSTILE)
    for name in HOSTILE:
        page = client.get(at(shop, bucket, prefix=wire(name.rpartition("/")[0] + "/") if "/" in name else "", object=wire(name)))
        text = page.content.decode()
        assert page.status_code == 200, name
        assert "<img src=x" not in text
        assert html.escape(shown(name.rstrip("/").rpartition("/")[2] or name)) in text or html.escape(shown(name), quote=True) in text, name


def test_folders_pages_and_search(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    for number in range(230):
        s3.put(bucket, f"photos/{number:03}.jpg", b"")
    s3.put(bucket, "photos/raw/1", b"1234")
    s3.put(bucket, "readme.md", b"# hello")
    top = client.get(at(shop, bucket))
    assert names_on(top) == ["photos/", "readme.md"]
    found, url, pages = [], at(shop, bucket, prefix="photos/"), 0
    while url:
        page = client.get(url)
        found, pages = found + names_on(page), pages + 1
        match = re.search(r'href="([^"]*)" rel="next"', page.content.decode())
        last, url = url, html.unescape(match[1]) if match else ""
    assert (len(found), pages, len(set(found))) == (231, 3, 231)
    # Back from the last page to the second, and to the first.
    back = client.get(last).content.decode()
    before = client.get(html.unescape(re.search(r'href="([^"]*)" rel="prev"', back)[1]))  # type: ignore[index]
    assert names_on(before)[0] == found[100]
    first = client.get(html.unescape(re.search(r'href="([^"]*)" rel="prev"', before.content.decode())[1]))  # type: ignore[index]
    assert names_on(first)[0] == found[0]
    assert names_on(client.get(at(shop, bucket, prefix="photos/", q="22"))) == [f"photos/22{n}.jpg" for n in range(10)]
    assert "Nothing matches" in client.get(at(shop, bucket, q="none")).content.decode()
    # An edited token leads to the first page, not to an error.
    assert names_on(client.get(at(shop, bucket, prefix="photos/", after="!"))) == names_on(first)


def test_strangers_and_readers(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, s3 = shop.bucket(), object_store.client_of(shop.me.ctx)
    s3.put(bucket, "a", b"")
    assert browse(shop.stranger).get(at(shop, bucket)).status_code == 404
    reader = browse(shop.reader)
    page = reader.get(at(shop, bucket, object="a"))
    assert names_on(page) == ["a"]
    assert "This needs the role member" in page.content.decode()
    for rest, body in (
        ("/delete", {"names": ["a"]}), ("/copy", {"names": ["a"], "folder": "b"}), ("/uploads", {"files": []}),
        ("/uploads/sign", {"path": "a", "upload": "x", "parts": []}), ("/uploads/abort", {"path": "a", "upload": "x"}),
    ):  # fmt: skip
        assert ask(reader, at(shop, bucket, rest), **body).status_code == 403, rest
    assert reader.post(at(shop, bucket, "/properties", object="a"), {"content_type": "text/html", "etag": "x"}).status_code == 403
    assert reader.post(at(shop, bucket, "/tags", object="a"), {"tags": "a=b"}).status_code == 403
    reader.post(at(shop, bucket, "/folder"), {"name": "new"})
    assert [one.key for one in s3.list_objects(bucket).entries] == ["a"]
    # The store keeps it, too: a policy of the bucket binds who looks by these pages.
    shop.client().put_bucket_policy(
        Bucket=bucket,
        Policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}],
            }
        ),
    )
    assert "What it holds is not shown" in reader.get(at(shop, bucket)).content.decode()


def test_only_this_page_may_load_from_the_store(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, client = shop.bucket(), browse()
    policy = client.get(at(shop, bucket))["Content-Security-Policy"]
    assert f"img-src 'self' data: {shop.url}" in policy
    assert f"connect-src 'self' ws: wss: {shop.url}" in policy
    assert "script-src 'self';" in policy + ";"
    assert shop.url not in client.get(f"/p/{shop.me.project.slug}/networks")["Content-Security-Policy"]


def test_where_the_browser_finds_the_store(shop: Cloud, settings: LazySettings, rf: Any) -> None:
    settings.STORE_PORT, settings.STORE_TLS_PORT = 9000, None
    settings.ALLOWED_HOSTS = ["*"]
    assert object_store.public_url(rf.get("/", HTTP_HOST="box.example:8000")) == "http://box.example:9000"
    assert object_store.public_url(rf.get("/", HTTP_HOST="[::1]:8000")) == "http://[::1]:9000"
    assert object_store.public_url(rf.get("/", HTTP_HOST="box.example", secure=True)) == ""
    settings.STORE_TLS_PORT = 9443
    assert object_store.public_url(rf.get("/", HTTP_HOST="box.example", secure=True)) == "https://box.example:9443"
    settings.STORE_PUBLIC_URL = "https://objects.example/"
    assert object_store.public_url(rf.get("/", HTTP_HOST="box.example")) == "https://objects.example"


# --- one object


def test_glances_never_run(shop: Cloud, browse: Callable[..., Client]) -> None:
    """Pictures come by an address that says their kind; a page or SVG is shown as its text; packed and unknown things not at all."""
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    cases = {
        "a.png": ("image/png", b"\x89PNG", "<img src="),
        "b.html": ("text/html", b"<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        "c.svg": ("image/svg+xml", b"<svg onload=alert(1)>", "&lt;svg onload=alert(1)&gt;"),
        "d.pdf": ("application/pdf", b"%PDF", "<iframe src="),
        "e.mp4": ("video/mp4", b"0", "<video src="),
        "f.bin": ("application/octet-stream", b"0", "There is no preview"),
        "g.txt": ("text/plain", b"a\0b", "but it is not"),
        "h.txt": ("text/plain", "ü".encode() * 70000, "The first 64 KiB"),
        "i.txt": ("text/plain", b"", "It is empty"),
        "j.md": ("binary/octet-stream", b"# said by its name", "# said by its name"),
    }
    for name, (kind, body, _) in cases.items():
        s3.put(bucket, name, body, content_type=kind)
    for name, (_, _, wanted) in cases.items():
        text = client.get(at(shop, bucket, object=name)).content.decode()
        assert wanted in text, name
        assert "<script>alert" not in text
        assert "<svg onload" not in text
    s3.put(bucket, "k.txt", b"xx", content_type="text/plain", headers={"content-encoding": "gzip"})
    assert "It is packed" in client.get(at(shop, bucket, object="k.txt")).content.decode()
    # The picture's address: of the store's origin, under the type that the page decided, in a sandbox.
    page = client.get(at(shop, bucket, object="a.png")).content.decode()
    url = html.unescape(re.search(r'<img src="([^"]*)"', page)[1])  # type: ignore[index]
    status, said, body = fetch(url)
    assert (status, said["Content-Type"], said["X-Content-Type-Options"], body) == (200, "image/png", "nosniff", b"\x89PNG")
    assert "sandbox" in said["Content-Security-Policy"]


def test_download_under_its_name(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    for name in ('ключ "q".txt', MARKUP, "dir/a\r\nSet-Cookie: x.txt"):
        s3.put(bucket, name, b"body")
        answer = client.get(at(shop, bucket, "/download", object=wire(name)))
        status, said, body = fetch(answer["Location"])
        assert (status, body) == (200, b"body")
        assert said["Content-Disposition"].startswith("attachment; filename=")
        assert "Set-Cookie" not in said
    assert client.get(at(shop, bucket, "/download", object="none")).status_code == 404
    s3.put(bucket, "a/../b", b"")
    refused = client.get(at(shop, bucket, "/download", object="a/../b"))
    assert (refused.status_code, b"Browsers rewrite" in refused.content) == (409, True)


def test_properties_and_tags(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    s3.put(bucket, "a", b"body", content_type="text/plain", metadata={"old": "1"}, headers={"content-encoding": "identity"})
    s3.put_tags(bucket, "a", {"keep": "me"})
    etag = s3.head(bucket, "a").etag
    good = {"content_type": "text/markdown", "cache_control": "max-age=60", "metadata": "camera: left\nRoll: 7", "etag": etag}
    assert client.post(at(shop, bucket, "/properties", object="a"), good).status_code == 302
    head = s3.head(bucket, "a")
    assert (head.content_type, head.headers["cache-control"], head.metadata) == (
        "text/markdown",
        "max-age=60",
        {"camera": "left", "roll": "7"},
    )
    assert head.headers["content-encoding"] == "identity"
    assert s3.tags(bucket, "a") == {"keep": "me"}
    for bad, says in (
        ({"metadata": "no colon"}, "is not “name: value”"),
        ({"metadata": "a: 1\na: 2"}, "stands there twice"),
        ({"metadata": "a: ü"}, "only ASCII"),
        ({"metadata": "a: " + "x" * 3000}, "at most 2048"),
        ({"cache_control": "a\r\nX: y"}, "characters that are not text"),
        ({"etag": "other"}, "changed meanwhile"),
    ):
        answer = client.post(at(shop, bucket, "/properties", object="a"), good | bad)
        assert answer.status_code in (400, 412), bad
        assert says in answer.content.decode() or "only ASCII" in answer.content.decode(), bad
    assert s3.head(bucket, "a").metadata == {"camera": "left", "roll": "7"}
    assert client.post(at(shop, bucket, "/tags", object="a"), {"tags": "env=prod\n team = web=1 "}).status_code == 302
    assert s3.tags(bucket, "a") == {"env": "prod", "team": "web=1"}
    assert client.post(at(shop, bucket, "/tags", object="a"), {"tags": ""}).status_code == 302
    assert s3.tags(bucket, "a") == {}
    for text in ("none", "=x", "a=1\na=2", "\n".join(f"t{n}=x" for n in range(11)), "aws:x=1", "x" * 200 + "=1"):
        assert client.post(at(shop, bucket, "/tags", object="a"), {"tags": text}).status_code == 400, text


def test_versions(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    shop.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put(bucket, "a.txt", b"one", content_type="text/plain").version
    s3.put(bucket, "a.txt", b"two", content_type="text/plain")
    old = client.get(at(shop, bucket, object="a.txt", version=first)).content.decode()
    assert "An older version" in old
    assert ">one</pre>" in old
    client.post(at(shop, bucket, "/restore", object="a.txt"), {"version": first})
    with s3.get(bucket, "a.txt") as download:
        assert download.read(10) == b"one"
    assert worked(client, at(shop, bucket), "delete", names=["a.txt"])["done"] == 1
    assert names_on(client.get(at(shop, bucket))) == []
    gone = client.get(at(shop, bucket, deleted="1", object="a.txt"))
    assert names_on(gone) == ["a.txt"]
    assert "Take the deletion back" in gone.content.decode()
    marker = s3.list_versions(bucket).entries[0]
    client.post(at(shop, bucket, "/restore", object="a.txt"), {"version": marker.version, "marker": "1"})
    assert names_on(client.get(at(shop, bucket))) == ["a.txt"]
    client.post(at(shop, bucket, "/forget", object="a.txt"), {"version": first})
    assert first not in [one.version for one in s3.list_versions(bucket).entries]
    # All of them, for good.
    assert counted(client, at(shop, bucket), names=["a.txt"], versions=True)["objects"] == 2
    assert worked(client, at(shop, bucket), "delete", names=["a.txt"], versions=True)["done"] == 2
    assert s3.list_versions(bucket).entries == []


def test_a_lock_is_shown_and_kept(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, client = shop.bucket(ObjectLockEnabledForBucket=True), browse()
    boto = shop.client()
    made = boto.put_object(
        Bucket=bucket,
        Key="a",
        Body=b"x",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate="2099-01-02T03:04:05Z",
        ObjectLockLegalHoldStatus="ON",
    )
    text = client.get(at(shop, bucket, object="a")).content.decode()
    assert "until 2 January 2099 03:04 UTC" in text
    assert "Legal hold" in text
    answer = client.post(at(shop, bucket, "/forget", object="a"), {"version": made["VersionId"]}, follow=True)
    assert "cb-toast is-bad" in answer.content.decode()
    found = ask(client, at(shop, bucket, "/delete"), names=["a"], versions=True).json()
    assert (found["done"], found["failures"], found["job"]) == (0, 1, None)
    assert boto.head_object(Bucket=bucket, Key="a", VersionId=made["VersionId"])["ContentLength"] == 1


def test_share_links(shop: Cloud, browse: Callable[..., Client]) -> None:
    """Opens without a sign-in, as text where it is a page, ends with the sharer's place in the project."""
    bucket, s3 = shop.bucket(), object_store.client_of(shop.me.ctx)
    s3.put(bucket, "a.html", b"<script>1</script>", content_type="text/html")
    client = browse(shop.reader)

    def link(**form: str) -> str:
        page = client.post(at(shop, bucket, "/share", object="a.html"), {"hours": "24", **form}).content.decode()
        return html.unescape(re.search(r'id="ob-link" value="([^"]*)"', page)[1])  # type: ignore[index]

    status, said, body = fetch(link())
    assert (status, said["Content-Type"], body) == (200, "text/plain; charset=utf-8", b"<script>1</script>")
    assert fetch(link(download="on"))[1]["Content-Disposition"].startswith("attachment")
    assert "X-Amz-Expires=604800" in link(hours="168")
    assert client.post(at(shop, bucket, "/share", object="a.html"), {"hours": "999"}).status_code == 400
    assert client.post(at(shop, bucket, "/share", object="none"), {"hours": "24"}).status_code == 409
    kept = link()
    assert fetch(kept.replace("a.html", "b.html"))[0] == 403
    assert fetch(kept, "DELETE")[0] == 403
    shop.reader.user.memberships.all().delete()
    shop.plane.directory.changed_everything()
    assert fetch(kept)[0] == 403


# --- many objects


def test_count_delete_copy_move(shop: Cloud, browse: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages of a few, as a large folder takes: all is counted, copied, moved and deleted once, and nothing beside it. The first page
    is done by the request, the rest by a job that is asked to give way after each page."""
    monkeypatch.setattr(object_rounds, "ROUND_SECONDS", -1)
    monkeypatch.setattr(bulk, "ROUND_SECONDS", -1)
    monkeypatch.setattr(bulk, "TURN_SECONDS", -1)
    monkeypatch.setattr(bulk, "COPY_PAGE", 5)
    monkeypatch.setattr(bulk, "DELETE_MAX", 7)
    bucket, other, s3, client = shop.bucket(), shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    for number in range(23):
        s3.put(bucket, f"a/{number:02}", b"x" * number, metadata={"n": str(number)})
    for name in ("a/deep/er/1", "ab", "b", MARKUP, "bell\x07"):
        s3.put(bucket, name, b"")
    url = at(shop, bucket)
    sources = ["a/", "b", wire("bell\x07")]
    assert counted(client, url, names=sources) == {"objects": 26, "bytes": sum(range(23))}
    done = worked(client, url, "copy", names=sources, bucket=other, folder="in/to")
    assert (done["done"], done["skipped"], done["failures"]) == (26, 0, 0)
    assert len(list(s3.walk(other, prefix="in/to/a/"))) == 24
    assert s3.head(other, "in/to/a/07").metadata == {"n": "7"}
    # Again: all is there; and nothing is replaced unasked.
    s3.put(other, "in/to/b", b"mine")
    assert worked(client, url, "copy", names=sources, bucket=other, folder="in/to")["skipped"] == 26
    assert s3.head(other, "in/to/b").size == 4
    assert worked(client, url, "copy", names=["b"], bucket=other, folder="in/to/", replace=True)["done"] == 1
    assert s3.head(other, "in/to/b").size == 0
    # A move leaves nothing behind; a folder is renamed with all that is in it; what is beside it stays.
    assert worked(client, url, "copy", names=["a/"], base="", name="z", move=True)["done"] == 24
    assert sorted(one.key for one in s3.walk(bucket)) == sorted(
        ["ab", "b", MARKUP, "bell\x07", *(f"z/{n:02}" for n in range(23)), "z/deep/er/1"], key=str
    )
    assert worked(client, url, "copy", names=["z/deep/"], base="z/", folder="", move=True)["done"] == 1
    assert s3.head(bucket, "deep/er/1")
    assert worked(client, url, "delete", names=["z/", MARKUP])["done"] == 24
    assert sorted(one.key for one in s3.walk(bucket)) == ["ab", "b", "bell\x07", "deep/er/1"]
    for body in (
        {"names": ["deep/"], "base": "", "folder": "deep/er"}, {"names": ["b"], "base": "", "folder": ""}, {"names": []}, {"names": [""]},
        {"names": ["b", "ab"], "name": "c"}, {"names": ["b"], "folder": "x" * 1024}, {"names": ["b"], "folder": "c", "total": -1},
        {"names": ["b"], "folder": "c", "total": "1"}, {"names": "b"}, {"names": [1]}, {"names": ["b"], "folder": 1},
        {"names": ["b"] * 1001},
    ):  # fmt: skip
        assert ask(client, f"{url}/copy", **body).status_code == 400, body
    for cursor in ("{", '[9,"",""]', '[0,1,""]', "[]"):
        assert ask(client, f"{url}/count", names=["b"], cursor=cursor).status_code == 400, cursor
    assert ask(client, f"{url}/copy", names=["b"], folder="c", bucket="no-such-bucket").status_code == 404
    for job in ("", "x", str(uuid4())):
        assert ask(client, f"{url}/rounds/stop", job=job).status_code == 404
        assert ask(client, f"{url}/rounds", jobs=[job]).status_code == 404
    assert client.post(f"{url}/delete", "[", content_type="application/json").status_code == 400


def test_folders_are_made_once(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    answer = client.post(at(shop, bucket, "/folder"), {"name": " ne <w>/er/ "})
    assert answer["Location"] == at(shop, bucket, prefix="ne <w>/er/")
    assert s3.head(bucket, "ne <w>/er/").size == 0
    assert names_on(client.get(at(shop, bucket, prefix="ne <w>/er/"))) == []
    for bad in ("", "/", "..", "a/../b", "ne <w>", "x" * 1030):
        client.post(at(shop, bucket, "/folder"), {"name": bad})
    assert [one.key for one in s3.walk(bucket)] == ["ne <w>/er/"]


# --- uploads


def test_a_small_file_is_one_put(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    files = [{"folder": "in/", "path": MARKUP, "size": 5, "type": "text/html", "crc32": crc32(b"hello")}]
    begun = ask(client, at(shop, bucket, "/uploads"), files=files).json()["files"][0]
    assert fetch(begun["url"], "PUT", b"hallo", begun["headers"])[0] == 400
    assert fetch(begun["url"], "PUT", b"hello", begun["headers"])[0] == 200
    assert s3.head(bucket, f"in/{MARKUP}").content_type == "text/html"
    # Where something would be lost, one is asked; also when the name was taken between the question and the body.
    assert fetch(begun["url"], "PUT", b"hello", begun["headers"])[0] == 412
    assert ask(client, at(shop, bucket, "/uploads"), files=files).json() == {"files": [{"there": 5}]}
    begun = ask(client, at(shop, bucket, "/uploads"), files=files, replace=True).json()["files"][0]
    assert fetch(begun["url"], "PUT", b"hello", begun["headers"])[0] == 200
    shop.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert "url" in ask(client, at(shop, bucket, "/uploads"), files=files).json()["files"][0]


def test_a_large_file_goes_in_parts_and_on(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    data = bytes(range(256)) * 4 * 9 * 1024  # 9 MiB
    where = {"folder": "", "path": "film.mp4"}
    begun = ask(client, at(shop, bucket, "/uploads"), files=[{**where, "size": len(data), "type": "video/mp4"}]).json()["files"][0]
    size, about = begun["part"], {**where, "upload": begun["upload"]}
    bodies = {n + 1: data[n * size : (n + 1) * size] for n in range(2)}
    signed = ask(
        client, at(shop, bucket, "/uploads/sign"), **about, parts=[{"number": n, "crc32": crc32(body)} for n, body in bodies.items()]
    ).json()["parts"]
    assert fetch(signed[0]["url"], "PUT", bodies[1], signed[0]["headers"])[0] == 200
    assert ask(client, at(shop, bucket, "/uploads/complete"), **about, size=len(data)).status_code == 409
    # After a reload: what the store has.
    assert ask(client, at(shop, bucket, "/uploads/parts"), **about).json()["parts"] == [
        {"number": 1, "size": size, "crc32": crc32(bodies[1])}
    ]
    assert fetch(signed[1]["url"], "PUT", bodies[1], signed[1]["headers"])[0] == 400
    assert fetch(signed[1]["url"], "PUT", bodies[2], signed[1]["headers"])[0] == 200
    s3.put(bucket, "film.mp4", b"came in between")
    assert ask(client, at(shop, bucket, "/uploads/complete"), **about, size=len(data)).status_code == 412
    assert ask(client, at(shop, bucket, "/uploads/complete"), **about, size=len(data), replace=True).status_code == 200
    head = s3.head(bucket, "film.mp4", headers={"x-amz-checksum-mode": "ENABLED"})
    assert (head.size, head.content_type, head.headers["x-amz-checksum-crc32"]) == (len(data), "video/mp4", crc32(data))
    assert ask(client, at(shop, bucket, "/uploads/parts"), **about).status_code == 404
    begun = ask(client, at(shop, bucket, "/uploads"), files=[{**where, "path": "x", "size": len(data), "type": ""}]).json()["files"][0]
    assert ask(client, at(shop, bucket, "/uploads/abort"), **where | {"path": "x"}, upload=begun["upload"]).status_code == 200
    assert ask(client, at(shop, bucket, "/uploads/parts"), **where | {"path": "x"}, upload=begun["upload"]).status_code == 404


def test_uploads_that_cannot_be(shop: Cloud, browse: Callable[..., Client]) -> None:
    bucket, client = shop.bucket(), browse()
    good = {"folder": "", "path": "a", "size": 1, "type": "", "crc32": crc32(b"x")}
    for bad in (
        {"path": ""}, {"path": "a/"}, {"type": 1},
        {"path": "a/../b"}, {"path": "x" * 1025}, {"path": "\ud800"}, {"path": 1}, {"size": -1}, {"size": "1"},
        {"size": True}, {"size": 6 * 2**40}, {"crc32": ""}, {"crc32": "AAAA"}, {"crc32": "x"}, {"folder": None},
    ):  # fmt: skip
        answer = ask(client, at(shop, bucket, "/uploads"), files=[good | bad])
        assert (answer.status_code, list(answer.json())) == (400, ["error", "code"]), bad
    assert ask(client, at(shop, bucket, "/uploads"), files=[good] * 101).status_code == 400
    for kind in ("text/html; x\r\ny", "a b/c", "ü/x", "x" * 500):
        begun = ask(client, at(shop, bucket, "/uploads"), files=[good | {"type": kind}]).json()["files"][0]
        assert begun["headers"]["content-type"] == "application/octet-stream"
    limit(shop.me.project, "object_gib", 0)
    shop.plane.directory.changed_everything()
    shop.plane._totals.clear()
    begun = ask(client, at(shop, bucket, "/uploads"), files=[good]).json()["files"][0]
    status, _, body = fetch(begun["url"], "PUT", b"x", begun["headers"])
    assert status == 403
    assert b"<Code>QuotaExceeded</Code>" in body


def test_parts_fit_any_file() -> None:
    for size in (8 * 2**20 + 1, 80 * 2**30, 80 * 2**30 + 1, 2**40, object_uploads.FILE_BYTES_MAX):
        part = object_uploads.part_bytes(size)
        assert part % 2**20 == 0
        assert part >= object_uploads.PART_BYTES_MIN
        assert -(-size // part) <= object_uploads.PARTS_MAX


def test_a_container_of_one_name_in_two_projects(shop: Cloud, browse: Callable[..., Client]) -> None:
    """A Swift container is found within its project, also where another project has a bucket of that name."""
    buckets.create(shop.stranger.ctx, name="same-name")
    row = buckets.create(shop.me.ctx, name="same-name", shared_name=False)
    s3, client = object_store.client_of(shop.me.ctx), browse()
    s3.put(object_store.s3_name(row), "mine", b"")
    assert names_on(client.get(at(shop, "same-name"))) == ["mine"]


# --- where it lies


def test_where_it_lies_in_words() -> None:
    now = clock.now()

    def said(wanted: int, *copies: tuple[str, bool]) -> tuple[str, str]:
        found = places_of(wanted, [Replica(f"drive-{n}", state, now if seen else None) for n, (state, seen) in enumerate(copies)])
        return (found.status, found.label) if found else ("", "")

    whole, unseen = ("whole", True), ("whole", False)
    assert said(3, whole, whole, whole) == ("ok", "3 of 3 good")
    assert said(3, whole, unseen, whole) == ("ok", "3 of 3 good")
    assert said(3, unseen, unseen, unseen) == ("unknown", "Not checked yet")
    assert said(3, whole, ("missing", True), whole) == ("warn", "2 of 3 good")
    assert said(3, whole, whole) == ("warn", "2 of 3 good")
    assert said(2, ("damaged", True), ("missing", False)) == ("bad", "0 of 2 good")
    assert said(6, *[whole] * 6) == ("ok", "6 of 6 good")
    assert said(3) == ("", "")


def test_where_it_lies_on_the_page(shop: Cloud, browse: Callable[..., Client]) -> None:
    """Of a small object in a segment and of a large one in an extent: a tile for each drive with a copy, by the drive's own name."""
    bucket, s3, client = shop.bucket(), object_store.client_of(shop.me.ctx), browse()
    for name, size in (("small", 10), ("large", 6 * 2**20)):
        s3.put(bucket, name, b"x" * size)
        text = client.get(at(shop, bucket, object=name)).content.decode()
        section = text[text.index("Where it lies") : text.index("Share")]
        assert section.count('class="has"') == 3, section
        assert "drive-" in section
