"""Make the machine match the tables. Each takes no argument, reads both sides, and closes the gap."""

from __future__ import annotations

import datetime as dt
import logging
from itertools import groupby

from django.db import connection, transaction

from cloudbox.common import clock, events, jobs
from cloudbox.common.events import SYSTEM
from cloudbox.common.models import Job
from compute import charges, desired, host, image_copies
from compute.drivers.specs import Power
from compute.jobs import backups
from compute.lifecycle import JOB_OF as INSTANCE_JOB_OF
from compute.lifecycle import MOVING, bring_back, has_job, is_calm, machine, observe, unfinished
from compute.models import Backup, ConsoleToken, Image, ImageExport, Instance, InstanceSnapshot, Reversal, Snapshot, Volume, VolumeTransfer
from compute.volume_lifecycle import INSTANCE_SNAPSHOT_JOB_OF, JOB_OF, SNAPSHOT_JOB_OF, resting
from compute.volume_lifecycle import machine as volume_machine
from identity import quotas

log = logging.getLogger(__name__)

S = Instance.Status
JOBS_KEPT = dt.timedelta(days=30)


def powers() -> None:
    """What the hypervisor knows against what the tables say, both ways: rows follow the machine, machines follow the intent."""
    known = host.hypervisor().all()
    for instance in Instance.objects.exclude(status=S.DELETED):
        power = known.get(instance.id, Power.ABSENT)
        if is_calm(instance, power) or _is_given_up(instance, power) or has_job(instance.id):
            continue
        if instance.intended == Instance.Intent.DELETED:
            _finish_delete(instance)
        elif instance.status == S.BUILDING:
            jobs.enqueue("launch-instance", instance.id, actor=SYSTEM, project_id=instance.project_id)
        elif instance.status in INSTANCE_JOB_OF:
            jobs.enqueue(INSTANCE_JOB_OF[instance.status], instance.id, actor=SYSTEM, project_id=instance.project_id)
        elif instance.status in MOVING:
            bring_back(instance)
        else:
            observe(instance.id, power)


def _is_given_up(instance: Instance, power: Power) -> bool:
    """In error, not to be deleted, and off: it waits for a person."""
    return instance.status == S.ERROR and instance.intended != Instance.Intent.DELETED and power != Power.RUNNING


def _finish_delete(instance: Instance) -> None:
    with transaction.atomic():
        if instance.status not in (S.DELETING, S.ERROR):
            machine.move(instance, S.DELETING, actor=SYSTEM)
        if instance.status == S.DELETING:
            jobs.enqueue("delete-instance", instance.id, actor=SYSTEM, project_id=instance.project_id)


def orphans() -> None:
    """Machines and disks that no row stands for: what a crash between two steps left. Only after looking twice at the tables."""
    machines, disks = set(host.hypervisor().all()), host.volumes().all()
    # A shelved one's disk lies in the image store.
    kept = set(Instance.objects.exclude(status=S.DELETED).filter(shelved_at=None).values_list("id", flat=True))
    # A copy of a backup that is tried out bears the backup's id.
    kept |= set(Backup.objects.filter(trial=Backup.Trial.RUNNING).values_list("id", flat=True))
    for id in machines - kept:
        log.warning("machine %s stands for no instance; removing it", id)
        host.hypervisor().stop(id)
        host.hypervisor().undefine(id)
    for id in disks - kept:
        log.warning("disk %s belongs to no instance; removing it", id)
        host.volumes().delete(id)
    for instance in Instance.objects.filter(status=S.ERROR, id__in=disks | machines):
        if instance.started_at is None and not has_job(instance.id):  # a launch that failed, and whose undo did too
            host.hypervisor().stop(instance.id)
            host.hypervisor().undefine(instance.id)
            host.volumes().delete(instance.id)


def volumes() -> None:
    """Volumes that were left on their way, disks that no row stands for, and machines that miss a disk of theirs."""
    files = host.volumes().all_volumes()
    kept = set(Volume.objects.exclude(status=Volume.Status.DELETED).values_list("id", flat=True))
    for id in files - kept:
        log.warning("the file of volume %s belongs to no volume; removing it", id)
        host.volumes().delete_volume(id)
    for volume in Volume.objects.filter(status__in=JOB_OF):
        if not has_job(volume.id):
            jobs.enqueue(JOB_OF[volume.status], volume.id, actor=SYSTEM, project_id=volume.project_id)
    _snapshots_on_their_way()
    attached = Volume.objects.filter(status=Volume.Status.ATTACHED).select_related("type", "instance").order_by("instance_id")
    for instance, theirs in groupby(attached, key=lambda volume: volume.instance):
        if instance is not None and not has_job(instance.id) and host.hypervisor().power(instance.id) not in (Power.ABSENT, Power.SAVED):
            there = host.hypervisor().disks(instance.id)
            for volume in theirs:
                if volume.id not in there and not has_job(volume.id):
                    log.warning("%s misses its volume %s; attaching it", instance.id, volume.id)
                    host.hypervisor().attach_disk(instance.id, desired.disk(volume))


def _snapshots_on_their_way() -> None:
    """Those without a job get one; a volume that was going back somewhere stays what it is, and says so."""
    for whole in InstanceSnapshot.objects.filter(status__in=INSTANCE_SNAPSHOT_JOB_OF):
        if not has_job(whole.instance_id):
            arguments = {"snapshot_id": str(whole.id)}
            kind = INSTANCE_SNAPSHOT_JOB_OF[whole.status]
            jobs.enqueue(kind, whole.instance_id, actor=SYSTEM, project_id=whole.project_id, arguments=arguments)
    # Those of whole instances are carried by the jobs of these.
    whole_ones = InstanceSnapshot.objects.filter(status__in=INSTANCE_SNAPSHOT_JOB_OF)
    for snapshot in Snapshot.objects.filter(status__in=SNAPSHOT_JOB_OF).exclude(group__in=whole_ones):
        if not has_job(snapshot.volume_id):
            arguments = {"snapshot_id": str(snapshot.id)}
            kind = SNAPSHOT_JOB_OF[snapshot.status]
            jobs.enqueue(kind, snapshot.volume_id, actor=SYSTEM, project_id=snapshot.project_id, arguments=arguments)
    for volume in Volume.objects.filter(status=Volume.Status.RESTORING).exclude(snapshots__group__in=whole_ones):
        if not has_job(volume.id):
            sentence = "Going back to the snapshot was interrupted. Ask for it again."
            volume_machine.move(volume, resting(volume), actor=SYSTEM, detail=sentence, error=sentence)


def images() -> None:
    """Images that were left on their way in, and files that no row stands for."""
    for image in Image.objects.filter(status=Image.Status.IMPORTING):
        if not has_job(image.id):
            jobs.enqueue("import-image", image.id, actor=SYSTEM, project_id=image.project_id)
    for export in ImageExport.objects.filter(status=ImageExport.Status.EXPORTING):
        if not has_job(export.id):
            jobs.enqueue("export-image", export.id, actor=SYSTEM, project_id=export.project_id)
    arriving = set(Image.objects.filter(status=Image.Status.IMPORTING).values_list("id", flat=True))
    for id in host.workshops() - arriving:
        if not has_job(id):
            host.workshop(id).clear()
    host.uploads().sweep(set(Image.objects.exclude(status=Image.Status.DELETED).values_list("id", flat=True)))
    # The disks of shelved instances lie there under the instance's id, until it stands on one of its own again.
    for id in set(host.images().all()) - image_copies.kept():
        host.images().delete(id)


def windows() -> None:
    """Resizes and rebuilds whose time is over: now they are final. Then the kept disks that nothing can be undone with any more."""
    for row in Reversal.objects.filter(until__lte=clock.now()):
        with transaction.atomic():
            instance = Instance.objects.select_for_update(of=("self",)).get(id=row.instance_id)
            if Reversal.objects.filter(id=row.id, until__lte=clock.now()).exists():
                charges.end_reversal(instance.id, row.kind)
                events.touch("instance", instance.id, instance.project_id)
    kept = host.volumes().all_kept()
    needed = {*Reversal.objects.filter(kind=Reversal.Kind.REBUILD).values_list("instance_id", flat=True), *unfinished()}
    for id in kept - needed:
        host.volumes().drop_kept(id)


def networks() -> None:
    """Bridges, namespaces, DHCP and firewall."""
    desired.apply_fabric()


def hits() -> None:
    """What the firewall has counted, added to the rules."""
    taken = host.fabric().take_hits()
    if taken:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE compute_securitygrouprule AS rule SET hits = rule.hits + taken.n, hit_at = %s"
                " FROM unnest(%s::uuid[], %s::bigint[]) AS taken (id, n) WHERE rule.id = taken.id",
                [clock.now(), [*map(str, taken)], [*taken.values()]],
            )


def books() -> None:
    """Quotas against the tables; a difference is a bug, so it is logged."""
    for sentence in quotas.recount():
        log.error("quota corrected: %s", sentence)


def leftovers() -> None:
    """Rows whose time is over."""
    for offer in VolumeTransfer.objects.filter(expires_at__lt=clock.now()).select_related("volume"):
        with transaction.atomic():
            volume_machine.move(offer.volume, Volume.Status.AVAILABLE, actor=SYSTEM, detail="the offer is over")
            offer.delete()
    ConsoleToken.objects.filter(expires_at__lt=clock.now()).delete()
    done = (Job.State.DONE, Job.State.FAILED)
    Job.objects.filter(state__in=done, updated_at__lt=clock.now() - JOBS_KEPT).delete()


ALL = {
    "powers": powers,
    "orphans": orphans,
    "volumes": volumes,
    "images": images,
    "windows": windows,
    "backups": backups.on_their_way,
    "networks": networks,
    "hits": hits,
    "books": books,
    "leftovers": leftovers,
}


def register() -> None:
    jobs.registry.reconcilers |= ALL
    quotas.counters.append(charges.count)
