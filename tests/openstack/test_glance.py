"""Glance's dialect: images begun, uploaded as streams, staged and imported, changed, shared, made of servers and volumes."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from cloudbox.bodies import StreamedBodies
from compute import host
from compute.models import Image
from tests.openstack.conftest import Cloud
from tests.world import work

PATCH = "application/openstack-images-v2.1-json-patch"
BYTES = "application/octet-stream"
DISK = bytes(range(256)) * 6  # 1,536 bytes that look like no format: a raw disk


def begin(cloud: Cloud, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = cloud.ok("member", "POST", "/image/v2/images", {"name": "mine", "disk_format": "raw"} | more)
    return made


def upload(cloud: Cloud, id: str, data: bytes = DISK, *, to: str = "file") -> Any:
    return cloud.call("member", "PUT", f"/image/v2/images/{id}/{to}", data, type=BYTES)


def show(cloud: Cloud, id: str, who: str = "member") -> dict[str, Any]:
    found: dict[str, Any] = cloud.ok(who, "GET", f"/image/v2/images/{id}")
    return found


def patch(cloud: Cloud, id: str, *changes: dict[str, Any]) -> Any:
    return cloud.call("member", "PATCH", f"/image/v2/images/{id}", [*changes], type=PATCH)


def test_the_life_of_an_image(cloud: Cloud) -> None:
    """Begun, uploaded, made into a disk, downloaded as it came, all or a part of it, deleted with its bytes."""
    answer = cloud.call("member", "POST", "/image/v2/images", {"name": "mine", "container_format": "bare", "disk_format": "raw", "a": "b"})
    made = answer.json()
    assert (answer.status_code, made["status"], made["visibility"], made["a"], made["size"]) == (201, "queued", "shared", "b", None)
    assert answer["Location"].endswith(f"/image/v2/images/{made['id']}")
    url = f"/image/v2/images/{made['id']}/file"
    assert cloud.call("member", "GET", url).status_code == 204
    assert cloud.call("member", "PUT", url, DISK).status_code == 415
    assert upload(cloud, made["id"]).status_code == 204
    assert upload(cloud, made["id"]).status_code == 409
    work()
    shown = show(cloud, made["id"])
    assert (shown["status"], shown["size"], shown["disk_format"], shown["virtual_size"]) == ("active", len(DISK), "raw", len(DISK))
    assert shown["checksum"] == hashlib.md5(DISK, usedforsecurity=False).hexdigest()
    assert (shown["os_hash_algo"], shown["os_hash_value"]) == ("sha512", hashlib.sha512(DISK).hexdigest())
    got = cloud.call("member", "GET", url)
    assert (got.status_code, b"".join(got.streaming_content), got["Content-Length"]) == (200, DISK, str(len(DISK)))
    for wanted, first, last in (("bytes=10-19", 10, 20), ("bytes=1500-", 1500, None), ("bytes=-16", -16, None)):
        part = cloud.call("member", "GET", url, Range=wanted)
        assert (part.status_code, b"".join(part.streaming_content)) == (206, DISK[first:last])
    assert cloud.call("member", "GET", url, Range="bytes=9999-").status_code == 416
    assert [row["id"] for row in cloud.ok("member", "GET", f"/image/v2/images?size={len(DISK)}")["images"]] == [made["id"]]
    assert cloud.call("member", "HEAD", url)["Content-Length"] == str(len(DISK))
    assert cloud.call("member", "DELETE", f"/image/v2/images/{made['id']}").status_code == 204
    host.uploads().sweep(set())
    assert not host.uploads().has(Image.objects.get(id=made["id"]).id)
    assert cloud.call("member", "GET", url).status_code == 404


def test_what_is_no_disk_is_refused_with_its_reason(cloud: Cloud) -> None:
    """Whatever it is called: a text, an empty body. Formats that there are not are refused at once."""
    made = begin(cloud, disk_format="qcow2")
    assert upload(cloud, made["id"], b"#!/bin/sh\n" * 100).status_code == 204
    work()
    assert show(cloud, made["id"])["status"] == "killed"
    for wrong in ({"disk_format": "floppy"}, {"container_format": "box"}, {"min_disk": -1}, {"id": "x"}, {"tags": "a"}, {"a": 1}):
        assert cloud.call("member", "POST", "/image/v2/images", {"name": "n"} | wrong).status_code == 400, wrong
    assert cloud.call("member", "POST", "/image/v2/images", {"name": "n", "size": 3}).status_code == 403
    assert cloud.call("member", "POST", "/image/v2/images", {"name": "n", "visibility": "public"}).status_code == 403
    assert cloud.call("member", "POST", "/image/v2/images", {"name": "n", "id": made["id"]}).status_code == 409


def test_staged_and_imported(cloud: Cloud) -> None:
    """glance-direct takes what was staged, web-download an address; there are no other methods."""
    assert cloud.ok("member", "GET", "/image/v2/info/import")["import-methods"]["value"] == ["glance-direct", "web-download"]
    made = begin(cloud)
    url = f"/image/v2/images/{made['id']}/import"
    direct = {"method": {"name": "glance-direct"}}
    assert cloud.call("member", "POST", url, direct).status_code == 409
    assert upload(cloud, made["id"], to="stage").status_code == 204
    assert show(cloud, made["id"])["status"] == "uploading"
    assert cloud.call("member", "POST", url, direct).status_code == 202
    work()
    assert show(cloud, made["id"])["status"] == "active"
    other = begin(cloud)
    url = f"/image/v2/images/{other['id']}/import"
    assert cloud.call("member", "POST", url, {"method": {"name": "copy-image"}}).status_code == 501
    assert cloud.call("member", "POST", url, {"method": {"name": "nothing"}}).status_code == 400
    assert cloud.call("member", "POST", url, {"method": {"name": "web-download", "uri": "file:///etc/passwd"}}).status_code == 400
    web = {"method": {"name": "web-download", "uri": "http://images.example.org/disk.raw"}}
    assert cloud.call("member", "POST", url, web).status_code == 202
    assert show(cloud, other["id"])["status"] == "importing"


def test_words(cloud: Cloud) -> None:
    """A patch is all or nothing; tags and properties, protection; lists find images by each of them."""
    id = begin(cloud, tags=["a"], flavour="sweet")["id"]
    changed = patch(
        cloud,
        id,
        {"op": "replace", "path": "/name", "value": "other"},
        {"op": "add", "path": "/tags", "value": ["b", "c"]},
        {"op": "add", "path": "/os_distro", "value": "debian"},
        {"op": "replace", "path": "/flavour", "value": "sour"},
        {"op": "add", "path": "/a~1b", "value": "c"},
        {"op": "replace", "path": "/protected", "value": True},
    ).json()
    assert (changed["name"], changed["tags"], changed["os_distro"], changed["flavour"], changed["a/b"], changed["protected"]) == (
        "other", ["b", "c"], "debian", "sour", "c", True,
    )  # fmt: skip
    assert cloud.call("member", "DELETE", f"/image/v2/images/{id}").status_code == 403
    for status, change in (
        (403, {"op": "replace", "path": "/status", "value": "active"}),
        (403, {"op": "remove", "path": "/name"}),
        (409, {"op": "remove", "path": "/nothing"}),
        (400, {"op": "move", "path": "/name", "value": "x"}),
        (400, {"op": "replace", "path": "/name"}),
    ):
        assert patch(cloud, id, {"op": "add", "path": "/name", "value": "not kept"}, change).status_code == status, change
    assert show(cloud, id)["name"] == "other"
    assert cloud.call("member", "PUT", f"/image/v2/images/{id}/tags/d").status_code == 204
    assert cloud.call("member", "DELETE", f"/image/v2/images/{id}/tags/b").status_code == 204
    assert cloud.call("member", "DELETE", f"/image/v2/images/{id}/tags/b").status_code == 404
    finds = ("tag=c&tag=d", "flavour=sour", "os_distro=debian", "status=queued", "disk_format=raw", "name=in:other,x", "protected=true")
    for query in finds:
        assert [row["id"] for row in cloud.ok("member", "GET", f"/image/v2/images?{query}")["images"]] == [id], query
    for query in ("tag=b", "flavour=sweet", "disk_format=vmdk", "container_format=ova", "status=uploading"):
        assert cloud.ok("member", "GET", f"/image/v2/images?{query}")["images"] == [], query
    assert patch(cloud, id, {"op": "replace", "path": "/protected", "value": False}).status_code == 200
    assert cloud.call("member", "DELETE", f"/image/v2/images/{id}").status_code == 204


def test_members(cloud: Cloud) -> None:
    """Offered, accepted by the member itself, in its list from then on, taken back."""
    id, other = begin(cloud)["id"], cloud.world.other.id.hex
    url = f"/image/v2/images/{id}/members"
    assert cloud.ok("member", "POST", url, {"member": other})["status"] == "pending"
    assert cloud.call("member", "PUT", f"{url}/{other}", {"status": "accepted"}).status_code == 403
    assert cloud.ok("stranger", "PUT", f"{url}/{other}", {"status": "accepted"})["status"] == "accepted"
    assert id in {row["id"] for row in cloud.ok("stranger", "GET", "/image/v2/images?visibility=shared")["images"]}
    assert [row["member_id"] for row in cloud.ok("member", "GET", url)["members"]] == [other]
    assert cloud.call("member", "DELETE", f"{url}/{other}").status_code == 204
    assert cloud.call("stranger", "GET", f"/image/v2/images/{id}").status_code == 404


def test_made_of_servers_and_volumes(cloud: Cloud) -> None:
    """createImage and os-volume_upload_image: the disk as it is, which goes on; no snapshot is left on it."""
    server = cloud.world.running(name="web")
    body = {"createImage": {"name": "of web", "metadata": {"a": "b"}}}
    answer = cloud.call("member", "POST", f"/compute/v2.1/servers/{server.id}/action", body)
    assert answer.status_code == 202
    id = answer["Location"].rpartition("/")[2]
    assert show(cloud, id)["status"] == "saving"
    work()
    shown = show(cloud, id)
    assert (shown["status"], shown["instance_uuid"], shown["a"]) == ("active", str(server.id), "b")
    rows = cloud.nova("GET", f"images/detail?server={server.id}&type=snapshot")["images"]
    assert [(row["id"], row["status"], row["server"]["id"]) for row in rows] == [(id, "ACTIVE", str(server.id))]
    assert not host.volumes().snapshots(server.id)
    volume = cloud.cinder("POST", "volumes", {"volume": {"size": 1, "name": "data"}})["volume"]
    work()
    made = cloud.cinder("POST", f"volumes/{volume['id']}/action", {"os-volume_upload_image": {"image_name": "of data"}})
    work()
    shown = show(cloud, made["os-volume_upload_image"]["image_id"])
    assert (shown["status"], shown["name"], shown["min_disk"]) == ("active", "of data", 1)
    assert cloud.cinder("GET", f"volumes/{volume['id']}")["volume"]["status"] == "available"
    assert cloud.call("member", "GET", f"/image/v2/images/{shown['id']}/file").status_code == 409


# --- bodies as streams


class _View:
    """An application that takes bodies into a file, and remembers."""

    def __init__(self, folder: Path, *, refuses: bool = False) -> None:
        self.folder, self.refuses = folder, refuses
        self.kept = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        incoming = scope["incoming"]
        assert (await receive())["body"] == b""
        if not self.refuses and not incoming.is_complete:
            incoming.path = self.folder / "part"
        elif incoming.is_complete:
            self.kept = incoming.path.read_bytes()
        status = 403 if self.refuses else 204 if incoming.is_complete else 202
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def _put(view: _View, messages: list[dict[str, Any]], *, bytes_max: int = 10**7, seconds: float = 30) -> list[dict[str, Any]]:
    """What was sent to the client, whose body comes in these messages."""
    sent: list[dict[str, Any]] = []
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        message = next(waiting, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app = StreamedBodies(view, pattern="/up/.*", bytes_max=bytes_max, seconds=seconds)
    scope = {"type": "http", "method": "PUT", "path": "/up/1", "headers": [(b"transfer-encoding", b"chunked")]}
    asyncio.run(app(scope, receive, send))
    return sent


def _pieces(*bodies: bytes) -> list[dict[str, Any]]:
    last = len(bodies) - 1
    return [{"type": "http.request", "body": body, "more_body": n < last} for n, body in enumerate(bodies)]


def test_a_body_goes_into_a_file(tmp_path: Path) -> None:
    view = _View(tmp_path)
    sent = _put(view, _pieces(b"a" * 700_000, b"b" * 700_000, b"", b"c"))
    assert (sent[0]["status"], view.kept) == (204, b"a" * 700_000 + b"b" * 700_000 + b"c")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("messages", "more", "status"),
    [
        (_pieces(b"a" * 600, b"b" * 600), {"bytes_max": 1000}, 413),
        (_pieces(b"a", b"b")[:1], {"seconds": 0.05}, 408),
        ([*_pieces(b"a", b"b")[:1], {"type": "http.disconnect"}], {}, None),
    ],
)
def test_a_body_that_does_not_come_whole_leaves_nothing(tmp_path: Path, messages: Any, more: Any, status: int | None) -> None:
    """Too large, too slow, hung up."""
    view = _View(tmp_path)
    sent = _put(view, messages, **more)
    assert [message["status"] for message in sent if "status" in message] == ([status] if status else [])
    assert (view.kept, [*tmp_path.iterdir()]) == (b"", [])


def test_who_is_refused_sends_nothing(tmp_path: Path) -> None:
    """Not a byte is read, and the connection ends, since its body would be taken for the next request."""
    sent = _put(_View(tmp_path, refuses=True), [])
    assert (sent[0]["status"], sent[0]["headers"]) == (403, [(b"connection", b"close")])
