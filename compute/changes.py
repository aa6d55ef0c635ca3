"""What makes another machine of an instance: resize, rebuild, rescue, shelve; and for a day the way back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from cloudbox.common import events, jobs
from cloudbox.common.errors import Conflict, Invalid
from compute import actions, charges, flavors, images, instances
from compute.lifecycle import machine
from compute.models import Flavor, Image, Instance, Reversal
from identity import quotas
from identity.context import Context

S, Intent, Kind = Instance.Status, Instance.Intent, Reversal.Kind


def _locked(ctx: Context, id: UUID, key: str) -> Instance:
    """The row, locked in the caller's transaction, if the action is possible."""
    ctx.require(actions.ACTIONS[key].policy)
    instances.get(ctx, id)
    instance = Instance.objects.select_for_update(of=("self",)).select_related("flavor", "image").get(id=id)
    actions.check(instance, key)
    return instance


def _reversal(instance: Instance, kind: str) -> Reversal:
    return Reversal.objects.select_for_update(of=("self",)).get(instance=instance, kind=kind)


# --- size


def why_not_size(instance: Instance, flavor: Flavor) -> str:
    """Empty when the instance could have this size."""
    if flavor.id == instance.flavor_id:
        return f"{instance.name} has this size."
    if not flavor.is_active:
        return f"The size {flavor.name} is no longer offered."
    if flavor.memory_mib < instance.image.min_memory_mib:
        return f"Its image needs {instance.image.min_memory_mib} MiB of memory; {flavor.name} has {flavor.memory_mib}."
    return ""


def resize(ctx: Context, id: UUID, *, flavor_id: UUID) -> Instance:
    """Another size. It is restarted for that if it runs, and can be taken back for a day; until then the larger of both is charged.
    The disk grows if the new size has more, and never shrinks, also not on the way back."""
    ctx.require("instances.update")
    flavor = flavors.get(ctx, flavor_id)
    with transaction.atomic():
        instance = _locked(ctx, id, "resize")
        if reason := why_not_size(instance, flavor):
            raise Conflict(f"{reason} Choose another.", field="flavor_id")
        # One that boots from a volume has no root disk to grow.
        disk_gib = max(instance.disk_gib, flavor.disk_gib) if instance.disk_gib else 0
        reversal = Reversal.objects.create(
            instance=instance,
            kind=Kind.RESIZE,
            flavor=flavor,
            vcpus=flavor.vcpus,
            memory_mib=flavor.memory_mib,
            held_vcpus=max(0, flavor.vcpus - instance.vcpus),
            held_memory_mib=max(0, flavor.memory_mib - instance.memory_mib),
            held_disk_gib=disk_gib - instance.disk_gib,
        )
        quotas.charge(instance.project_id, charges.of_reversal(reversal))
        detail = f"from {instance.flavor.name} to {flavor.name}"
        machine.move(instance, S.RESIZING, actor=ctx.actor, verb="resize", detail=detail, error="")
        arguments = {"flavor_id": str(flavor.id), "disk_gib": disk_gib}
        jobs.enqueue("resize-instance", id, actor=ctx.actor, project_id=instance.project_id, arguments=arguments)
    return instances.get(ctx, id)


def confirm_resize(ctx: Context, id: UUID) -> Instance:
    """It keeps the new size; what the old one had more is free again. Nothing is restarted."""
    return _finish(ctx, id, "confirm-resize", Kind.RESIZE)


def _finish(ctx: Context, id: UUID, key: str, kind: str) -> Instance:
    with transaction.atomic():
        instance = _locked(ctx, id, key)
        charges.end_reversal(id, kind)
        jobs.wake("windows")  # a disk that was kept is the worker's to delete
        events.publish(ctx.actor, key, "instance", instance)
    return instances.get(ctx, id)


def revert_resize(ctx: Context, id: UUID) -> Instance:
    """Back to the size from before. The disk stays as large as it has become."""
    return _revert(ctx, id, "revert-resize", Kind.RESIZE, S.RESIZING)


def _revert(ctx: Context, id: UUID, key: str, kind: str, via: str) -> Instance:
    with transaction.atomic():
        instance = _locked(ctx, id, key)
        reversal = _reversal(instance, kind)
        assert reversal.until is not None
        arguments = {"until": reversal.until.isoformat()}
        # While it is under way its time does not run out.
        Reversal.objects.filter(id=reversal.id).update(until=None)
        arguments |= {"flavor_id": str(reversal.flavor_id)} if kind == Kind.RESIZE else {"image_id": str(reversal.image_id)}
        machine.move(instance, via, actor=ctx.actor, verb=key, error="")
        jobs.enqueue(f"{key}-instance", id, actor=ctx.actor, project_id=instance.project_id, arguments=arguments)
    return instances.get(ctx, id)


# --- image


def why_not_image(instance: Instance, image: Image) -> str:
    """Empty when the instance could be built from this image."""
    if image.status != Image.Status.READY:
        return f"The image {image.name} is {image.get_status_display().lower()}."
    needs = image.least_disk_gib
    if needs > instance.disk_gib:
        return f"{image.name} needs a disk of {needs} GiB; {instance.name} has {instance.disk_gib}."
    if image.min_memory_mib > instance.memory_mib:
        return f"{image.name} needs {image.min_memory_mib} MiB of memory; {instance.name} has {instance.memory_mib}."
    return ""


def rebuild(ctx: Context, id: UUID, *, image_id: UUID | None = None, keep: bool = True) -> Instance:
    """A new root disk, from its image or another one; addresses, volumes and name stay. With `keep` the old disk stays for a day and is
    charged as disk, so that this can be undone; without, it is gone at once."""
    with transaction.atomic():
        instance = _locked(ctx, id, "rebuild")
        image = images.get(ctx, image_id, to_use=True) if image_id else instance.image
        if reason := why_not_image(instance, image):
            raise Invalid(f"{reason} Choose another.", field="image_id")
        images.hold(image)
        reversal = Reversal.objects.create(
            instance=instance, kind=Kind.REBUILD, image=image, held_disk_gib=instance.disk_gib if keep else 0
        )
        quotas.charge(instance.project_id, charges.of_reversal(reversal))
        intended = Intent.RUNNING if instance.status == S.ERROR else instance.intended
        detail = f"from {image.name}" + ("" if keep else ", without keeping the old disk")
        machine.move(instance, S.REBUILDING, actor=ctx.actor, verb="rebuild", detail=detail, error="", intended=intended)
        arguments = {"image_id": str(image.id), "keep": keep}
        jobs.enqueue("rebuild-instance", id, actor=ctx.actor, project_id=instance.project_id, arguments=arguments)
    return instances.get(ctx, id)


def undo_rebuild(ctx: Context, id: UUID) -> Instance:
    """The disk from before the rebuild comes back, and the one since is gone."""
    return _revert(ctx, id, "undo-rebuild", Kind.REBUILD, S.REBUILDING)


def drop_old_disk(ctx: Context, id: UUID) -> Instance:
    """The rebuild is final: the disk from before goes, and its quota is free."""
    return _finish(ctx, id, "drop-old-disk", Kind.REBUILD)


# --- rescue


def rescue(ctx: Context, id: UUID, *, image_id: UUID | None = None) -> Instance:
    """Boot from a fresh copy of an image, with the own disk as the second, to repair it."""
    with transaction.atomic():
        instance = _locked(ctx, id, "rescue")
        image = images.get(ctx, image_id, to_use=True) if image_id else instance.image
        # Its own image may have been taken out of the catalogue since: it still helps.
        if image.id != instance.image_id and (reason := why_not_image(instance, image)):
            raise Invalid(f"{reason} Choose another.", field="image_id")
        images.hold(image)
        detail = f"with {image.name}"
        machine.move(instance, S.RESCUING, actor=ctx.actor, verb="rescue", detail=detail, intended=Intent.RUNNING, error="")
        arguments = {"image_id": str(image.id)}
        jobs.enqueue("rescue-instance", id, actor=ctx.actor, project_id=instance.project_id, arguments=arguments)
    return instances.get(ctx, id)


def unrescue(ctx: Context, id: UUID) -> Instance:
    """Boot from the own disk again; the rescue system and what was written to it are gone."""
    with transaction.atomic():
        instance = _locked(ctx, id, "unrescue")
        arguments = {"image_id": str(instance.rescue_image_id)}
        machine.move(instance, S.RESCUING, actor=ctx.actor, verb="unrescue", error="", intended=Intent.RUNNING)
        jobs.enqueue("unrescue-instance", id, actor=ctx.actor, project_id=instance.project_id, arguments=arguments)
    return instances.get(ctx, id)


# --- shelf


def shelve(ctx: Context, id: UUID) -> Instance:
    """Off, and its root disk to the image store. It keeps name, addresses and volumes, and frees processors and memory with their quota."""
    with transaction.atomic():
        instance = _locked(ctx, id, "shelve")
        was = instance.intended
        machine.move(instance, S.SHELVING, actor=ctx.actor, verb="shelve", intended=Intent.SHELVED, error="")
        jobs.enqueue("shelve-instance", id, actor=ctx.actor, project_id=instance.project_id, arguments={"was": was})
    return instances.get(ctx, id)


def unshelve(ctx: Context, id: UUID) -> Instance:
    """Its disk comes back, and it starts."""
    with transaction.atomic():
        instance = _locked(ctx, id, "unshelve")
        quotas.charge(instance.project_id, charges.of_power(instance))
        back: dict[str, Any] = {"intended": Intent.RUNNING, "shelved_at": None}
        machine.move(instance, S.UNSHELVING, actor=ctx.actor, verb="unshelve", detail="", error="", **back)
        jobs.enqueue("unshelve-instance", id, actor=ctx.actor, project_id=instance.project_id)
    return instances.get(ctx, id)
