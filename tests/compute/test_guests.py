"""What the agents tell is asked in turn and kept; a password reaches the guest, and nobody else."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudbox.common.errors import Conflict, Forbidden, Invalid, NotFound
from cloudbox.common.models import Job
from compute import guest_rounds, guests, host, instances, keypairs
from compute.models import GuestReport
from tests.world import World, work


def test_facts(world: World) -> None:
    """Kept with their time; who falls silent keeps the last ones; what is stopped is not asked; strangers are told nothing."""
    ctx, instance, silent = world.ctx("reader"), world.running(), world.running(name="silent")
    host.hypervisor().silent.add(silent.id)  # type: ignore[attr-defined]
    assert guests.report(ctx, instance.id) is None
    assert guest_rounds.ask() == 1
    report = guests.report(ctx, instance.id)
    assert report is not None
    assert (report.facts["hostname"], report.facts["file_systems"][0]["mountpoint"]) == ("web", "/")
    assert guests.report(ctx, silent.id) is None
    host.hypervisor().silent.add(instance.id)  # type: ignore[attr-defined]
    assert guest_rounds.ask() == 0
    again = guests.report(ctx, instance.id)
    assert again is not None
    assert again.at == report.at
    instances.stop(world.ctx("member"), instance.id)
    work()
    host.hypervisor().silent.clear()  # type: ignore[attr-defined]
    assert guest_rounds.ask() == 1
    with pytest.raises(NotFound):
        guests.report(world.ctx("stranger", world.other), instance.id)


def test_slow_guests_do_not_keep_the_others_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round ends in time, and the next begins with those that were not asked."""
    rows = [world.running(name=f"vm-{n}") for n in range(3)]
    monkeypatch.setattr(guest_rounds, "ROUND_SECONDS", -1.0)
    assert guest_rounds.ask() == 0
    monkeypatch.setattr(guest_rounds, "ROUND_SECONDS", 20.0)
    assert guest_rounds.ask() == 3
    assert GuestReport.objects.count() == len(rows)


def test_a_password_of_one_s_own(world: World) -> None:
    """It reaches the guest, and is in no table afterwards, in clear or sealed."""
    ctx, instance = world.ctx("member"), world.running()
    guests.set_password(ctx, instance.id, user="admin", password="correct horse battery")
    job = Job.objects.get(kind="set-password-instance")
    assert "correct" not in str(job.arguments)
    work()
    job.refresh_from_db()
    assert (job.state, "sealed" in job.arguments) == ("done", False)
    assert host.hypervisor().passwords == {(instance.id, "admin"): "correct horse battery"}  # type: ignore[attr-defined]
    instance.refresh_from_db()
    assert instance.sealed_password == ""


def test_a_password_that_only_the_owner_reads(world: World) -> None:
    """Made up by the box, kept as encrypted for the RSA key of the instance: the private key opens it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    keypair = keypairs.import_key(world.ctx("member"), name="mine", public_key=line)
    instance = world.running(keypair_id=keypair.id)
    guests.set_password(world.ctx("member"), instance.id)
    work()
    instance.refresh_from_db()
    opened = key.decrypt(base64.b64decode(instance.sealed_password), padding.PKCS1v15()).decode()
    assert opened == host.hypervisor().passwords[instance.id, "root"]  # type: ignore[attr-defined]
    assert len(opened) == 20


def test_what_is_refused(world: World) -> None:
    ctx, instance = world.ctx("member"), world.running()
    with pytest.raises(Conflict, match="has no key"):
        guests.set_password(ctx, instance.id)
    for user, password in (("root", "short"), ("root", "x" * 73), ("root", "line\nbreak!"), ("ro ot", "long enough"), ("", "long enough")):
        with pytest.raises(Invalid):
            guests.set_password(ctx, instance.id, user=user, password=password)
    with pytest.raises(Forbidden):
        guests.set_password(world.ctx("reader"), instance.id, password="long enough")
    guests.set_password(ctx, instance.id, user="nobody", password="long enough")
    work()
    instance.refresh_from_db()
    assert (instance.status, "refused to set the password of nobody" in instance.error) == ("running", True)
    assert "sealed" not in Job.objects.get(kind="set-password-instance").arguments
    instances.stop(ctx, instance.id)
    work()
    with pytest.raises(Conflict, match="Start it first"):
        guests.set_password(ctx, instance.id, password="long enough")
