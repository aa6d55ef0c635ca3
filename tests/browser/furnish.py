"""Run inside the box of the browser tests: people of every role and things in every state. Prints their ids as JSON."""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudbox.settings")
django.setup()

from django.utils import timezone  # noqa: E402

from cloudbox.common.object_client import ObjectClient, endpoint  # noqa: E402
from cloudbox.common.object_signing import Keys  # noqa: E402
from compute import (  # noqa: E402
    address_groups,
    backup_schedules,
    backup_vaults,
    backups,
    flavors,
    floating_ips,
    image_copies,
    image_members,
    images,
    instances,
    keypairs,
    load_balancers,
    networks,
    port_forwards,
    ports,
    routers,
    security_groups,
    snapshots,
    snippets,
    volumes,
    vpn,
)
from compute.backup_lifecycle import open_vault  # noqa: E402
from compute.instances import LaunchSpec  # noqa: E402
from compute.models import BackupVault, CatalogueEntry, Image, ImageExport, ImageMember, Instance  # noqa: E402
from compute.shipped_snippets import SNIPPETS  # noqa: E402
from identity import credentials, projects, quotas, temporary, users  # noqa: E402
from identity.authn.session import context_of  # noqa: E402
from identity.context import SYSTEM, Context  # noqa: E402
from identity.models import Project, User  # noqa: E402
from storage import buckets, configurations, keys, lifecycle, policy_drafts, webhooks  # noqa: E402
from storage.models import BucketUsage, StoreDrive  # noqa: E402
from tests.browser.pages import HOSTILE  # noqa: E402
from tests.filesystems.backup import backup_of  # noqa: E402
from tests.filesystems.disks import FileBytes, ext, partitioned, tree  # noqa: E402

WAIT_SECONDS = 40
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
PDF = b"%PDF-1.1\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Count 0/Kids[]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def main() -> None:
    people, things = {}, {}
    for who, box_role in {"bob": "", "reader": "", "support": "support", "nobody": ""}.items():
        user, password = users.create(SYSTEM, email=f"{who}@example.org", name=who.title(), box_role=box_role)
        people[who] = [user.email, password]
        things[f"user_{who}"] = str(user.id)
    owner = User.objects.get(email="admin@cloudbox.local")
    ctx = context_of(owner, "demo", api="cli")
    for who, role in {"bob": "member", "reader": "reader"}.items():
        projects.add_member(ctx, email=f"{who}@example.org", role=role)
    paused = projects.create(SYSTEM, name="Orkla Print", owner_email="bob@example.org", description="Has not paid since summer")
    projects.suspend(SYSTEM, paused)
    tight = projects.create(SYSTEM, name="Fjord Maps", owner_email="bob@example.org")
    quotas.set_limits(SYSTEM, tight, {"security_groups": 1, "keypairs": None})
    things |= _network_things(ctx) | _instances(ctx) | _objects(ctx)
    things |= _own_image(ctx, [tight, paused])
    things |= _volumes(ctx, things["web"])
    things |= _outside(ctx, things["web"])
    things |= _backups(ctx, UUID(things["volume"]))
    flavors.retire(SYSTEM, flavors.create(SYSTEM, name="old.large", vcpus=8, memory_mib=16384, disk_gib=80).id)
    credentials.create_token(ctx, name="deploy", role="member", days=90)
    credentials.create_access_key(ctx, name="backups")
    things["drive"] = _drive()
    print(json.dumps({"people": people, "things": things}))


def _network_things(ctx: Context) -> dict[str, str]:
    group = security_groups.create(ctx, name="web", description="Who may reach the shop")
    security_groups.add_rule(ctx, group.id, direction="ingress", protocol="tcp", port_min=443, port_max=443, remote_cidr="0.0.0.0/0")
    offices = address_groups.create(ctx, name="offices", cidrs=["203.0.113.0/24", "2001:db8::/32"])
    security_groups.add_rule(ctx, group.id, direction="ingress", protocol="tcp", port_min=22, remote_address_group_id=offices.id)
    keypair, _ = keypairs.create(ctx, name="ada-laptop")
    wrong = "#cloud-config\npackage_updates: true\nwrite_files:\n  - path: /etc/motd\n    permissions: 0644\n    content: Welcome\n"
    snippet = snippets.create(ctx, name="Our web servers", description="nginx, and who may sign in", content=wrong, anyway=True)
    back = networks.create(ctx, name="back", cidr="10.30.0.0/24")
    network = networks.list(ctx).exclude(id=back.id).get()
    networks.update(ctx, network.id, {"ipv6_mode": "slaac"})  # long addresses are what narrow pages break on
    port = ports.reserve(ctx, network_id=back.id, name="database", dns_name="db", rate_in_kbps=10_000)
    kept = {"addresses": str(offices.id), "port": str(port.id)}
    return kept | {
        "group": str(group.id),
        "keypair": str(keypair.id),
        "snippet": str(snippet.id),
        "peer": str(vpn.create(ctx, name="ada-laptop", network_id=network.id)[0].id),
        "shipped": str(SNIPPETS[0].id),
        "network": str(network.id),
        "back": str(back.id),
        "router": str(network.router_id),
    }


def _own_image(ctx: Context, others: list[Project]) -> dict[str, str]:
    """One that is shared, with an export in each state."""
    image = Image.objects.create(
        project=ctx.needed_project,
        name="Debian 12 with our agents",
        os="debian",
        status="ready",
        size_bytes=412 * 2**20,
        virtual_bytes=2**31,
    )
    image_copies.put(image.id, io.BytesIO(b"QFI\xfb"))
    for other in others:
        image_members.offer(ctx, image.id, project_id=other.id)
    ImageMember.objects.filter(image=image, project=others[0]).update(status="accepted")
    for number, (kind, status) in enumerate({"vmdk": "ready", "ova": "exporting", "vhdx": "failed"}.items()):
        ImageExport.objects.create(
            image=image,
            project=ctx.needed_project,
            format=kind,
            bucket="media",
            key=f"images/debian-12-with-our-agents.{kind}",
            status=status,
            progress=40 * number,
            size_bytes=398 * 2**20 if status == "ready" else 0,
            checksum="9f" * 32 if status == "ready" else "",
            error="The bucket media has reached its quota of 20.0 GiB." if status == "failed" else "",
        )
    return {"own_image": str(image.id)}


def _outside(ctx: Context, instance_id: str) -> dict[str, str]:
    """A floating IP on an instance, and a forwarded port with a static route on its router."""
    port = ports.list(ctx).filter(instance_id=instance_id)[0]
    address = floating_ips.allocate(ctx, description="The shop")
    floating_ips.associate(ctx, address.id, port_id=port.id)
    router_id = networks.get(ctx, port.network_id).router_id
    assert router_id is not None
    port_forwards.create(ctx, router_id=router_id, protocol="tcp", external_port=8022, port_id=port.id, internal_port=22, description="ssh")
    routers.set_routes(ctx, router_id, [{"destination": "10.99.0.0/24", "next_hop": port.ip}])
    balancer = load_balancers.launch(
        ctx,
        name="front",
        network_id=port.network_id,
        protocol="http",
        number=80,
        member_number=8080,
        port_ids=[port.id],
        check_path="/health",
    )
    return {
        "floating": str(address.id),
        "balancer": str(balancer.id),
        "pool": str(balancer.pools.get().id),
        "listener": str(balancer.listeners.get().id),
    }


def _objects(ctx: Context) -> dict[str, str]:
    """A bucket with folders, kinds that can be looked into, versions, a deletion, and names that mean harm."""
    bucket = buckets.create(ctx, name="media")
    buckets.change(ctx, bucket, buckets.versioning(True))
    buckets.create(ctx, name="archive")
    made = temporary.issue_for_service(project=ctx.project_id, seconds=600)
    client = ObjectClient(endpoint(), lambda: Keys(made.access_key, made.secret_key, made.session_token))
    for name, body, kind in (
        ("2026/launch/harbour.png", PIXEL, "image/png"),
        ("2026/launch/notes.md", b"# Launch\n\nOn Monday, at nine.\n" * 40, "text/markdown"),
        ("2026/launch/press.pdf", PDF, "application/pdf"),
        ("2026/raw/clip.mov", b"0" * 4096, "video/quicktime"),
        ("readme.txt", b"first", "text/plain"),
        ("readme.txt", b"second", "text/plain"),
        ("gone.txt", b"x", "text/plain"),
        (HOSTILE, b"<script>alert(1)</script>", "text/html"),
        (f"{HOSTILE}/{HOSTILE}", b"", "text/html"),
        ("a-very-long-name-" + "without-any-space-" * 8 + ".bin", b"x" * 123_456, "application/octet-stream"),
    ):
        client.put("media", name, body, content_type=kind, metadata={"camera": "left"})
    client.put_tags("media", "readme.txt", {"env": "prod"})
    _rules(ctx, bucket)
    client.delete("media", "gone.txt")
    return {}


def _instances(ctx: Context) -> dict[str, str]:
    """One running, one stopped, one in error since its image has no file: each by its real job."""
    image, flavor = images.list(ctx).get(), flavors.list(ctx).first()
    assert flavor is not None
    network = networks.list(ctx).get(name="private")
    spec = LaunchSpec(name="web-1", image_id=image.id, flavor_id=flavor.id, network_ids=[network.id], tags={"env": "prod"})
    broken = Image.objects.create(name="Lost", status="ready", visibility="public", virtual_bytes=2**20, description="Its file is gone")
    (web,), (db,) = instances.launch(ctx, spec), instances.launch(ctx, replace(spec, name="db-1", tags={}, start=False))
    (failed,) = instances.launch(ctx, replace(spec, name="batch-7", tags={}, image_id=broken.id))
    wanted = {web.id: "running", db.id: "stopped", failed.id: "error"}
    deadline = time.monotonic() + WAIT_SECONDS
    while (seen := _statuses(wanted)) != wanted:
        assert time.monotonic() < deadline, f"wanted {wanted}, have {seen}"
        time.sleep(0.1)
    images.deactivate(SYSTEM, broken.id)
    return {
        "web": str(web.id),
        "db": str(db.id),
        "failed": str(failed.id),
        "image": str(image.id),
        "broken": str(broken.id),
        "entry": str(CatalogueEntry.objects.earliest("name").id),
    }


def _volumes(ctx: Context, instance_id: str) -> dict[str, str]:
    """One attached, one free and protected."""
    volume = volumes.create(ctx, name="shop-data", size_gib=20, description="Orders and pictures")
    free = volumes.create(ctx, name="archive", size_gib=5)
    volumes.protect(ctx, free.id)
    _until(lambda: volumes.list(ctx, status="available").count() == 2)
    volumes.attach(ctx, volume.id, instance_id=UUID(instance_id))
    _until(lambda: volumes.list(ctx, status="attached").count() == 1)
    for name in ("monday", "tuesday"):
        snapshots.create(ctx, volume_id=volume.id, name=name)
    _until(lambda: snapshots.list(ctx, status="ready").count() == 2)
    taken = snapshots.list(ctx, status="ready").first()
    assert taken is not None
    return {"volume": str(volume.id), "free": str(free.id), "volume_type": str(volume.type_id), "snapshot": str(taken.id)}


def _backups(ctx: Context, volume_id: UUID) -> dict[str, str]:
    """Two backups of a volume in a vault in a bucket, and a schedule."""
    vault = backup_vaults.create(ctx, name="Safe", bucket="media", prefix="backups", encrypted=True).vault
    for name in ("first", "second"):
        (backup,) = backups.create(ctx, vault_id=vault.id, volume_id=volume_id, name=name)
        _until(lambda id=backup.id: backups.get(ctx, id).status == "ready")  # type: ignore[misc]
    schedule = backup_schedules.create(ctx, name="nightly", vault_id=vault.id, volume_id=volume_id)
    return {"vault": str(vault.id), "backup": str(backup.id), "schedule": str(schedule.id), "files": _with_files(vault)}


def _with_files(vault: BackupVault) -> str:
    """A backup with a file system in it, as the demo's machines, which are none, write none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree(folder / "tree")
        disk = partitioned(folder / "disk", "gpt", ext(folder / "part", folder / "tree"))
        return str(backup_of(vault, open_vault(vault), FileBytes(disk), name="with files").id)


def _until(come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not come():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _rules(ctx: Context, bucket: Any) -> None:
    """Something in every part of a bucket's settings, keys in both states, and a count of what is there."""
    shared = policy_drafts.statements("share-read", bucket="media", project="orkla-print")
    opened = policy_drafts.statements("public-read", bucket="media", prefix="public/")
    configurations.set_policy(ctx, bucket, policy_drafts.added(policy_drafts.added("", opened), shared))
    rules = [{"id": "logs", "prefix": "2026/raw/", "days": 1}, {"noncurrent_days": 30, "noncurrent_keep": 3, "enabled": False}]
    configurations.set_lifecycle(ctx, bucket, [lifecycle.stored(rule) for rule in rules])
    configurations.set_cors(ctx, bucket, [{"origins": ["https://www.example.org"], "methods": ["GET"], "max_age_seconds": 600}])
    configurations.update(ctx, bucket, {"tags": {"env": "prod"}, "quota_bytes": 20 * 2**30, "website": {"index": "index.html"}})
    webhooks.create(ctx, name="thumbnails", url="https://hooks.example.org/thumbnails")
    off, _ = webhooks.create(ctx, name="mirror", url="https://mirror.example.org/events?of=media")
    told = [{"webhook": "thumbnails", "events": ["ObjectCreated:*"], "prefix": "2026/", "suffix": ".png"}]
    webhooks.set_rules(ctx, bucket, [*told, {"webhook": "mirror", "events": ["ObjectRemoved:*", "ObjectTagging:Put"]}])
    webhooks.change(ctx, off.id, is_enabled=False)
    keys.create(ctx, name="invoices")
    keys.set_enabled(ctx, keys.create(ctx, name="old/invoices").id, False)
    BucketUsage.objects.update_or_create(
        bucket=bucket, defaults={"objects_count": 9, "versions_count": 11, "bytes": 130_000, "counted_at": timezone.now()}
    )


def _drive() -> str:
    """The first drive, as soon as the data plane has told of it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (row := StoreDrive.objects.first()) is None:
        assert time.monotonic() < deadline, "the data plane told of no drive"
        time.sleep(0.1)
    return str(row.id)


def _statuses(ids: dict[Any, str]) -> dict[Any, str]:
    return dict(Instance.objects.filter(id__in=ids).values_list("id", "status"))


if __name__ == "__main__":
    main()
