"""A machine's description for libvirt, built as a tree: a tenant's text is always text, never markup.

https://libvirt.org/formatdomain.html
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from compute.drivers import paths
from compute.drivers.specs import MachineSpec, NicSpec, bridge_name, tap_name

HOTPLUG_PORTS = 8  # Sockets for disks and cards that come while the machine runs; q35 has none of itself.
BALLOON_SECONDS = 5
# Translated code is cached per machine; QEMU's own default (up to 1 GiB) would cost more than most guests.
TRANSLATION_CACHE_MIB = 128
METADATA = "https://cloudbox.invalid/domain/1"
# What XML 1.0 cannot carry at all, escaped or not.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

ET.register_namespace("cloudbox", METADATA)


def _text(value: str) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value)


def _add(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, {name: _text(value) for name, value in attributes.items()})
    child.text = None if text is None else _text(text)
    return child


def domain(spec: MachineSpec, *, home: Path, box: str, accelerator: str) -> str:
    """The XML of the machine. `home` places its sockets and its console log."""
    kvm = accelerator == "kvm"
    root = ET.Element("domain", {"type": "kvm" if kvm else "qemu"})
    _add(root, "name", f"{box}-{spec.id}")
    _add(root, "uuid", str(spec.id))
    # A title may not hold a line break, says libvirt.
    _add(root, "title", " ".join(spec.name.split()) or str(spec.id))
    about = _add(_add(root, "metadata"), f"{{{METADATA}}}machine")
    _add(about, f"{{{METADATA}}}name", spec.name)
    _add(about, f"{{{METADATA}}}project", spec.project)
    _add(root, "memory", str(spec.memory_mib), unit="MiB")
    _add(root, "vcpu", str(spec.vcpus))
    _smbios(root, spec)
    system = _add(root, "os")
    _add(system, "type", "hvm", arch="x86_64", machine="q35")
    _add(system, "boot", dev="hd")
    _add(system, "smbios", mode="sysinfo")
    features = _add(root, "features")
    _add(features, "acpi")
    _add(features, "apic")
    if not kvm:
        _add(_add(features, "tcg"), "tb-cache", str(TRANSLATION_CACHE_MIB), unit="MiB")
    _add(root, "cpu", mode="host-passthrough" if kvm else "maximum")
    _add(root, "clock", offset="utc")
    _add(root, "on_poweroff", "destroy")
    _add(root, "on_reboot", "restart")
    _add(root, "on_crash", "destroy")
    devices = _add(root, "devices")
    _disk(devices, spec)
    for nic in spec.nics:
        _nic(devices, nic, spec.nic_model)
    _consoles(devices, spec, home)
    _odds(devices)
    return ET.tostring(root, encoding="unicode")


def _smbios(root: ET.Element, spec: MachineSpec) -> None:
    """What cloud-init looks at: by this product name it asks the metadata service as OpenStack's, without a seed disk."""
    system = _add(_add(root, "sysinfo", type="smbios"), "system")
    for name, value in (
        ("manufacturer", "Cloudbox"),
        ("product", "OpenStack Nova"),
        ("serial", str(spec.id)),
        ("uuid", str(spec.id)),
        ("family", "Virtual Machine"),
    ):
        _add(system, "entry", value, name=name)


def _disk(devices: ET.Element, spec: MachineSpec) -> None:
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="qcow2", cache="writeback", discard="unmap")
    source = _add(disk, "source", file=str(spec.root_disk))
    # The store gives the disk to QEMU's user and keeps the image below it read-only; libvirt shall not change their owners.
    _add(source, "seclabel", model="dac", relabel="no")
    names = {"virtio": "vda", "ide": "hda"}
    _add(disk, "target", dev=names.get(spec.disk_bus, "sda"), bus=spec.disk_bus)
    _add(disk, "serial", spec.id.hex[:20])


def _nic(devices: ET.Element, nic: NicSpec, model: str) -> None:
    card = _add(devices, "interface", type="bridge")
    _add(card, "mac", address=nic.mac)
    _add(card, "source", bridge=bridge_name(nic.network_id))
    _add(card, "target", dev=tap_name(nic.port_id))
    _add(card, "model", type=model)
    _add(card, "mtu", size=str(nic.mtu))


def _consoles(devices: ET.Element, spec: MachineSpec, home: Path) -> None:
    serial = _add(devices, "serial", type="unix")
    _add(serial, "source", mode="bind", path=str(paths.serial_socket(home, spec.id)))
    _add(serial, "log", file=str(paths.console_log(home, spec.id)), append="on")
    _add(serial, "target", port="0")
    channel = _add(devices, "channel", type="unix")
    _add(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    graphics = _add(devices, "graphics", type="vnc")
    _add(graphics, "listen", type="socket", socket=str(paths.vnc_socket(home, spec.id)))
    _add(_add(devices, "video"), "model", type="vga", vram="16384")


def _odds(devices: ET.Element) -> None:
    _add(devices, "input", type="tablet", bus="usb")
    _add(devices, "controller", type="usb", model="qemu-xhci")
    _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    _add(_add(devices, "memballoon", model="virtio"), "stats", period=str(BALLOON_SECONDS))
    _add(devices, "controller", type="pci", index="0", model="pcie-root")
    for _ in range(HOTPLUG_PORTS):
        _add(devices, "controller", type="pci", model="pcie-root-port")
