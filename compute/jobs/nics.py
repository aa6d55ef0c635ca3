"""A network card put into a machine, or taken out of it, while it runs or not."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction

from cloudbox.common import clock, events
from cloudbox.common.errors import Conflict
from cloudbox.common.jobs import Kind, Later, Run, Step
from compute import charges, desired, host
from compute.drivers.specs import Power
from compute.jobs.switching import subject
from compute.models import Instance, Port

LET_GO_SECONDS = 60


def _port(run: Run) -> Port | None:
    return Port.objects.select_related("network").filter(id=run.arguments["port_id"], instance_id=run.subject_id).first()


def _attach(run: Run) -> None:
    """Its firewall first, as at a launch; then the card."""
    instance, port = subject(run), _port(run)
    if port is None:
        raise Conflict("The card was taken out meanwhile.")
    desired.apply_fabric()
    if host.hypervisor().power(instance.id) not in (Power.ABSENT, Power.SAVED):
        host.hypervisor().attach_nic(instance.id, desired.nic(port))


def _take_back(run: Run) -> None:
    port = _port(run)
    if port is not None:
        host.hypervisor().detach_nic(run.subject_id, port.mac)
        _free(run.subject_id, port)


def _free(instance_id: UUID, port: Port) -> None:
    """A reserved port is free for another; any other goes with its card, and its quota is free. Then the fabric forgets it."""
    with transaction.atomic():
        Instance.objects.select_for_update(of=("self",)).get(id=instance_id)
        row = Port.objects.select_for_update(of=("self",)).filter(id=port.id, instance_id=instance_id).first()
        if row is None:
            return
        if row.is_reserved:
            row.instance, row.index = None, 0
            row.save(update_fields=["instance", "index"])
        else:
            charges.release_ports(row.project_id, 1)
            row.delete()
    desired.apply_fabric()


def _detach(run: Run) -> None:
    """A guest is asked, and may take its time."""
    port = _port(run)
    if port is None or host.hypervisor().detach_nic(run.subject_id, port.mac):
        return
    if clock.now() - run.job.created_at < dt.timedelta(seconds=LET_GO_SECONDS):
        raise Later(2)
    raise Conflict(f"The guest did not let go of the card {port.ip} in {LET_GO_SECONDS} s. Stop the instance, and try again.")


def _detached(run: Run) -> None:
    port = _port(run)
    if port is not None:
        _free(run.subject_id, port)


def _touched(run: Run) -> None:
    instance = subject(run)
    Instance.objects.filter(id=instance.id).update(error="")
    events.touch("instance", instance.id, instance.project_id)


def _failed(run: Run, sentence: str) -> None:
    Instance.objects.filter(id=run.subject_id).exclude(status=Instance.Status.DELETED).update(error=sentence)


KINDS = (
    Kind(
        name="attach-nic-instance",
        noun="instance",
        steps=(Step("Putting the card in", _attach, _take_back), Step("Noting it", _touched)),
        on_failed=_failed,
    ),
    Kind(
        name="detach-nic-instance",
        noun="instance",
        steps=(Step("Waiting for the guest to let go", _detach), Step("Freeing its address", _detached), Step("Noting it", _touched)),
        on_failed=_failed,
    ),
)
