"""Images on their way in: what is fetched, refused, converted, and what a crash or a deletion in the middle leaves."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings as django_settings
from django.db import connection, transaction

from cloudbox.common import jobs
from cloudbox.common.errors import AlreadyExists, CloudError, Conflict, Forbidden, Invalid, NotFound
from cloudbox.common.models import Event, Job
from compute import (
    changes,
    desired,
    host,
    image_catalogue,
    image_exports,
    image_members,
    images,
    instance_snapshots,
    instances,
    reconcilers,
    snapshots,
    volumes,
    well_known_images,
)
from compute.image_formats import checksums
from compute.instances import LaunchSpec
from compute.jobs import export_image, import_image
from compute.models import CatalogueEntry, Image, ImageExport
from identity.context import SYSTEM
from tests.buckets import Buckets
from tests.fixtures import machine_home, world
from tests.world import World, work

__all__ = ["machine_home", "world"]
S = Image.Status
MIB = 2**20


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A disk that looks bootable, as files of several formats."""
    folder = tmp_path_factory.mktemp("disks")
    raw = folder / "raw"
    mbr = bytearray(512)
    mbr[:4], mbr[446], mbr[450], mbr[454:458], mbr[458:462] = b"\xeb\x3c\x90\x90", 0x80, 0x83, b"\0\x08\0\0", b"\0\x08\0\0"
    mbr[510:] = b"\x55\xaa"
    raw.write_bytes(bytes(mbr) + b"data" * 1024 + bytes(4 * MIB - 512 - 4096))
    for name, options in {"vmdk": ["-o", "subformat=streamOptimized"], "vhdx": [], "qcow2": []}.items():
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", name, *options, str(raw), str(folder / name)], check=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextmanager
def serving(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """A web server of these paths, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers[self.path]
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_from_an_address(world: World, disk: dict[str, bytes], settings: Any) -> None:
    """By a redirect, with its checksum compared; it is what instances start from then."""
    settings.IMAGE_NETWORKS = ["127.0.0.0/8"]
    ctx = world.ctx("member")
    answers = {"/a": (302, {"Location": "/disk.vmdk"}, b""), "/disk.vmdk": (200, {}, disk["vmdk"])}
    with serving(answers) as at:
        image = images.create(ctx, name="Web", url=f"{at}/a", checksum=hashlib.sha512(disk["vmdk"]).hexdigest().upper())
        assert image.status == S.IMPORTING
        work(image.id)
    image.refresh_from_db()
    assert image.error == ""
    assert (image.status, image.format, image.virtual_bytes) == (S.READY, "vmdk", 4 * MIB)
    assert image.facts["boot"] == {"bios": True, "uefi": False, "table": "mbr", "system": "", "sentence": "It looks bootable by BIOS."}
    path = host.images().path(image.id)
    assert image.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    raw = path.with_suffix(".raw")
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(path), str(raw)], check=True)
    assert raw.read_bytes() == disk["raw"]
    assert host.workshops() == set()
    world.running(name="one", image_id=image.id)
    with pytest.raises(Conflict):
        images.delete(ctx, image.id)


def test_from_a_bucket(world: World, disk: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    store = Buckets({"disks": {}})
    store.put("disks", "my/disk.vhdx", disk["vhdx"])
    monkeypatch.setattr(import_image, "store_of", lambda project_id: store)
    ctx = world.ctx("member")
    image = images.create(ctx, name="Own", bucket="disks", key="my/disk.vhdx")
    missing = images.create(ctx, name="Missing", bucket="disks", key="nothing")
    work()
    image.refresh_from_db()
    missing.refresh_from_db()
    assert (image.status, image.format, image.virtual_bytes) == (S.READY, "vhdx", 4 * MIB)
    assert missing.status == S.FAILED
    assert missing.error
    assert host.workshops() == set()


REFUSED: dict[str, tuple[tuple[int, dict[str, str], bytes], str]] = {
    "not there": ((404, {}, b""), "answered 404"),
    "cut off": ((200, {"Content-Length": "9999999"}, b"x" * 4096), "broke off"),
    "a page": ((200, {}, b"<!doctype html>" + b" " * 4096), "lies elsewhere"),
    "too large": ((200, {"Content-Length": str(2**50)}, b""), "more than 64 GiB"),
    "inside by redirect": ((302, {"Location": "http://169.254.169.254/latest/meta-data/"}, b""), "not on the internet"),
    "another scheme by redirect": ((302, {"Location": "file:///etc/shadow"}, b""), "whole address"),
    "round and round": ((302, {"Location": "/"}, b""), "redirects"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_an_address_may_answer(world: World, settings: Any, what: str) -> None:
    settings.IMAGE_NETWORKS = ["127.0.0.0/8"]
    answer, reason = REFUSED[what]
    with serving({"/": answer}) as at:
        image = images.create(world.ctx("member"), name="Web", url=f"{at}/")
        work(image.id)
    image.refresh_from_db()
    assert image.status == S.FAILED
    assert reason in image.error
    assert host.workshops() == set()
    assert image.id not in set(host.images().all())


def test_addresses_that_are_never_asked(world: World) -> None:
    ctx = world.ctx("member")
    for url in ("http://127.0.0.1/x", "http://10.0.0.1/x", "http://169.254.169.254/", "http://[::1]/x", "http://[fe80::1]/x"):
        image = images.create(ctx, name="Inside", url=url)
        work(image.id)
        image.refresh_from_db()
        assert image.status == S.FAILED
        assert "not on the internet" in image.error, url


def test_a_checksum_that_does_not_fit(world: World, disk: dict[str, bytes], settings: Any) -> None:
    settings.IMAGE_NETWORKS = ["127.0.0.0/8"]
    with serving({"/": (200, {}, disk["qcow2"])}) as at:
        image = images.create(world.ctx("member"), name="Web", url=f"{at}/", checksum="0" * 64)
        work(image.id)
    image.refresh_from_db()
    assert "not the one that was meant" in image.error
    assert hashlib.sha256(disk["qcow2"]).hexdigest() in image.error


def test_what_is_no_source(world: World) -> None:
    ctx = world.ctx("member")
    wrong: list[dict[str, Any]] = [
        {},
        {"url": "https://a.example/", "bucket": "b", "key": "k"},
        {"url": "ftp://a.example/"},
        {"url": "https://u:p@a.example/"},
        {"bucket": "b"},
        {"key": "k"},
        {"bucket": "b", "key": "k" * 1025},
        {"url": "https://a.example/", "checksum": "abc"},
        {"url": "https://a.example/", "name": ""},
    ]
    for words in wrong:
        with pytest.raises(Invalid):
            images.create(ctx, **({"name": "x"} | words))
    with pytest.raises(Forbidden):
        images.create(world.ctx("reader"), name="x", url="https://a.example/")
    assert not Job.objects.filter(kind="import-image").exists()


def test_deleting_ends_the_work(world: World, disk: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    store = Buckets({"disks": {}})
    store.put("disks", "d", disk["qcow2"])
    monkeypatch.setattr(import_image, "store_of", lambda project_id: store)
    ctx = world.ctx("member")
    image = images.create(ctx, name="Own", bucket="disks", key="d")
    images.delete(ctx, image.id)
    work()
    image.refresh_from_db()
    assert image.status == S.DELETED
    reconcilers.images()
    assert host.workshops() == set()
    assert image.id not in set(host.images().all())
    with pytest.raises(NotFound):
        images.get(ctx, image.id)


@pytest.mark.parametrize("step", range(len(import_image.KIND.steps)))
def test_a_crash_in_any_step_is_repeated(world: World, disk: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The worker dies right after the step has done its work, before that is written down."""
    store = Buckets({"disks": {}})
    store.put("disks", "d", disk["qcow2"])
    monkeypatch.setattr(import_image, "store_of", lambda project_id: store)
    image = images.create(world.ctx("member"), name="Own", bucket="disks", key="d")
    job = Job.objects.get(subject_id=image.id)
    run = jobs.Run(job)
    for each in import_image.KIND.steps[: step + 1]:
        each.do(run)
    Job.objects.filter(id=job.id).update(step=step)
    work(image.id)
    image.refresh_from_db()
    assert (image.status, image.error) == (S.READY, "")
    assert image.id in set(host.images().all())
    assert host.workshops() == set()


def test_one_without_a_job_gets_one(world: World) -> None:
    image = images.create(world.ctx("member"), name="Own", bucket="disks", key="d")
    Job.objects.filter(subject_id=image.id).delete()
    host.workshop(image.id).open_source().close()
    reconcilers.images()
    assert Job.objects.filter(subject_id=image.id, kind="import-image").exists()
    Image.objects.filter(id=image.id).update(status=S.FAILED)
    Job.objects.filter(subject_id=image.id).delete()
    reconcilers.images()
    assert host.workshops() == set()


def test_the_program_has_no_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens a tenant's file: nobody, without capabilities, without a network, unable to write much."""
    from uuid import uuid4

    from compute.drivers import conversion

    shop = conversion.Workshop(Path(django_settings.HOME), uuid4())
    with shop.open_source() as file:
        file.write(bytes(4096))
    shop._prepare()
    script = "grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' /proc/self/status; ls /sys/class/net 2>/dev/null; cat /proc/net/dev | wc -l"
    told = shop._run(["sh", "-c", script], cpu_seconds=5, file_bytes=0).decode()
    account = conversion._account()[0]
    assert f"Uid:\t{account}\t{account}" in told
    assert "CapEff:\t0000000000000000" in told
    assert "NoNewPrivs:\t1" in told
    assert told.split()[-1] == "3", told  # two lines of heading, and a loopback that is down
    with pytest.raises(CloudError):
        shop._run(["sh", "-c", "head -c 200000000 /dev/zero > large"], cpu_seconds=5, file_bytes=0)
    with pytest.raises(CloudError):
        shop._run(["sh", "-c", "while :; do :; done"], cpu_seconds=1, file_bytes=0)
    # What it leaves may be a link to what root can read.
    (shop._inside / "disk.qcow2").unlink(missing_ok=True)
    (shop._inside / "disk.qcow2").symlink_to("/etc/shadow")
    with pytest.raises(OSError, match="symbolic"):
        shop.take(shop._inside / "disk.qcow2")
    shop.clear()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_nobody_deletes_what_somebody_begins_to_stand_on(world: World) -> None:
    """A deletion waits for a launch that is not committed yet, and then finds it; and a launch that comes second finds the deletion."""
    ctx, admin, told = world.ctx("member"), world.ctx("admin"), []

    def delete() -> None:
        try:
            images.delete(admin, world.image.id)
            told.append("deleted")
        except Conflict as error:
            told.append(str(error))
        finally:
            connection.close()

    thread = threading.Thread(target=delete)
    with transaction.atomic():
        world.launch()
        thread.start()
        thread.join(0.7)
        assert thread.is_alive(), told
    thread.join()
    assert told == ["1 instance stands on Debian. Deactivate it instead."]
    other = Image.objects.create(name="Other", status=S.READY, visibility=Image.Visibility.PUBLIC)
    with transaction.atomic():
        images.hold(other)
    images.delete(admin, other.id)
    with pytest.raises(Conflict, match="deleted meanwhile"), transaction.atomic():
        images.hold(other)
    with pytest.raises(NotFound):
        images.get(ctx, other.id)


# --- whose it is, and what its machines are made of


def own(world: World, **fields: Any) -> Image:
    """A ready image of the shop; without a file, since nothing is launched from it."""
    return Image.objects.create(project=world.project, **({"name": "Own", "status": S.READY, "virtual_bytes": MIB} | fields))


def test_shared_with_another_project(world: World) -> None:
    """It sees what it was offered, launches from it when it has accepted, and no more once that is withdrawn."""
    ctx, theirs = world.ctx("member"), world.ctx("stranger", world.other)
    image = own(world)
    host.images().put(image.id, io.BytesIO(b"a disk"))
    spec: dict[str, Any] = {"image_id": image.id, "flavor_id": world.flavor.id, "without_network": True}
    with pytest.raises(NotFound):
        images.get(theirs, image.id)
    with pytest.raises(NotFound):
        image_members.offer(ctx, image.id, project_id=uuid4())
    image_members.offer(ctx, image.id, project_id=world.other.id)
    with pytest.raises(AlreadyExists):
        image_members.offer(ctx, image.id, project_id=world.other.id)
    assert images.get(ctx, image.id).visibility == "shared"
    assert images.get(theirs, image.id) == image
    assert image not in images.list(theirs)
    assert [*images.offered(theirs)] == [image]
    with pytest.raises(Conflict, match="Accept it first"):
        instances.launch(theirs, LaunchSpec(name="one", **spec))
    with pytest.raises(Conflict, match="Accept it first"):
        volumes.create(theirs, name="one", image_id=image.id)
    assert image_members.reject(theirs, image.id).status == "rejected"
    assert [*images.offered(theirs)] == []
    assert image_members.accept(theirs, image.id).status == "accepted"
    assert image in images.list(theirs)
    (instance,) = instances.launch(theirs, LaunchSpec(name="one", **spec))
    for change in (images.deactivate, images.delete, images.protect):
        with pytest.raises(Forbidden):
            change(theirs, image.id)
    with pytest.raises(Conflict, match="another project"):
        image_members.offer(theirs, image.id, project_id=world.project.id)
    assert [row.project_id for row in image_members.list(theirs, image.id)] == [world.other.id]
    with pytest.raises(Conflict, match="1 instance stands on"):
        images.delete(ctx, image.id)
    image_members.withdraw(ctx, image.id, project_id=world.other.id)
    with pytest.raises(NotFound):
        images.get(theirs, image.id)
    with pytest.raises(NotFound):
        instances.launch(theirs, LaunchSpec(name="two", **spec))
    instance.refresh_from_db()
    assert (instance.image_id, instance.intended) == (image.id, "running")
    said = Event.objects.filter(subject_id=image.id, noun="image").order_by("id").values_list("verb", "project_id")
    assert [*said] == [
        ("share", world.project.id),
        ("reject", world.other.id),
        ("accept", world.other.id),
        ("withdraw", world.project.id),
    ]


def test_visibility(world: World) -> None:
    """The community's is for whoever asks, in nobody's list; only the box makes one public; private again has no members."""
    ctx, theirs = world.ctx("member"), world.ctx("stranger", world.other)
    image = own(world)
    images.update(ctx, image.id, visibility="community")
    assert image not in images.list(theirs)
    assert image in images.list(theirs, visibility="community")
    assert images.get(theirs, image.id, to_use=True) == image
    with pytest.raises(Conflict, match="every project already"):
        image_members.offer(ctx, image.id, project_id=world.other.id)
    with pytest.raises(Forbidden):
        images.update(ctx, image.id, visibility="public")
    with pytest.raises(Invalid):
        images.update(ctx, image.id, visibility="everybody")
    images.update(ctx, image.id, visibility="private")
    image_members.offer(ctx, image.id, project_id=world.other.id)
    image_members.accept(theirs, image.id)
    images.update(ctx, image.id, visibility="private")
    assert not image_members.list(ctx, image.id).exists()
    assert "withdrawn from 1 project" in Event.objects.filter(subject_id=image.id).latest("id").detail
    with pytest.raises(NotFound):
        images.get(theirs, image.id)
    images.update(world.ctx("admin"), world.image.id, visibility="community")
    with pytest.raises(Conflict, match="catalogue"):
        images.update(world.ctx("admin"), world.image.id, visibility="private")


def test_protected_and_deactivated(world: World) -> None:
    ctx = world.ctx("member")
    image = own(world)
    images.protect(ctx, image.id)
    with pytest.raises(Conflict, match="is protected"):
        images.delete(ctx, image.id)
    images.unprotect(ctx, image.id)
    images.deactivate(ctx, image.id)
    with pytest.raises(Conflict, match="is deactivated"):
        world.launch(image_id=image.id)
    images.delete(ctx, image.id)
    assert Event.objects.filter(subject_id=image.id, verb__in=["protect", "unprotect"]).count() == 2


def test_what_its_machines_are_made_of(world: World) -> None:
    """Those launched from now on; those that are there keep theirs, until they are built anew from another image."""
    before = world.running(name="before")
    image = own(world, facts={"boot": {"bios": True, "uefi": False, "system": "windows", "sentence": "It looks bootable by BIOS."}})
    host.images().put(image.id, io.BytesIO(b"a disk"))
    ctx = world.ctx("member")
    assert "Give it SATA" in images.concern(image)
    image = images.be_gentler(ctx, image.id)
    assert (image.disk_bus, image.nic_model, images.concern(image)) == ("sata", "e1000e", "")
    spec = desired.machine(world.running(name="after", image_id=image.id))
    assert (spec.disk_bus, {nic.model for nic in spec.nics}) == ("sata", {"e1000e"})
    images.update(ctx, image.id, disk_bus="scsi", nic_model="e1000", min_disk_gib=2, min_memory_mib=10**6)
    assert desired.machine(before).disk_bus == "virtio"
    with pytest.raises(Invalid, match="memory"):
        world.launch(image_id=image.id)
    images.update(ctx, image.id, min_memory_mib=0)
    changes.rebuild(ctx, before.id, image_id=image.id)
    work(before.id)
    before.refresh_from_db()
    assert (before.image_id, before.disk_bus, before.nic_model) == (image.id, "scsi", "e1000")
    for wrong in ({"disk_bus": "floppy"}, {"nic_model": "ne2000"}, {"min_disk_gib": -1}):
        with pytest.raises(Invalid):
            images.update(ctx, image.id, **wrong)


def test_registering_goes_on_after_a_crash(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was ended between the row and the file comes back to the same row; what other bytes left is gone."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old" * 512)
    new.write_bytes(b"new" * 512)
    store = host.images()

    def crash(id: UUID, source: object) -> int:
        raise RuntimeError

    def queued() -> list[UUID]:
        return [*Image.objects.filter(name="Box", status=S.QUEUED).values_list("id", flat=True)]

    monkeypatch.setattr(store, "put", crash)
    for path in (old, new, new):
        with pytest.raises(RuntimeError):
            images.register(SYSTEM, name="Box", source=path)
    assert len(queued()) == 2
    monkeypatch.undo()
    made = images.register(SYSTEM, name="Box", source=new)
    assert made.status == S.READY
    assert queued() == []
    assert images.register(SYSTEM, name="Box", source=new) == made
    assert Image.objects.filter(name="Box").exclude(status=S.DELETED).count() == 1


# --- taken away, and made of disks of ours


def exported(world: World, store: Buckets, image: Image, format: str) -> tuple[ImageExport, bytes]:
    row = image_exports.create(world.ctx("member"), image.id, format=format, bucket="disks")
    work(row.id)
    row.refresh_from_db()
    assert row.status == "ready", row.error
    body = store.objects["disks"][row.key]
    assert (row.size_bytes, row.checksum) == (len(body), hashlib.sha256(body).hexdigest())
    return row, body


@pytest.mark.parametrize("format", ImageExport.Format.values)
def test_there_and_back(world: World, disk: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    """Exported to each format in parts, and brought in again: the same disk, to the byte."""
    store = Buckets({"disks": {}})
    monkeypatch.setattr(export_image, "store_of", lambda project_id: store)
    monkeypatch.setattr(import_image, "store_of", lambda project_id: store)
    monkeypatch.setattr(export_image, "PART_BYTES", 5000)
    ctx, image = world.ctx("member"), own(world, name="Ä <disk> & more", virtual_bytes=4 * MIB)
    image.size_bytes = host.images().put(image.id, io.BytesIO(disk["qcow2"]))
    image.save()
    row, body = exported(world, store, image, format)
    assert row.key.endswith(f".{format}")
    assert len(store.uploads) == 0
    assert host.workshops() == set()
    if format == "raw":
        assert body == disk["raw"]
    back = images.create(ctx, name="Back", bucket="disks", key=row.key)
    work(back.id)
    back.refresh_from_db()
    assert (back.status, back.format, back.virtual_bytes) == (S.READY, format, 4 * MIB), back.error
    if format == "ova":
        assert back.facts["launch"] == {"vcpus": 1, "memory_mib": 1024, "nics": 1, "disks": 1}
        (tmp_path / "machine.ova").write_bytes(body)
        with tarfile.open(tmp_path / "machine.ova") as archive:
            assert archive.getnames() == ["machine.ovf", "machine.mf", "disk1.vmdk"]
            listed = dict(re.findall(r"SHA256\((.+)\)= (\w+)", archive.extractfile("machine.mf").read().decode()))  # type: ignore[union-attr]
            for name, digest in listed.items():
                assert hashlib.sha256(archive.extractfile(name).read()).hexdigest() == digest  # type: ignore[union-attr]
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(host.images().path(back.id)), str(raw)], check=True)
    assert raw.read_bytes() == disk["raw"]


def test_an_export_that_ends_early(world: World, disk: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled, refused by the store or begun again after a crash: no part stays in the bucket, no file in the workshop."""
    store = Buckets({"disks": {}})
    monkeypatch.setattr(export_image, "store_of", lambda project_id: store)
    monkeypatch.setattr(export_image, "PART_BYTES", 5000)
    ctx, image = world.ctx("member"), own(world, virtual_bytes=4 * MIB, size_bytes=len(disk["qcow2"]))
    host.images().put(image.id, io.BytesIO(disk["qcow2"]))
    row = image_exports.create(ctx, image.id, format="vmdk", bucket="disks")
    with pytest.raises(Conflict, match="is being exported"):
        images.delete(ctx, image.id)
    image_exports.delete(ctx, row.id)
    work(row.id)
    put, begun = store.put_part, []

    def cancel(*told: Any) -> Any:
        begun.append(image_exports.delete(ctx, begun_row.id))
        monkeypatch.setattr(store, "put_part", put)
        return put(*told)

    monkeypatch.setattr(store, "put_part", cancel)
    begun_row = image_exports.create(ctx, image.id, format="raw", bucket="disks")
    work(begun_row.id)
    assert begun == [None]
    lost = image_exports.create(ctx, image.id, format="qcow2", bucket="nowhere")
    work(lost.id)
    lost.refresh_from_db()
    assert (lost.status, lost.error) == ("failed", "There is no bucket nowhere.")
    assert (store.objects, store.uploads, host.workshops()) == ({"disks": {}}, {}, set())
    again = image_exports.create(ctx, image.id, format="raw", bucket="disks")
    job = Job.objects.get(subject_id=again.id)
    run = jobs.Run(job)
    export_image._convert(run)
    monkeypatch.setattr(store, "complete_upload", crash)
    with pytest.raises(RuntimeError):
        export_image._upload(run)
    assert len(store.uploads) == 1
    monkeypatch.setattr(store, "complete_upload", type(store).complete_upload.__get__(store))
    work(again.id)
    again.refresh_from_db()
    assert again.status == "ready"
    assert store.objects["disks"] == {again.key: disk["raw"]}
    assert store.uploads == {}
    image_exports.delete(ctx, again.id)
    assert again.key in store.objects["disks"]
    images.delete(ctx, image.id)


def crash(*told: object) -> Any:
    raise RuntimeError


def test_exports_of_others(world: World) -> None:
    """Each project sees its own only; who may not use an image may not take it away."""
    ctx, theirs, image = world.ctx("member"), world.ctx("stranger", world.other), own(world)
    row = image_exports.create(ctx, image.id, format="raw", bucket="disks")
    with pytest.raises(NotFound):
        image_exports.get(theirs, row.id)
    with pytest.raises(NotFound):
        image_exports.create(theirs, image.id, format="raw", bucket="disks")
    image_members.offer(ctx, image.id, project_id=world.other.id)
    with pytest.raises(Conflict, match="Accept it first"):
        image_exports.create(theirs, image.id, format="raw", bucket="disks")
    with pytest.raises(Forbidden):
        image_exports.create(world.ctx("reader"), image.id, format="raw", bucket="disks")
    large = own(world, name="Large", virtual_bytes=2**42)
    with pytest.raises(Invalid, match="VHDX"):
        image_exports.create(ctx, large.id, format="vhd", bucket="disks")
    with pytest.raises(Invalid):
        image_exports.create(ctx, image.id, format="zip", bucket="disks")


def test_of_a_disk_of_ours(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a volume's snapshot and of an instance's; and raw, though a guest wrote the beginning of another format onto its disk."""
    ctx, theirs = world.ctx("member"), world.ctx("stranger", world.other)
    volume = volumes.create(ctx, name="data", size_gib=1)
    work(volume.id)
    with host.volumes().open_disk(volume.id) as disk:
        disk.write(0, b"QFI is what its guest wrote here")
    taken = snapshots.create(ctx, volume_id=volume.id, name="first")
    with pytest.raises(Conflict, match="is creating"):
        images.create(ctx, name="Early", snapshot_id=taken.id)
    work(volume.id)
    instance = world.running(name="one")
    whole = instance_snapshots.create(ctx, instance.id, name="whole")
    work(instance.id)
    for source in ({"snapshot_id": taken.id}, {"instance_snapshot_id": whole.id}):
        with pytest.raises(NotFound):
            images.create(theirs, name="Theirs", **source)
        with pytest.raises(Invalid, match="one source"):
            images.create(ctx, name="Two", url="https://images.example.org/", **source)
        image = images.create(ctx, name="Made", **source)
        work(image.id)
        image.refresh_from_db()
        assert (image.status, image.format) == (S.READY, "raw"), image.error
        assert image.virtual_bytes >= 2**30
    assert host.workshops() == set()


# --- the catalogue's entries


def entry(world: World, at: str, **fields: Any) -> CatalogueEntry:
    given = {"name": "Little", "version": "1", "os": "linux", "url": f"{at}/little.vmdk", "disk_bus": "sata", "min_disk_gib": 1}
    return image_catalogue.create(world.box(), **(given | fields))


def test_fetched_from_the_catalogue(world: World, disk: dict[str, bytes], settings: Any) -> None:
    """By its publisher's list; a newer one takes its place; without the network what was fetched is there, and the rest says why."""
    settings.IMAGE_NETWORKS = ["127.0.0.0/8"]
    ctx = world.box()
    sums = f"{'0' * 64}  other.vmdk\n{hashlib.sha256(disk['vmdk']).hexdigest()} *little.vmdk\n".encode()
    with serving({"/little.vmdk": (200, {}, disk["vmdk"]), "/SUMS": (200, {}, sums)}) as at:
        row = entry(world, at, checksums_url=f"{at}/SUMS")
        first = image_catalogue.fetch(ctx, row.id)
        with pytest.raises(Conflict, match="on its way"):
            image_catalogue.fetch(ctx, row.id)
        work(first.id)
        second = image_catalogue.fetch(ctx, row.id)
        work(second.id)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status, second.name, second.visibility) == (S.DEACTIVATED, S.READY, "Little 1", "public"), second.error
    assert (second.project, second.disk_bus, second.virtual_bytes) == (None, "sata", 4 * MIB)
    assert second.source["checksum"] == hashlib.sha256(disk["vmdk"]).hexdigest()
    assert second in images.list(world.ctx("stranger", world.other))
    world.running(name="one", image_id=second.id)
    lost = image_catalogue.fetch(ctx, row.id)
    work(lost.id)
    lost.refresh_from_db()
    assert lost.status == S.FAILED
    assert lost.error
    assert image_catalogue.newest([row]) == {row.id: lost}
    assert images.get(ctx, second.id).status == S.READY
    image_catalogue.delete(ctx, row.id)
    second.refresh_from_db()
    assert (second.status, second.entry) == (S.READY, None)


def test_another_file_than_the_catalogue_says(world: World, disk: dict[str, bytes], settings: Any) -> None:
    settings.IMAGE_NETWORKS = ["127.0.0.0/8"]
    right = hashlib.sha512(disk["vmdk"]).hexdigest()
    with serving({"/little.vmdk": (200, {}, disk["vmdk"]), "/SUMS": (200, {}, b"not a list")}) as at:
        wrong = image_catalogue.fetch(world.box(), entry(world, at, checksum="0" * 128).id)
        none = image_catalogue.fetch(world.box(), entry(world, at, version="2", checksums_url=f"{at}/SUMS").id)
        pinned = entry(world, at, version="3", checksum=right.upper())
        good = image_catalogue.fetch(world.box(), pinned.id)
        work()
    for image in (wrong, none, good):
        image.refresh_from_db()
    assert "not the one that was meant" in wrong.error
    assert "says nothing of little.vmdk" in none.error
    assert good.status == S.READY
    with pytest.raises(Conflict, match="there already"):
        image_catalogue.fetch(world.box(), pinned.id)


def test_what_an_entry_may_be(world: World) -> None:
    at = "https://images.example.org"
    row = entry(world, at, checksum="0" * 64)
    with pytest.raises(AlreadyExists):
        entry(world, at, name="LITTLE", checksum="0" * 64)
    for wrong, field in (
        ({"name": ""}, "name"),
        ({"url": "ftp://a"}, "url"),
        ({"checksums_url": "here"}, "checksums_url"),
        ({"checksum": "1"}, "checksum"),
        ({"checksum": ""}, "checksum"),
        ({"checksums_url": f"{at}/SUMS"}, "checksum"),
        ({"disk_bus": "floppy"}, "disk_bus"),
        ({"min_disk_gib": -1}, "min_disk_gib"),
        ({"version": "x" * 33}, "version"),
    ):
        with pytest.raises(Invalid) as caught:
            image_catalogue.update(world.box(), row.id, **wrong)
        assert caught.value.field == field, wrong
    image_catalogue.update(world.box(), row.id, checksum="", checksums_url=f"{at}/SUMS", architecture="aarch64")
    with pytest.raises(Conflict, match="this box runs x86_64"):
        image_catalogue.fetch(world.box(), row.id)
    with pytest.raises(Forbidden):
        image_catalogue.fetch(world.box("support"), row.id)
    with pytest.raises(Forbidden):
        image_catalogue.list(world.ctx("owner"))


def test_the_entries_that_a_box_knows(world: World) -> None:
    """They are in a new box's catalogue, and each is one that could be written by hand."""
    for given in well_known_images.ENTRIES:
        row = CatalogueEntry.objects.get(name=given["name"], version=given["version"])
        assert row.url == given["url"]
        image_catalogue.update(world.box(), row.id, description="looked at")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{'a' * 64}  disk.img\n", "a" * 64),
        (f"{'A' * 64} *disk.img\r\n{'b' * 64}  other.img", "a" * 64),
        (f"# disk.img: 5 bytes\nSHA256 (disk.img) = {'c' * 64}\n", "c" * 64),
        (f"SHA256 (disk.img) = {'c' * 64}\nSHA512 (disk.img) = {'d' * 128}\n", "d" * 128),
        (f"{'e' * 128}\n", "e" * 128),
        (f"{'a' * 64}  ./disk.img", "a" * 64),
        (f"{'a' * 64}  not-disk.img", ""),
        (f"{'a' * 63}  disk.img", ""),
        ("", ""),
        ("<html>disk.img</html>", ""),
    ],
)
def test_lists_of_checksums(text: str, found: str) -> None:
    assert checksums.find(text, "disk.img") == found
