"""POST /servers/{id}/action: one key says what to do. And what was done, as Nova tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Conflict, Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import actions as allowed
from compute import changes, consoles, guests, image_uploads, instances, security_groups
from compute.api.nova import render
from compute.api.nova.errors import nova, service
from compute.api.nova.views.servers import admin_pass, find, flavor_id, group_named, image_id, metadata_of
from compute.api.openstack import reading
from compute.api.openstack.errors import named_in_body
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Instance
from identity import activity
from identity.api.keystone import links

Doing = Callable[[HttpRequest, Caller, Instance, Fields], HttpResponse]
LOG_BYTES_A_LINE = 200


def _simple(verb: Callable[..., Any], *, since: int = 1, until: int = 10_000, status: int = 202) -> Doing:
    def do(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
        caller.since(since)
        caller.until(until)
        verb(caller.ctx, row.id)
        return nothing(status)

    return do


def _start(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    if row.status == Instance.Status.RUNNING:
        raise Conflict(f"{row.name} is running already.")
    instances.start(caller.ctx, row.id)
    return nothing(202)


def _stop(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    if row.status == Instance.Status.STOPPED:
        raise Conflict(f"{row.name} is stopped already.")
    instances.stop(caller.ctx, row.id)
    return nothing(202)


def _resume(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    """From disk; Nova's `unpause` is from a pause."""
    if row.status != Instance.Status.SUSPENDED:
        raise Conflict(f"{row.name} is not suspended.")
    instances.start(caller.ctx, row.id)
    return nothing(202)


def _reboot(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    kind = asked.needed_text("type").upper()
    if kind not in ("SOFT", "HARD"):
        raise Invalid("reboot.type is SOFT or HARD.", field="type")
    if row.status == Instance.Status.STOPPED and kind == "HARD":
        # Nova starts one that is off.
        instances.start(caller.ctx, row.id)
    else:
        instances.reboot(caller.ctx, row.id, hard=kind == "HARD")
    return nothing(202)


def _resize(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    with named_in_body():
        flavor = flavor_id(asked)
        if flavor == row.flavor_id:
            raise Invalid("The server has this flavor.", field="flavorRef")
        changes.resize(caller.ctx, row.id, flavor_id=flavor)
    return nothing(202)


def _rebuild(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    if asked.objects("personality"):
        raise NotSupported("Files are not put into servers here. Use user_data.")
    image = image_id(asked)
    if image is None:
        raise Invalid("rebuild.imageRef is missing.", field="imageRef")
    words: dict[str, Any] = {}
    if "name" in asked.values:
        words["name"] = asked.needed_text("name", length_max=255)
    if "metadata" in asked.values:
        words["metadata"] = metadata_of(asked)
    if "description" in asked.values and caller.minor >= 19:
        words["description"] = asked.text("description") or ""
    access = {
        column: asked.text(name)
        for name, column in {"accessIPv4": "access_ipv4", "accessIPv6": "access_ipv6"}.items()
        if name in asked.values
    }
    if access:
        words["access"] = access
    allowed.check(row, "rebuild")
    if words:
        instances.update(caller.ctx, row.id, **words)
    with named_in_body():
        made = changes.rebuild(caller.ctx, row.id, image_id=image, keep=False)
    password = admin_pass(asked)
    guests.set_first_password(caller.ctx, [row.id], password)
    shape = render.updated_server(request, caller, made, rebuilt=True)
    shape["image"] = {"id": str(image), "links": render.bookmark(request, "images", image)}
    shape["adminPass"] = password
    response = answer({"server": shape}, status=202)
    response["Location"] = service.address(request, "servers", row.id)
    return response


def _rescue(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    with named_in_body():
        changes.rescue(caller.ctx, row.id, image_id=image_id(asked, "rescue_image_ref"))
    password = admin_pass(asked)
    guests.set_first_password(caller.ctx, [row.id], password)
    return answer({"adminPass": password})


def _lock(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    instances.lock(caller.ctx, row.id)
    return nothing(202)


def _add_group(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    id = group_named(caller, asked.needed_text("name"))
    for port in row.ports.all():
        present = [group.id for group in port.security_groups.all()]
        if id not in present:
            security_groups.set_for_port(caller.ctx, port.id, [*present, id])
    return nothing(202)


def _remove_group(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    id = group_named(caller, asked.needed_text("name"))
    found = [port for port in row.ports.all() if id in {group.id for group in port.security_groups.all()}]
    if not found:
        raise NotFound(f"{row.name} is not in this security group.")
    for port in found:
        security_groups.set_for_port(caller.ctx, port.id, [group.id for group in port.security_groups.all() if group.id != id])
    return nothing(202)


def _console_output(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    """The end of the log. A server that has not said anything yet has an empty one."""
    value = asked.values.get("length")
    if value is not None and (isinstance(value, bool) or not str(value).lstrip("-").isdigit() or len(str(value)) > 8):
        raise Invalid("length is a number of lines.", field="length")
    lines = int(value) if value is not None else -1
    if lines < -1:
        raise Invalid("length is a number of lines, or -1 for all.", field="length")
    text = consoles.log(caller.ctx, row.id, tail_bytes=64 * 1024 if lines < 0 else max(1024, min(lines * LOG_BYTES_A_LINE, 64 * 1024)))
    if lines >= 0:
        text = "\n".join(text.splitlines()[-lines:]) if lines else ""
    return answer({"output": text})


def _console(kind: str, names: tuple[str, ...]) -> Doing:
    def do(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
        caller.until(5)
        type = asked.needed_text("type")
        if type not in names:
            raise Invalid(f"type is {' or '.join(names)}.", field="type")
        return answer({"console": {"type": type, "url": console_url(request, caller, row)}})

    return do


def console_url(request: HttpRequest, caller: Caller, row: Instance) -> str:
    """The portal's page of the console: it opens for who is signed in there and may."""
    caller.ctx.require("instances.console")
    if reason := allowed.why_not(caller.ctx, row, "console"):
        raise Conflict(reason)
    return f"{links.site(request)}/p/{caller.ctx.needed_project.slug}/instances/{row.id}/console"


def _remote_console(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.since(6)
    asked = body_of(request).needed_object("remote_console")
    protocol, type = asked.needed_text("protocol"), asked.needed_text("type")
    if (protocol, type) not in (("vnc", "novnc"), ("serial", "serial")):
        raise Invalid("Consoles are of protocol vnc and type novnc, or serial and serial.", field="type")
    url = console_url(request, caller, find(caller, id))
    return answer({"remote_console": {"protocol": protocol, "type": type, "url": url}})


def _change_password(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    guests.set_password(caller.ctx, row.id, password=asked.needed_text("adminPass"))
    return nothing(202)


def _unshelve(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    changes.unshelve(caller.ctx, row.id)
    return nothing(202)


def _offload(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    """Here shelving offloads."""
    if row.status != Instance.Status.SHELVED:
        raise Conflict(f"{row.name} is not shelved.")
    return nothing(202)


def _refused(sentence: str) -> Doing:
    def do(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
        raise NotSupported(sentence)

    return do


_ONE_HOST = "This box has one host, so servers cannot go to another."


def _create_image(request: HttpRequest, caller: Caller, row: Instance, asked: Fields) -> HttpResponse:
    """What it boots from, as it is now. The image says which server it is of."""
    name = asked.needed_text("name", length_max=255)
    properties = {"image_type": "snapshot"} | metadata_of(asked) | {"instance_uuid": str(row.id)}
    made = image_uploads.of_instance(caller.ctx, row.id, name=name, properties=properties)
    response = answer({"image_id": str(made.id)}, status=202) if caller.minor >= 45 else nothing(202)
    if caller.minor < 45:
        response["Location"] = f"{service.address(request).split('/compute/')[0]}/image/v2/images/{made.id}"
    return response


ACTIONS: dict[str, Doing] = {
    "os-start": _start,
    "os-stop": _stop,
    "reboot": _reboot,
    "pause": _simple(instances.pause),
    "unpause": _simple(instances.resume),
    "suspend": _simple(instances.suspend),
    "resume": _resume,
    "resize": _resize,
    "confirmResize": _simple(changes.confirm_resize, status=204),
    "revertResize": _simple(changes.revert_resize),
    "rebuild": _rebuild,
    "rescue": _rescue,
    "unrescue": _simple(changes.unrescue),
    "shelve": _simple(changes.shelve),
    "shelveOffload": _offload,
    "unshelve": _unshelve,
    "lock": _lock,
    "unlock": _simple(instances.unlock),
    "addSecurityGroup": _add_group,
    "removeSecurityGroup": _remove_group,
    "changePassword": _change_password,
    "os-getConsoleOutput": _console_output,
    "os-getVNCConsole": _console("vnc", ("novnc",)),
    "os-getSerialConsole": _console("serial", ("serial",)),
    "forceDelete": _simple(instances.delete),
    "restore": _refused("A server that is deleted is gone: nothing is kept to restore."),
    "createImage": _create_image,
    "createBackup": _refused("Backups by rotation are made by the portal's schedules."),
    "migrate": _refused(_ONE_HOST),
    "os-migrateLive": _refused(_ONE_HOST),
    "evacuate": _refused(_ONE_HOST),
    "resetNetwork": _refused("The network of a server follows its ports by itself."),
    "injectNetworkInfo": _refused("The network of a server follows its ports by itself."),
    "trigger_crash_dump": _refused("Crash dumps are not triggered here."),
    "os-resetState": _refused("States follow the machine by themselves."),
}


def _act(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    body = body_of(request)
    if len(body.values) != 1:
        raise Invalid("Name one action.")
    (name,) = body.values
    if name not in ACTIONS:
        raise Invalid(f"There is no action {name[:64]}.")
    value = body.values[name]
    if value is not None and not isinstance(value, dict | str):
        raise Invalid(f"{name} must be an object.", field=name)
    asked = Fields(value if isinstance(value, dict) else {}, name)
    row = find(caller, id)
    return ACTIONS[name](request, caller, row, asked)


# What our audit log calls it, as Nova does.
_NAMES = {
    "launch": "create", "start": "start", "stop": "stop", "reboot": "reboot", "reset": "reboot", "pause": "pause", "resume": "unpause",
    "suspend": "suspend", "resize": "resize", "confirm-resize": "confirmResize", "revert-resize": "revertResize", "rebuild": "rebuild",
    "rescue": "rescue", "unrescue": "unrescue", "shelve": "shelve", "unshelve": "unshelve", "lock": "lock", "unlock": "unlock",
    "delete": "delete", "attach-nic": "attach_interface", "detach-nic": "detach_interface", "set-password": "changePassword",
}  # fmt: skip


def _rows(caller: Caller, row: Instance) -> list[Any]:
    """Of the audit log, newest first. What the box did by itself is in the events of these."""
    rows = activity.list(caller.ctx).filter(noun="instance", subject_id=row.id, outcome="ok", verb__in=_NAMES)
    return [*rows[:1000]]


def _action(caller: Caller, row: Instance, event: Any) -> dict[str, Any]:
    shape = {
        "action": _NAMES[event.verb],
        "instance_uuid": str(row.id),
        "request_id": event.request_id,
        "user_id": event.actor_id.hex if event.actor_id else None,
        "project_id": row.project_id.hex,
        "start_time": f"{event.at.strftime('%Y-%m-%dT%H:%M:%S.%f')}",
        "message": None,
    }
    if caller.minor >= 58:
        shape["updated_at"] = shape["start_time"]
    return shape


def _seen(caller: Caller, id: str) -> Instance:
    """From 2.21 on also one that is gone."""
    if caller.minor < 21:
        return find(caller, id)
    found = instances.list(caller.ctx, with_deleted=True).filter(id=reading.need_id(id, "server")).first()
    if found is None:
        raise NotFound(f"There is no server {id}.")
    return found


def _history(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = _seen(caller, id)
    return answer({"instanceActions": [_action(caller, row, event) for event in _rows(caller, row)]})


def _event(request: HttpRequest, caller: Caller, id: str, request_id: str) -> HttpResponse:
    row = _seen(caller, id)
    found = next((event for event in _rows(caller, row) if event.request_id == request_id), None)
    if found is None:
        raise NotFound(f"There is no action {request_id[:64]}.")
    shape = _action(caller, row, found)
    if caller.minor >= 51 or caller.ctx.may("box.look"):
        event = {
            "event": f"compute_{found.verb}",
            "start_time": shape["start_time"],
            "finish_time": shape["start_time"],
            "result": "Success",
        }
        if caller.ctx.may("box.look"):
            event["traceback"] = None
        shape["events"] = [event]
    return answer({"instanceAction": shape})


action = nova.view(POST=_act)
remote_consoles = nova.view(POST=_remote_console)
history = nova.view(GET=_history)
event = nova.view(GET=_event)
