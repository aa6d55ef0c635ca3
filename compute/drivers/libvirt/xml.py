"""A machine's description for libvirt, built as a tree: a tenant's text is always text, never markup.

https://libvirt.org/formatdomain.html
"""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree as ET

from compute.drivers import paths
from compute.drivers.specs import DiskSpec, MachineSpec, NicSpec, bridge_name, tap_name

HOTPLUG_PORTS = 8  # Sockets for disks and cards that come while the machine runs; q35 has none of itself.
# What takes a socket in every machine: root disk, serial bus, USB, random numbers, balloon.
FIXED_PORTS = 5
VOLUME_ALIAS = "ua-volume-"  # libvirt keeps aliases that begin with "ua-" as they were given.
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
    if spec.disk_bus == "scsi":
        _add(devices, "controller", type="scsi", model="virtio-scsi")
    _disk(devices, spec)
    for place, each in enumerate(spec.disks, start=1 if spec.rescue_disk else 0):
        devices.append(volume(each, target=target_name(place)))
    if spec.config_drive is not None:
        _config_drive(devices, spec, spec.config_drive)
    for nic in spec.nics:
        devices.append(card(nic))
    _consoles(devices, spec, home)
    _odds(devices, ports=FIXED_PORTS + len(spec.nics) + len(spec.disks) + bool(spec.rescue_disk) + bool(spec.config_drive) + HOTPLUG_PORTS)
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
    """The root disk; in rescue the rescue disk in its place and the root disk behind it. Firmware takes the first of the disks, and
    so does a system that looks for its own by a label that both bear."""
    place = 0
    if spec.rescue_disk is not None:
        _root(devices, spec, spec.rescue_disk, place=0, serial="rescue")
        place = 1
    if spec.boot is not None:
        devices.append(volume(spec.boot, target=_boot_name(spec, place), bus=spec.disk_bus))
    else:
        _root(devices, spec, spec.root_disk, place=place, serial=spec.id.hex[:20])


def _root(devices: ET.Element, spec: MachineSpec, path: Path, *, place: int, serial: str) -> None:
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="qcow2", cache="writeback", discard="unmap")
    source = _add(disk, "source", file=str(path))
    # The store gives the disk to QEMU's user and keeps the image below it read-only; libvirt shall not change their owners.
    _add(source, "seclabel", model="dac", relabel="no")
    _add(disk, "target", dev=_boot_name(spec, place), bus=spec.disk_bus)
    _add(disk, "serial", serial)


def _config_drive(devices: ET.Element, spec: MachineSpec, path: Path) -> None:
    """A plain disk where its system has virtio's drivers: Debian's cloud kernels know no SATA. Else a disc in a drive, as Windows reads
    ISO 9660 from nothing else."""
    is_plain = spec.disk_bus == "virtio"  # vdz is behind all names that volumes get
    disk = _add(devices, "disk", type="file", device="disk" if is_plain else "cdrom")
    _add(disk, "driver", name="qemu", type="raw")
    _add(_add(disk, "source", file=str(path)), "seclabel", model="dac", relabel="no")
    _add(disk, "target", dev="vdz" if is_plain else "sdc", bus=spec.disk_bus)
    _add(disk, "readonly")
    _add(disk, "serial", "config")


def _boot_name(spec: MachineSpec, place: int) -> str:
    return f"{ {'virtio': 'vd', 'ide': 'hd'}.get(spec.disk_bus, 'sd') }{'ab'[place]}"


def target_name(place: int) -> str:
    """What libvirt is to call the disk: vda is the root disk. Guests go by serial; they may call it otherwise."""
    return f"vd{chr(ord('b') + place)}"


def volume(disk: DiskSpec, *, target: str, bus: str = "virtio") -> ET.Element:
    """A volume's <disk>, for a definition or for a machine that runs."""
    found = ET.Element("disk", {"type": "file", "device": "disk"})
    _add(found, "driver", name="qemu", type="qcow2", cache="none", io="native", discard="unmap")
    _add(_add(found, "source", file=str(disk.path)), "seclabel", model="dac", relabel="no")
    _add(found, "target", dev=target, bus=bus)
    if disk.iops_max or disk.bytes_per_second_max:
        tune = _add(found, "iotune")
        if disk.bytes_per_second_max:
            _add(tune, "total_bytes_sec", str(disk.bytes_per_second_max))
        if disk.iops_max:
            _add(tune, "total_iops_sec", str(disk.iops_max))
    if disk.read_only:
        _add(found, "readonly")
    _add(found, "serial", disk.serial)
    _add(found, "alias", name=f"{VOLUME_ALIAS}{disk.volume_id}")
    return found


def volumes_in(text: str) -> dict[UUID, ET.Element]:
    """The volumes of a domain, as libvirt describes it."""
    found = {}
    for each in ET.fromstring(text).iterfind("devices/disk"):
        alias = each.find("alias")
        if alias is not None and (name := alias.get("name", "")).startswith(VOLUME_ALIAS):
            found[UUID(name.removeprefix(VOLUME_ALIAS))] = each
    return found


def free_target(text: str) -> str:
    """A name that no disk of the domain has."""
    taken = {target.get("dev") for target in ET.fromstring(text).iterfind("devices/disk/target")}
    return next(name for place in range(25) if (name := target_name(place)) not in taken)


def cards_in(text: str) -> dict[str, ET.Element]:
    """The network cards of a domain, as libvirt describes it, by their MAC."""
    found = ((each.find("mac"), each) for each in ET.fromstring(text).iterfind("devices/interface"))
    return {mac.get("address", ""): each for mac, each in found if mac is not None}


def card(nic: NicSpec) -> ET.Element:
    """A network card, for a definition or for a machine that runs."""
    card = ET.Element("interface", {"type": "bridge"})
    _add(card, "mac", address=nic.mac)
    _add(card, "source", bridge=bridge_name(nic.network_id))
    _add(card, "target", dev=tap_name(nic.port_id))
    _add(card, "model", type=nic.model)
    _add(card, "mtu", size=str(nic.mtu))
    return card


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


def _odds(devices: ET.Element, *, ports: int) -> None:
    _add(devices, "input", type="tablet", bus="usb")
    _add(devices, "controller", type="usb", model="qemu-xhci")
    _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    _add(_add(devices, "memballoon", model="virtio"), "stats", period=str(BALLOON_SECONDS))
    _add(devices, "controller", type="pci", index="0", model="pcie-root")
    for _ in range(ports):
        _add(devices, "controller", type="pci", model="pcie-root-port")
