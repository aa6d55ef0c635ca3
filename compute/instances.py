"""Instances: launch, power, names and tags, delete."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound, QuotaExceeded, TooLarge
from compute import actions, boot_volumes, charges, flavors, images, keypairs, networks, ports, security_groups
from compute.boot_volumes import BootVolume
from compute.lifecycle import machine
from compute.models import (
    ConfigDrive,
    Flavor,
    Image,
    Instance,
    InstanceSnapshot,
    Keypair,
    Network,
    Port,
    Reversal,
    SecurityGroup,
    UsageInterval,
    Volume,
)
from identity import quotas
from identity.context import Context
from identity.names import clean_hostname, clean_name, clean_text, slug_of

S = Instance.Status
Intent = Instance.Intent

COUNT_MAX = 20
NICS_MAX = 8
TAGS_MAX = 50
METADATA_MAX = 128
NAME_LENGTH_MAX = 255
USER_DATA_BYTES_MAX = 65535
DISK_GIB_MAX = 4096
# Without "#", which sets off the numbers of instances launched together.
_TOKEN = re.compile(r"[\x21\x22\x24-\x7e]{1,64}")
_SORTS = {"name": "name", "status": "status", "created": "created_at", "size": "memory_mib"}


@dataclass(frozen=True, kw_only=True)
class LaunchSpec:
    """What to launch. `token` makes the request safe to repeat: the same token gives the same instances.

    With `count` above 1 the names get a number: web-1, web-2. No networks and no ports: the project's only network. `port_ids` are reserved
    ports, which come before the networks as its cards.
    """

    name: str
    flavor_id: UUID
    image_id: UUID | None = None  # None: of what it boots from
    boot: BootVolume | None = None  # None: from a root disk of its own
    keypair_id: UUID | None = None
    network_ids: Sequence[UUID] = ()
    port_ids: Sequence[UUID] = ()
    security_group_ids: Sequence[UUID] = ()
    user_data: bytes = b""
    hostname: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    ips: Mapping[UUID, str] = field(default_factory=dict)  # network: the address wanted there
    group_id: UUID | None = None
    access_ipv4: str | None = None
    access_ipv6: str | None = None
    without_network: bool = False  # no card, instead of one on the project's only network
    shares_name: bool = False  # others may have the same name, and it may be as long as Nova's
    count: int = 1
    disk_gib: int | None = None
    token: str | None = None
    config_drive: str | None = None  # None: as the image has it; empty: none
    start: bool = True


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The spec with every id found and every number checked."""

    spec: LaunchSpec
    name: str
    image: Image
    flavor: Flavor
    keypair: Keypair | None
    ports: list[Port]
    networks: list[Network]
    groups: list[SecurityGroup]
    disk_gib: int
    boot_gib: int  # of a volume that is new
    tags: dict[str, str]
    metadata: dict[str, str]


def launch(ctx: Context, spec: LaunchSpec) -> Sequence[Instance]:
    """Charge the quota, write the rows, hand the building to jobs; all or nothing. Returns the new instances."""
    ctx.require("instances.launch")
    plan = _plan(ctx, spec)
    if spec.token is not None:
        before = _launched_before(ctx, spec.token)
        if before:
            return before
    try:
        with transaction.atomic():
            quotas.charge(
                ctx.project_id,
                charges.of_instance(vcpus=plan.flavor.vcpus, memory_mib=plan.flavor.memory_mib, disk_gib=plan.disk_gib, count=spec.count)
                | {"ports": len(plan.networks) * spec.count}
                | _volumes_of(ctx, plan),
            )
            images.hold(plan.image)
            return [_create(ctx, plan, number) for number in range(spec.count)]
    except IntegrityError as error:
        if spec.token is not None and (before := _launched_before(ctx, spec.token)):
            return before
        raise AlreadyExists(f"The name {plan.name} is taken in this project.", field="name") from error


def _volumes_of(ctx: Context, plan: _Plan) -> dict[str, int]:
    """What the volumes that come new with it take of the quota."""
    new = [plan.boot_gib] if plan.boot_gib else []
    new += boot_volumes.data_gib(ctx, plan.spec.boot) if plan.spec.boot is not None else []
    return {"volumes": len(new) * plan.spec.count, "volume_gib": sum(new) * plan.spec.count} if new else {}


def _plan(ctx: Context, spec: LaunchSpec) -> _Plan:
    name = clean_name(spec.name, length_max=NAME_LENGTH_MAX if spec.shares_name else 60)
    if not 1 <= spec.count <= COUNT_MAX:
        raise Invalid(f"Launch 1 to {COUNT_MAX} at a time.", field="count")
    if spec.hostname:
        clean_hostname(spec.hostname)
        if spec.count > 1:
            raise Invalid("Several instances cannot share one host name; leave it empty.", field="hostname")
    if len(spec.user_data) > USER_DATA_BYTES_MAX:
        raise TooLarge(f"The user data has {len(spec.user_data)} bytes; {USER_DATA_BYTES_MAX} is the most.", field="user_data")
    if spec.token is not None and not _TOKEN.fullmatch(spec.token):
        raise Invalid("An idempotency key has 1 to 64 printable characters, no blanks and no #.", field="token")
    images.check_choice(ConfigDrive, spec.config_drive or None, "config_drive")
    flavor = flavors.get(ctx, spec.flavor_id)
    image, disk_gib, boot_gib = _disk_of(ctx, spec, flavor)
    reserved = [ports.get(ctx, id) for id in dict.fromkeys(spec.port_ids)]
    if reserved and spec.count > 1:
        raise Invalid("Several instances cannot share one port; launch them one by one.", field="port_ids")
    wanted = [*dict.fromkeys(spec.network_ids)] or ([] if reserved or spec.without_network else networks.only_one(ctx))
    if len(wanted) + len(reserved) > NICS_MAX:
        raise Invalid(f"An instance has at most {NICS_MAX} network cards.", field="network_ids")
    groups = [security_groups.get(ctx, id) for id in dict.fromkeys(spec.security_group_ids)]
    return _Plan(
        spec=spec,
        name=name,
        image=image,
        flavor=flavor,
        keypair=keypairs.get(ctx, spec.keypair_id) if spec.keypair_id else None,
        ports=reserved,
        networks=[networks.get(ctx, id) for id in wanted],
        groups=groups or [security_groups.default(ctx)],
        disk_gib=disk_gib,
        boot_gib=boot_gib,
        tags=clean_tags(spec.tags),
        metadata=clean_metadata(spec.metadata),
    )


def _disk_of(ctx: Context, spec: LaunchSpec, flavor: Flavor) -> tuple[Image, int, int]:
    """The system that it starts with, how large a root disk it gets (0: none), and how large a new volume instead (0: none)."""
    if spec.boot is not None and spec.boot.has_system:
        if spec.boot.volume_id is not None and spec.count > 1:
            raise Invalid("Several instances cannot boot from one volume. Launch from a snapshot of it.", field="boot_volume_id")
        image, size_gib = boot_volumes.system_of(ctx, spec.boot)
        _check_size(image, flavor)
        return image, 0, 0 if spec.boot.volume_id else _checked_gib(spec.disk_gib or size_gib, least=size_gib)
    if spec.image_id is None:
        raise Invalid("Choose an image.", field="image_id")
    image = images.get(ctx, spec.image_id, to_use=True)
    disk_gib = spec.disk_gib if spec.disk_gib is not None else max(flavor.disk_gib, image.least_disk_gib)
    _check_fit(image, flavor, disk_gib)
    return (image, disk_gib, 0) if spec.boot is None else (image, 0, disk_gib)


def _checked_gib(size_gib: int, *, least: int) -> int:
    if not least <= size_gib <= DISK_GIB_MAX:
        raise Invalid(f"What it boots from has {least} GiB. Take {least} to {DISK_GIB_MAX}.", field="disk_gib")
    return size_gib


def _check_size(image: Image, flavor: Flavor) -> None:
    if not flavor.is_active:
        raise Conflict(f"The size {flavor.name} is no longer offered. Choose another.", field="flavor_id")
    if flavor.memory_mib < image.min_memory_mib:
        raise Invalid(f"The image needs {image.min_memory_mib} MiB of memory; {flavor.name} has {flavor.memory_mib}.", field="flavor_id")


def _check_fit(image: Image, flavor: Flavor, disk_gib: int) -> None:
    if image.status != Image.Status.READY:
        raise Conflict(f"The image {image.name} is {image.get_status_display().lower()}. Choose another.", field="image_id")
    _check_size(image, flavor)
    if not 1 <= disk_gib <= DISK_GIB_MAX:
        raise Invalid(f"A root disk has 1 to {DISK_GIB_MAX} GiB.", field="disk_gib")
    if disk_gib < image.least_disk_gib:
        raise Invalid(
            f"The image needs {image.least_disk_gib} GiB and the root disk has {disk_gib} GiB. Make the disk larger.", field="disk_gib"
        )


def _launched_before(ctx: Context, token: str) -> list[Instance]:  # type: ignore[valid-type]
    rows = Instance.objects.filter(project=ctx.project).filter(Q(token=token) | Q(token__startswith=f"{token}#"))
    return [*rows.order_by("created_at", "name")]


def _create(ctx: Context, plan: _Plan, number: int) -> Instance:
    spec = plan.spec
    name = plan.name if spec.count == 1 else f"{plan.name}-{number + 1}"
    token = None if spec.token is None else (spec.token if number == 0 else f"{spec.token}#{number}")
    instance = Instance.objects.create(
        project=ctx.needed_project,
        user=ctx.needed_user,
        name=name,
        shares_name=spec.shares_name,
        description=clean_text(spec.description, field="description"),
        hostname=spec.hostname or slug_of(name, length_max=63) or "instance",
        flavor=plan.flavor,
        image=plan.image,
        keypair=plan.keypair,
        vcpus=plan.flavor.vcpus,
        memory_mib=plan.flavor.memory_mib,
        disk_gib=plan.disk_gib,
        disk_bus=plan.image.disk_bus,
        nic_model=plan.image.nic_model,
        config_drive=plan.image.config_drive if spec.config_drive is None else spec.config_drive,
        public_key=plan.keypair.public_key if plan.keypair else "",
        user_data=spec.user_data,
        tags=plan.tags,
        metadata=plan.metadata,
        group_id=spec.group_id,
        access_ipv4=clean_ip(spec.access_ipv4, 4),
        access_ipv6=clean_ip(spec.access_ipv6, 6),
        intended=Intent.RUNNING if spec.start else Intent.STOPPED,
        token=token,
    )
    for index, port in enumerate(plan.ports):
        ports.place(port.id, instance, index=index)
    for index, network in enumerate(plan.networks, start=len(plan.ports)):
        ports.create(network, instance, index=index, groups=plan.groups, ip=spec.ips.get(network.id, ""))
    if spec.boot is not None:
        boot_volumes.give(ctx, instance, spec.boot, size_gib=plan.boot_gib)
    UsageInterval.objects.create(
        instance=instance, project=ctx.needed_project, status=instance.status, flavor=plan.flavor.name, start=instance.created_at
    )
    jobs.enqueue("launch-instance", instance.id, actor=ctx.actor, project_id=ctx.project_id)
    events.publish(ctx.actor, "launch", "instance", instance, detail=f"{plan.flavor.name} from {plan.image.name}")
    return instance


def _rows(*, with_deleted: bool = False) -> QuerySet[Instance]:
    rows = Instance.objects.all() if with_deleted else Instance.objects.exclude(status=S.DELETED)
    return (
        rows.select_related("flavor", "image", "keypair", "project", "rescue_image", "group")
        .defer("user_data")
        .annotate(
            has_snapshots=Exists(InstanceSnapshot.objects.filter(instance=OuterRef("id")).exclude(status="deleted")),
            has_boot_volume=Exists(Volume.objects.filter(instance=OuterRef("id"), is_boot=True)),
        )
        .prefetch_related(
            Prefetch("reversals", Reversal.objects.select_related("flavor", "image")),
            Prefetch("ports", Port.objects.select_related("network", "floating_ip").prefetch_related("security_groups")),
        )
    )


def list(
    ctx: Context,
    *,
    q: str = "",
    status: str = "",
    tag: str = "",
    sort: str = "name",
    all_projects: bool = False,
    with_deleted: bool = False,
) -> QuerySet[Instance]:
    """The instances of the project; with `all_projects`, of the box; `with_deleted`, those too that were.

    `q` matches name, address, id and tags; `tag` is `key` or `key:value`.
    """
    ctx.require("box.look" if all_projects else "instances.list")
    rows = _rows(with_deleted=with_deleted)
    if not all_projects:
        rows = rows.filter(project=ctx.project)
    if q:
        match = Q(name__icontains=q) | Q(tags__icontains=q) | Q(id__in=Port.objects.filter(ip__startswith=q).values("instance_id"))
        try:
            match |= Q(id=UUID(q))
        except ValueError:
            pass
        rows = rows.filter(match)
    if status:
        rows = rows.filter(status=status)
    if tag:
        key, colon, value = tag.partition(":")
        rows = rows.filter(tags__contains={key: value}) if colon else rows.filter(tags__has_key=key)
    column = _SORTS.get(sort.removeprefix("-"), "name")
    return rows.order_by(f"-{column}" if sort.startswith("-") else column, "id")


def get(ctx: Context, id: UUID) -> Instance:
    """The one way to an instance. A stranger's is NotFound, like one that never was."""
    ctx.require("instances.list")
    rows = _rows() if ctx.project is None and ctx.box_role else _rows().filter(project=ctx.project)
    instance = rows.filter(id=id).first()
    if instance is None:
        raise NotFound(f"There is no instance {id}.", resource=str(id))
    return instance


def counts(ctx: Context) -> dict[str, int]:
    """How many instances the project has, in all and by status."""
    ctx.require("instances.list")
    by_status = dict(
        Instance.objects.filter(project=ctx.project).exclude(status=S.DELETED).values_list("status").annotate(n=Count("id")).order_by()
    )
    return {"total": sum(by_status.values()), **by_status}


def start(ctx: Context, id: UUID) -> Instance:
    return _power(ctx, id, "start", S.STARTING, Intent.RUNNING)


def stop(ctx: Context, id: UUID, *, force: bool = False) -> Instance:
    """Ask the guest to shut down, and cut the power after a minute; with `force`, at once (also when it is stopping already)."""
    instance = get(ctx, id)
    if force and instance.status == S.STOPPING:
        ctx.require("instances.power")
        with transaction.atomic():
            jobs.enqueue("stop-instance", id, actor=ctx.actor, project_id=instance.project_id, arguments={"force": True})
            events.publish(ctx.actor, "force-stop", "instance", instance)
        return instance
    return _power(ctx, id, "stop", S.STOPPING, Intent.STOPPED, force=force)


def reboot(ctx: Context, id: UUID, *, hard: bool = False) -> Instance:
    return _power(ctx, id, "reset" if hard else "reboot", S.REBOOTING, Intent.RUNNING, job="reboot", hard=hard)


def pause(ctx: Context, id: UUID) -> Instance:
    return _power(ctx, id, "pause", None, Intent.PAUSED)


def resume(ctx: Context, id: UUID) -> Instance:
    return _power(ctx, id, "resume", None, Intent.RUNNING)


def suspend(ctx: Context, id: UUID) -> Instance:
    return _power(ctx, id, "suspend", S.SUSPENDING, Intent.SUSPENDED)


def _power(ctx: Context, id: UUID, key: str, via: str | None, intent: str, *, job: str = "", **arguments: bool) -> Instance:
    """Write the intent and hand the doing to a job; asking for what is already so succeeds and does nothing."""
    ctx.require(actions.ACTIONS[key].policy)
    with transaction.atomic():
        get(ctx, id)
        instance = Instance.objects.select_for_update(of=("self",)).get(id=id)
        if actions.check(instance, key):
            if via is not None and via != instance.status:
                machine.move(instance, via, actor=ctx.actor, verb=key, intended=intent, error="")
            else:
                Instance.objects.filter(id=id).update(intended=intent, error="")
                events.publish(ctx.actor, key, "instance", instance)
            jobs.enqueue(f"{job or key}-instance", id, actor=ctx.actor, project_id=instance.project_id, arguments=arguments)
    return get(ctx, id)


def update(
    ctx: Context,
    id: UUID,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
    access: Mapping[str, str | None] | None = None,
) -> Instance:
    """Change what people call it and note of it; `access` has the columns `access_ipv4` and `access_ipv6`. The host name inside stays."""
    ctx.require("instances.update")
    try:
        with transaction.atomic():
            get(ctx, id)
            instance = Instance.objects.select_for_update(of=("self",)).get(id=id)
            actions.check(instance, "rename")
            changed = []
            name_max = NAME_LENGTH_MAX if instance.shares_name else 64
            if name is not None and clean_name(name, length_max=name_max) != instance.name:
                changed.append(f"name from {instance.name}")
                instance.name = clean_name(name, length_max=name_max)
            if description is not None:
                changed.append("description")
                instance.description = clean_text(description, field="description")
            if tags is not None:
                changed.append("tags")
                instance.tags = clean_tags(tags)
            if metadata is not None:
                changed.append("metadata")
                instance.metadata = clean_metadata(metadata)
            for column, text in (access or {}).items():
                changed.append(column.replace("_", " "))
                setattr(instance, column, clean_ip(text, 4 if column == "access_ipv4" else 6))
            columns = ["name", "description", "tags", "metadata", "access_ipv4", "access_ipv6", "changed_at"]
            instance.save(update_fields=columns)
            events.publish(ctx.actor, "update", "instance", instance, detail=", ".join(changed))
    except IntegrityError as error:
        raise AlreadyExists(f"The name {name} is taken in this project.", field="name") from error
    return get(ctx, id)


def rename(ctx: Context, id: UUID, name: str) -> Instance:
    return update(ctx, id, name=name)


def set_tags(ctx: Context, id: UUID, tags: Mapping[str, str]) -> Instance:
    return update(ctx, id, tags=tags)


def clean_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags are pairs of short text; up to fifty of them."""
    if len(tags) > TAGS_MAX:
        raise Invalid(f"An instance has at most {TAGS_MAX} tags.", field="tags")
    clean = {}
    for key, value in tags.items():
        key = clean_text(key, field="tags", length_max=64)
        if not key or ":" in key:
            raise Invalid("A tag's key is not empty and has no colon.", field="tags")
        clean[key] = clean_text(value, field="tags", length_max=128)
    return clean


def clean_metadata(pairs: Mapping[str, str], *, length_max: int = 255) -> dict[str, str]:
    """Pairs of text, of an instance, a volume or a snapshot."""
    if len(pairs) > METADATA_MAX:
        raise QuotaExceeded(f"There can be {METADATA_MAX} pairs of metadata, not {len(pairs)}.", field="metadata")
    clean = {}
    for key, value in pairs.items():
        if not isinstance(value, str):
            raise Invalid(f"The metadata {key[:64]} must be text.", field="metadata")
        if not key.strip():
            raise Invalid("A key of metadata is not empty.", field="metadata")
        if any("\x00" in text or not text.isprintable() for text in (key, value)):
            raise Invalid("Metadata hold characters that cannot be printed.", field="metadata")
        if max(len(key), len(value)) > length_max:
            raise Invalid(f"Keys and values of metadata have at most {length_max} characters.", field="metadata")
        clean[key] = value
    return clean


def clean_ip(text: str | None, version: int) -> str | None:
    """An address of this version, or none."""
    if not text:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or found.version != version or getattr(found, "scope_id", None):
        raise Invalid(f"{text[:64]!r} is not an IPv{version} address.", field=f"access_ipv{version}")
    return str(found)


def lock(ctx: Context, id: UUID) -> Instance:
    """Nobody changes it until it is unlocked."""
    assert ctx.user is not None
    return _flag(ctx, id, "lock", locked_by=str(ctx.user))


def unlock(ctx: Context, id: UUID) -> Instance:
    return _flag(ctx, id, "unlock", locked_by="")


def protect(ctx: Context, id: UUID) -> Instance:
    return _flag(ctx, id, "protect", is_protected=True)


def unprotect(ctx: Context, id: UUID) -> Instance:
    return _flag(ctx, id, "unprotect", is_protected=False)


def _flag(ctx: Context, id: UUID, key: str, **fields: object) -> Instance:
    ctx.require("instances.update")
    with transaction.atomic():
        get(ctx, id)
        instance = Instance.objects.select_for_update(of=("self",)).get(id=id)
        actions.check(instance, key)
        Instance.objects.filter(id=id).update(**fields)
        events.publish(ctx.actor, key, "instance", instance)
    return get(ctx, id)


def delete(ctx: Context, id: UUID) -> Instance:
    """Power off, and remove the machine, its disk and its addresses. A launch that is under way ends first."""
    ctx.require("instances.delete")
    with transaction.atomic():
        get(ctx, id)
        instance = Instance.objects.select_for_update(of=("self",)).get(id=id)
        if actions.check(instance, "delete"):
            machine.move(instance, S.DELETING, actor=ctx.actor, verb="delete", intended=Intent.DELETED, error="")
            jobs.enqueue("delete-instance", id, actor=ctx.actor, project_id=instance.project_id)
    return instance
