"""The files in a backup, in the portal and by REST: folders, a file as it was, what cannot be read, who may not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from cloudbox.common.models import Event
from compute.models import Backup
from tests.api.conftest import speak
from tests.buckets import Buckets
from tests.compute.test_backups import backups_repository, store, vault_of
from tests.filesystems.backup import backup_of
from tests.filesystems.disks import FileBytes, ext, partitioned, tree
from tests.world import World

__all__ = ["speak", "store"]
Browse = Callable[..., Client]
Speak = Callable[..., Any]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with two partitions, the second with files."""
    at = tmp_path_factory.mktemp("disk")
    tree(at / "tree")
    (at / "tree/etc/<b>bold&co").write_bytes(b"x" * 5_000_000)
    return partitioned(at / "disk", "gpt", ext(at / "part", at / "tree"))


def backed_up(world: World, disk: Path) -> Backup:
    vault = vault_of(world, encrypted=True)
    return backup_of(vault, backups_repository(vault), FileBytes(disk), name="monday")


def body_of(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_in_the_portal(browse: Browse, world: World, store: Buckets, disk: Path) -> None:
    client, row = browse("member"), backed_up(world, disk)
    at = f"/p/shop/backups/{row.id}"
    assert f"{at}/files" in client.get(at).content.decode()
    page = client.get(f"{at}/files").content.decode()
    assert "There is no file system on it that is known here." in page  # of part 1
    assert 'href="?part=2&amp;path=/etc"' in page
    assert "a rather long name, with Größe.txt" in page
    page = client.get(f"{at}/files?part=2&path=/etc").content.decode()
    assert "&lt;b&gt;bold&amp;co" in page
    answer = client.get(f"{at}/file", {"part": "2", "path": "/etc/<b>bold&co"})
    assert body_of(answer) == b"x" * 5_000_000
    assert (answer["Content-Length"], answer["Content-Type"]) == ("5000000", "application/octet-stream")
    assert answer["Content-Disposition"].startswith("attachment; ")
    event = Event.objects.get(verb="read-file")
    assert (event.subject_id, event.detail) == (row.id, "/etc/<b>bold&co of part 2")
    for query, words in {
        "part=1": "There is no file system",
        "part=7": "has no part 7",
        "part=2&path=/nowhere": "There is no nowhere",
        "part=2&path=/etc/hostname": "is no folder",
        "part=2&path=/../etc": "no path",
        "part=x": "A part of a disk has a number",
    }.items():
        assert words in client.get(f"{at}/files?{query}").content.decode(), query
    for query in ("part=2&path=/etc", "part=2&path=/link", "part=2", "path=/etc/hostname", "part=9&path=/x", "part=%00&path=%00"):
        assert 400 <= client.get(f"{at}/file?{query}").status_code < 500, query


def test_by_rest(speak: Speak, world: World, store: Buckets, disk: Path) -> None:
    api, row = speak("member"), backed_up(world, disk)
    at = f"/backups/{row.id}"
    found = api.get(f"{at}/files").json()
    assert [(part["number"], bool(part["why_not"])) for part in found["parts"]] == [(1, True), (2, False)]
    assert (found["part"]["title"], found["path"], found["is_cut"]) == ("ext4", "/", False)
    assert [node["name"] for node in found["entries"] if node["kind"] == "folder"] == ["etc", "lost+found", "many", "var"]
    assert len(api.get(f"{at}/files?path=/many").json()["entries"]) == 300
    assert body_of(api.get(f"{at}/file?part=2&path=/etc/hostname")) == b"fjord\n"
    refused = api.get(f"{at}/file?part=2&path=/etc")
    assert (refused.status_code, refused.json()["detail"]) == (409, "etc is no file. Only files can be taken out, one at a time.")
    assert api.get(f"{at}/files?part=999").status_code == 422


def test_who_may_not(speak: Speak, browse: Browse, world: World, store: Buckets, disk: Path) -> None:
    """Who reads a disk reads the secrets on it: not a reader, and no stranger."""
    row = backed_up(world, disk)
    for path in (f"/backups/{row.id}/files", f"/backups/{row.id}/file?part=2&path=/etc/hostname"):
        assert speak("reader").get(path).status_code == 403
    page = browse("reader").get(f"/p/shop/backups/{row.id}").content.decode()
    assert f"/p/shop/backups/{row.id}/files" not in page
    assert browse("stranger").get(f"/p/shop/backups/{row.id}/files").status_code == 404
    assert not Event.objects.filter(verb="read-file").exists()


def test_a_damaged_bucket(browse: Browse, world: World, store: Buckets, disk: Path) -> None:
    """A chunk that is missing or changed, and a store that does not answer, are said."""
    row, client = backed_up(world, disk), browse("member")
    for name in [name for name in store.objects["safe"] if "/chunks/" in name]:
        store.objects["safe"][name] = b"\1" + store.objects["safe"][name][1:]
    assert "its seal is broken" in client.get(f"/p/shop/backups/{row.id}/files").content.decode()
    assert client.get(f"/p/shop/backups/{row.id}/file", {"part": "2", "path": "/etc/hostname"}).status_code == 409
    store.breaks_after = 0
    assert "does not answer" in client.get(f"/p/shop/backups/{row.id}/files").content.decode()
    store.breaks_after = None
    Backup.objects.filter(id=row.id).update(status="creating")
    assert "Wait until that is done" in client.get(f"/p/shop/backups/{row.id}/files").content.decode()
