"""Snapshots inside the disks of a machine that is on: all of them at one moment, in one transaction of QEMU's.

libvirt's own internal snapshots want the memory, too; so QEMU is asked through it (https://libvirt.org/html/libvirt-libvirt-qemu.html).
libvirt need not know: neither the disks nor their names change
(https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html, "blockdev-snapshot-internal-sync").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

from cloudbox.common.errors import Conflict, Unavailable
from compute.drivers.libvirt import xml


def _ask(domain: libvirt.virDomain, command: str, **arguments: Any) -> Any:
    question = {"execute": command} | ({"arguments": arguments} if arguments else {})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(question), 0))
    if "error" in answer:
        raise Unavailable(f"QEMU refused: {str(answer['error'].get('desc', ''))[:200]}")
    return answer.get("return")


def _aliases(domain: libvirt.virDomain) -> dict[str, UUID]:
    """libvirt's name of each disk of ours: volumes bear their id in it, the root disk the machine's in its serial."""
    text, machine = domain.XMLDesc(0), UUID(domain.UUIDString())
    found = {f"{xml.VOLUME_ALIAS}{id}": id for id in xml.volumes_in(text)}
    for each in ElementTree.fromstring(text).iterfind("devices/disk"):
        alias, serial = each.find("alias"), each.findtext("serial")
        if alias is not None and serial == machine.hex[:20]:
            found[alias.get("name", "")] = machine
    return found


def _disks(domain: libvirt.virDomain) -> dict[UUID, tuple[str, set[str]]]:
    """Of each disk the name of its node in QEMU, and the snapshots in it."""
    aliases, found = _aliases(domain), {}
    for each in _ask(domain, "query-block"):
        id = next((aliases[part] for part in str(each.get("qdev", "")).split("/") if part in aliases), None)
        inserted = each.get("inserted")
        if id is not None and inserted:
            there = {one["name"] for one in inserted.get("image", {}).get("snapshots", ())}
            found[id] = (inserted["node-name"], there)
    return found


def take(domain: libvirt.virDomain, wanted: Mapping[UUID, UUID]) -> None:
    """disk -> snapshot. Those that are there already stay as they are."""
    disks, actions = _disks(domain), []
    for disk_id, snapshot_id in wanted.items():
        if disk_id not in disks:
            raise Conflict("The machine does not have this disk.", resource=str(disk_id))
        node, there = disks[disk_id]
        if str(snapshot_id) not in there:
            actions.append({"type": "blockdev-snapshot-internal-sync", "data": {"device": node, "name": str(snapshot_id)}})
    if actions:
        _ask(domain, "transaction", actions=actions)


def delete(domain: libvirt.virDomain, disk_id: UUID, snapshot_id: UUID) -> bool:
    """False: the machine does not have the disk."""
    node, there = _disks(domain).get(disk_id, ("", set()))
    if str(snapshot_id) in there:
        _ask(domain, "blockdev-snapshot-delete-internal-sync", device=node, name=str(snapshot_id))
    return bool(node)
