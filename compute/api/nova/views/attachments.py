"""What hangs on a server: volumes and network cards."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound, NotSupported
from cloudbox.common.fields import body_of
from compute import nics, volumes
from compute.api.nova import render
from compute.api.nova.errors import nova
from compute.api.nova.views.servers import find
from compute.api.openstack import reading
from compute.api.openstack.errors import named_in_body
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Instance, Port, Volume


def _volumes(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = find(caller, id)
    found = volumes.list(caller.ctx, instance_id=row.id).order_by("-is_boot", "attached_at", "id")
    page, _ = reading.page(request, found, limit_max=1000)
    return answer({"volumeAttachments": [render.attachment(caller, each) for each in page]})


def _attach(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = find(caller, id)
    asked = body_of(request).needed_object("volumeAttachment")
    volume_id = asked.uuid("volumeId")
    if volume_id is None:
        raise Invalid("volumeAttachment.volumeId is missing.", field="volumeId")
    if asked.flag("delete_on_termination"):
        raise NotSupported("Only a volume that a server boots from is deleted with it here.")
    volumes.get(caller.ctx, volume_id)
    with named_in_body():
        made = volumes.attach(caller.ctx, volume_id, instance_id=row.id)
    return answer({"volumeAttachment": render.attachment(caller, made, created=True)})


def _attached(caller: Caller, row: Instance, id: str) -> Volume:
    found = volumes.list(caller.ctx, instance_id=row.id).filter(id=reading.need_id(id, "volume")).first()
    if found is None:
        raise NotFound(f"The volume {id} is not attached to {row.name}.")
    return found


def _volume(request: HttpRequest, caller: Caller, id: str, volume: str) -> HttpResponse:
    return answer({"volumeAttachment": render.attachment(caller, _attached(caller, find(caller, id), volume))})


def _detach(request: HttpRequest, caller: Caller, id: str, volume: str) -> HttpResponse:
    row = _attached(caller, find(caller, id), volume)
    if row.is_boot:
        raise Invalid("A server cannot lose the volume that it boots from.")
    volumes.detach(caller.ctx, row.id)
    return nothing(202)


def _interfaces(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    ports = sorted(find(caller, id).ports.all(), key=lambda port: port.index)
    return answer({"interfaceAttachments": [render.interface(caller, port) for port in ports]})


def _port(row: Instance, id: str) -> Port:
    wanted = reading.need_id(id, "port")
    found = next((port for port in row.ports.all() if port.id == wanted), None)
    if found is None:
        raise NotFound(f"{row.name} has no port {id}.")
    return found


def _interface(request: HttpRequest, caller: Caller, id: str, port: str) -> HttpResponse:
    return answer({"interfaceAttachment": render.interface(caller, _port(find(caller, id), port))})


def _plug(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """A card on a network, with the address that `fixed_ips` names if it does, or one for a port."""
    row = find(caller, id)
    asked = body_of(request).needed_object("interfaceAttachment")
    network, port = asked.uuid("net_id"), asked.uuid("port_id")
    if network is not None and port is not None:
        raise Invalid("Name net_id or port_id, not both.", field="port_id")
    if network is None and port is None:
        from compute import networks

        with named_in_body():
            network = networks.only_one(caller.ctx)[0]
    fixed = asked.objects("fixed_ips")
    if len(fixed) > 1:
        raise Invalid("A card has one fixed address here.", field="fixed_ips")
    ip = (fixed[0].needed_text("ip_address", length_max=64) if fixed else "") if network is not None else ""
    made = nics.attach(caller.ctx, row.id, network_id=network, port_id=port, ip=ip)
    return answer({"interfaceAttachment": render.interface(caller, made)})


def _unplug(request: HttpRequest, caller: Caller, id: str, port: str) -> HttpResponse:
    row = find(caller, id)
    nics.detach(caller.ctx, row.id, _port(row, port).id)
    return nothing(202)


volume_attachments = nova.view(GET=_volumes, POST=_attach)
volume_attachment = nova.view(GET=_volume, DELETE=_detach)
interfaces = nova.view(GET=_interfaces, POST=_plug)
interface = nova.view(GET=_interface, DELETE=_unplug)
