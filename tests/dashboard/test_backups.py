"""Backups in the portal and by REST: a vault, a backup, its restore and a schedule by forms; the same by the API; reasons where not."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.test import Client

from compute import backup_schedules, backup_vaults, backups, instances, volumes
from tests.buckets import Buckets
from tests.compute.test_backups import store
from tests.compute.test_snapshots import text, write
from tests.compute.test_volumes import attached, made
from tests.world import World, work

__all__ = ["store"]
Browse = Callable[..., Client]


def test_by_forms(browse: Browse, world: World, store: Buckets) -> None:
    client, ctx, volume = browse("member"), world.ctx("member"), made(world)
    write(volume, "precious")
    page = client.get("/p/shop/backups").content.decode()
    assert "No backups" in page
    assert "There is no vault" in client.get("/p/shop/backups/new").content.decode()
    fields = {"name": "Safe", "bucket": "", "prefix": "backups", "encrypted": "on", "passphrase": ""}
    assert client.post("/p/shop/backup-vaults/new", fields).status_code == 400
    shown = client.post("/p/shop/backup-vaults/new", fields | {"bucket": "safe"}).content.decode()
    vault = backup_vaults.list(ctx).get()
    assert "shown this once" in shown
    refused = client.post("/p/shop/backups/new", {"of": "", "vault_id": str(vault.id), "name": "", "full": ""})
    assert "Choose an instance or a volume." in refused.content.decode()
    at = client.post("/p/shop/backups/new", {"of": f"volume:{volume.id}", "vault_id": str(vault.id), "name": "first", "full": ""})[
        "Location"
    ]
    assert "It waits for its moment." in client.get(at).content.decode()
    work()
    page = client.get(at).content.decode()
    assert "Added to the bucket" in page
    table = b"".join(client.get("/p/shop/backups.csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert table.count("first") == 1
    client.post(f"{at}/do/verify")
    work()
    assert "Every chunk was fetched" in client.get(at).content.decode()
    empty = {"how": "volume", "name": "", "size_gib": "", "type_id": "", "volume_id": "", "new_name": "", "flavor_id": "", "image_id": ""}
    assert "Give it a name." in client.post(f"{at}/restore", empty).content.decode()
    assert "Choose the volume." in client.post(f"{at}/restore", empty | {"how": "over"}).content.decode()
    assert client.post(f"{at}/restore", empty | {"how": "melt"}).status_code == 400
    back = client.post(f"{at}/restore", empty | {"name": "back"})["Location"]
    work()
    assert text(volumes.list(ctx, q="back").get()) == "precious"
    assert back.startswith("/p/shop/volumes/")
    client.post(f"{at}/rename", {"name": "the first", "description": ""})
    assert backups.list(ctx).get().name == "the first"
    assert client.post(f"{at}/do/delete")["Location"] == "/p/shop/backups"
    work()
    assert not backups.list(ctx).exists()
    assert client.post(f"/p/shop/backup-vaults/{vault.id}/do/forget")["Location"] == "/p/shop/backup-vaults"
    assert not backup_vaults.list(ctx).exists()


def test_a_schedule_by_forms(browse: Browse, world: World, store: Buckets) -> None:
    client, ctx, volume = browse("member"), world.ctx("member"), made(world)
    vault = backup_vaults.create(ctx, name="Safe", bucket="safe").vault
    times = {"every": "day", "minute": "0", "hour": "3", "weekday": "0", "day": "1", "is_verified": ""}
    keeps = {"keep_last": "3", "keep_hourly": "0", "keep_daily": "7", "keep_weekly": "4", "keep_monthly": "6"}
    fields = {"name": "nightly", "of": f"volume:{volume.id}", "tag": "", "vault_id": str(vault.id)} | times | keeps
    assert "The hour is 0 to 23." in client.post("/p/shop/backup-schedules/new", fields | {"hour": "30"}).content.decode()
    assert "Which tag?" in client.post("/p/shop/backup-schedules/new", fields | {"of": "tag"}).content.decode()
    at = client.post("/p/shop/backup-schedules/new", fields)["Location"]
    client.post(f"{at}/do/run")
    work()
    page = client.get(at).content.decode()
    assert "daily" in page
    assert "Next:" in page
    assert client.post(at, {"name": "weekly"} | times | keeps | {"every": "week"}).status_code == 302
    client.post(f"{at}/do/off")
    row = backup_schedules.list(ctx).get()
    assert (row.name, row.every, row.is_active) == ("weekly", "week", False)
    assert client.post(f"{at}/do/delete")["Location"] == "/p/shop/backup-schedules"
    assert backups.list(ctx).count() == 1


def test_a_reader_sees_why_not(browse: Browse, world: World, store: Buckets) -> None:
    ctx, volume = world.ctx("member"), made(world)
    vault = backup_vaults.create(ctx, name="Safe", bucket="safe").vault
    (row,) = backups.create(ctx, vault_id=vault.id, volume_id=volume.id)  # type: ignore[misc]
    work()
    client = browse("reader")
    assert client.get(f"/p/shop/backups/{row.id}").content.decode().count('aria-disabled="true"') >= 4
    client.post(f"/p/shop/backups/{row.id}/do/delete")
    assert backups.get(ctx, row.id).status == "ready"
    for path in (f"backups/{row.id}", f"backups/{row.id}/restore", f"backup-vaults/{vault.id}"):
        assert browse("stranger").get(f"/p/shop/{path}").status_code == 404


def test_by_rest(world: World, store: Buckets) -> None:
    """The same life by the API, and the shapes that it tells."""
    client = Client(headers={"Authorization": f"Bearer {world.token('member', 'member')}"})
    volume, ctx = made(world), world.ctx("member")
    write(volume, "precious")
    at = "/api/v1/projects/shop"

    def post(path: str, **body: object) -> dict:  # type: ignore[type-arg]
        answer = client.post(f"{at}/{path}", body, content_type="application/json")
        assert answer.status_code < 300, answer.content
        return answer.json()  # type: ignore[no-any-return]

    made_now = post("backup-vaults", name="Safe", bucket="safe", encrypted=True)
    assert made_now["passphrase"]
    vault_id = made_now["vault"]["id"]
    assert "passphrase" not in client.get(f"{at}/backup-vaults/{vault_id}").json()
    (item,) = post("backups", vault_id=vault_id, volume_id=str(volume.id))["items"]
    assert item["status"] == "creating"
    work()
    item = client.get(f"{at}/backups/{item['id']}").json()
    assert (item["status"], item["is_full"], item["percent"], item["actions"]["restore"]) == ("ready", True, 100, None)
    back = post(f"backups/{item['id']}/restore-volume", name="back")
    work()
    assert text(volumes.get(ctx, back["id"])) == "precious"
    write(volume, "spoiled")
    post(f"backups/{item['id']}/restore-over", volume_id=str(volume.id))
    work()
    assert text(volume) == "precious"
    refused = client.post(f"{at}/backups/{item['id']}/restore-instance", {"name": "x"}, content_type="application/json")
    assert refused.status_code == 409
    assert "as a volume" in refused.json()["detail"]
    row = post("backup-schedules", name="nightly", vault_id=vault_id, volume_id=str(volume.id))
    assert (row["every"], row["keep_daily"], row["is_active"]) == ("day", 7, True)
    assert client.patch(f"{at}/backup-schedules/{row['id']}", {"hour": 24}, content_type="application/json").status_code == 422
    assert client.get(f"{at}/backups?volume_id={volume.id}").json()["items"][0]["id"] == item["id"]
    assert client.delete(f"{at}/backup-vaults/{vault_id}").status_code == 409


def _card(client: Client, path: str) -> str:
    """The words of the card of backups on a page."""
    html = client.get(path).content.decode()
    card = html[html.index('id="bk-card"') :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", card[: card.index("</section>")]))


def test_the_card_of_a_disk(browse: Browse, world: World, store: Buckets) -> None:
    """A volume and its instance: nothing yet, backed up by the card's own button, then verified, then by a schedule of a tag."""
    client, ctx, volume = browse("member"), world.ctx("member"), attached(world)
    at, of = f"/p/shop/volumes/{volume.id}", f"/p/shop/instances/{volume.instance_id}/disks"
    assert "There is no vault to put a backup into." in _card(client, at)
    assert "It has no backup." in client.get(at).content.decode()
    vault = backup_vaults.create(ctx, name="Safe", bucket="safe").vault
    assert "none yet" in _card(client, at)
    assert client.post("/p/shop/backups/new", {"of": f"volume:{volume.id}", "vault_id": str(vault.id)}).status_code == 302
    assert "one is being made" in _card(client, at)
    work()
    assert "never" in _card(client, at)
    assert "its 1 backup, from which" in client.get(at).content.decode()
    assert "none yet" in _card(client, of)  # of the whole instance there is none
    client.post("/p/shop/backups/new", {"of": f"instance:{volume.instance_id}", "vault_id": str(vault.id)})
    work()
    assert "never" in _card(client, of)
    backups.verify(ctx, backups.list(ctx, volume_id=volume.id)[0].id)
    work()
    assert "never" not in _card(client, at)
    assert "when somebody asks" in _card(client, of)
    backup_schedules.create(ctx, name="nightly", vault_id=vault.id, tag="tier:gold")
    instances.update(ctx, volume.instance_id, tags={"tier": "gold"})  # type: ignore[arg-type]
    assert "by nightly" in _card(client, of)
    assert "by nightly" in _card(client, at)
    assert 'aria-disabled="true"' in browse("reader").get(at).content.decode()
