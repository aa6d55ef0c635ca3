"""The verbs of `base.Hypervisor` on libvirt. Each opens or reuses the connection, and says at its own call what an error means."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import libvirt

from cloudbox.common.errors import Conflict, NotFound, Unavailable
from compute.drivers import paths
from compute.drivers.guest_facts import GuestFacts
from compute.drivers.libvirt import agent, screen, snapshots, stats, xml
from compute.drivers.libvirt.connection import Connection
from compute.drivers.libvirt.events import Watcher
from compute.drivers.libvirt.states import Powers, machine_id
from compute.drivers.specs import ON, DiskSpec, HostFacts, MachineEvent, MachineSpec, MachineStats, NicSpec, Power

FORGET = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)


class LibvirtHypervisor:
    """Opens lazily: making one needs no daemon."""

    def __init__(self, home: Path, box: str, *, accelerator: str) -> None:
        assert accelerator in ("kvm", "tcg"), accelerator
        self.home = home
        self.box = box
        self.accelerator = accelerator
        self._connection = Connection(home)
        self._powers = Powers()

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _domain(self, id: UUID) -> Iterator[libvirt.virDomain]:
        with self._connection.use(resource=id) as connection:
            yield connection.lookupByUUID(id.bytes)

    def define(self, spec: MachineSpec) -> None:
        text = xml.domain(spec, home=self.home, box=self.box, accelerator=self.accelerator)
        with self._connection.use(resource=spec.id) as connection:
            connection.defineXML(text)

    def start(self, id: UUID, *, paused: bool = False) -> None:
        with self._domain(id) as domain:
            if domain.isActive():
                return
            try:
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)
            except libvirt.libvirtError:
                # Somebody else was faster: then it is as asked.
                if not domain.isActive():
                    raise

    def shutdown(self, id: UUID) -> None:
        # The power button, not the guest agent: an agent that hangs would hold the caller for a minute.
        try:
            with self._domain(id) as domain:
                domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        except Conflict:
            if self.power(id) in ON:
                raise

    def stop(self, id: UUID) -> None:
        try:
            with self._domain(id) as domain:
                if domain.isActive():
                    domain.destroy()
        except NotFound:
            return
        except Conflict:
            if self.power(id) in ON:
                raise

    def reboot(self, id: UUID) -> None:
        with self._domain(id) as domain:
            domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)

    def reset(self, id: UUID) -> None:
        with self._domain(id) as domain:
            domain.reset()

    def pause(self, id: UUID) -> None:
        with self._domain(id) as domain:
            if self._powers.of(domain) is not Power.PAUSED:
                domain.suspend()

    def resume(self, id: UUID) -> None:
        with self._domain(id) as domain:
            if self._powers.of(domain) is not Power.RUNNING:
                domain.resume()

    def save(self, id: UUID) -> None:
        with self._domain(id) as domain:
            if self._powers.of(domain) is not Power.SAVED:
                domain.managedSave()

    def attach_disk(self, id: UUID, disk: DiskSpec) -> None:
        with self._domain(id) as domain:
            for flag in _worlds(domain):
                text = domain.XMLDesc(_described(flag))
                if disk.volume_id not in xml.volumes_in(text):
                    domain.attachDeviceFlags(_as_text(xml.volume(disk, target=xml.free_target(text))), flag)

    def detach_disk(self, id: UUID, volume_id: UUID) -> bool:
        try:
            with self._domain(id) as domain:
                # The running machine first: if the guest holds on to the disk, the definition keeps it, too.
                for flag in _worlds(domain):
                    found = xml.volumes_in(domain.XMLDesc(_described(flag))).get(volume_id)
                    if found is None:
                        continue
                    try:
                        domain.detachDeviceFlags(_as_text(found), flag)
                    except libvirt.libvirtError as error:
                        # It has been asked before and has not answered yet.
                        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_FAILED or flag == libvirt.VIR_DOMAIN_AFFECT_CONFIG:
                            raise
                    if volume_id in xml.volumes_in(domain.XMLDesc(_described(flag))):
                        return False
        except NotFound:
            pass
        return True

    def disks(self, id: UUID) -> set[UUID]:
        try:
            with self._domain(id) as domain:
                return set(xml.volumes_in(domain.XMLDesc(0)))
        except NotFound:
            return set()

    def resize_disk(self, id: UUID, volume_id: UUID, size_gib: int) -> bool:
        try:
            with self._domain(id) as domain:
                if not domain.isActive():
                    return False
                found = xml.volumes_in(domain.XMLDesc(0)).get(volume_id)
                target = found.find("target") if found is not None else None
                if target is None:
                    return False
                name, wanted = target.get("dev", ""), size_gib * 2**30
                if domain.blockInfo(name)[0] < wanted:
                    domain.blockResize(name, wanted, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
                return True
        except NotFound:
            return False

    def snapshot_disks(self, id: UUID, wanted: Mapping[UUID, UUID]) -> bool:
        try:
            with self._domain(id) as domain:
                if not domain.isActive():
                    return False
                snapshots.take(domain, wanted)
                return True
        except NotFound:
            return False

    def delete_snapshot(self, id: UUID, disk_id: UUID, snapshot_id: UUID) -> bool:
        try:
            with self._domain(id) as domain:
                return bool(domain.isActive()) and snapshots.delete(domain, disk_id, snapshot_id)
        except NotFound:
            return False

    def limit_disk(self, id: UUID, disk: DiskSpec) -> None:
        try:
            with self._domain(id) as domain:
                for flag in _worlds(domain):
                    found = xml.volumes_in(domain.XMLDesc(_described(flag))).get(disk.volume_id)
                    target = found.find("target") if found is not None else None
                    if target is not None:
                        limits = {"total_bytes_sec": disk.bytes_per_second_max or 0, "total_iops_sec": disk.iops_max or 0}  # 0: none
                        domain.setBlockIoTune(target.get("dev", ""), limits, flag)
        except NotFound:
            return

    def attach_nic(self, id: UUID, nic: NicSpec) -> None:
        with self._domain(id) as domain:
            for flag in _worlds(domain):
                if nic.mac not in xml.cards_in(domain.XMLDesc(_described(flag))):
                    domain.attachDeviceFlags(_as_text(xml.card(nic)), flag)

    def detach_nic(self, id: UUID, mac: str) -> bool:
        try:
            with self._domain(id) as domain:
                for flag in _worlds(domain):
                    found = xml.cards_in(domain.XMLDesc(_described(flag))).get(mac)
                    if found is None:
                        continue
                    try:
                        domain.detachDeviceFlags(_as_text(found), flag)
                    except libvirt.libvirtError as error:
                        # It has been asked before and has not answered yet.
                        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_FAILED or flag == libvirt.VIR_DOMAIN_AFFECT_CONFIG:
                            raise
                    if mac in xml.cards_in(domain.XMLDesc(_described(flag))):
                        return False
        except NotFound:
            pass
        return True

    def nics(self, id: UUID) -> set[str]:
        try:
            with self._domain(id) as domain:
                return set(xml.cards_in(domain.XMLDesc(0)))
        except NotFound:
            return set()

    def freeze(self, id: UUID) -> bool:
        with self._domain(id) as domain:
            return agent.freeze(domain)

    def thaw(self, id: UUID) -> None:
        try:
            with self._domain(id) as domain:
                agent.thaw(domain)
        except NotFound:
            return

    def guest(self, id: UUID) -> GuestFacts | None:
        with self._domain(id) as domain:
            return agent.facts(domain)

    def set_password(self, id: UUID, user: str, password: str) -> None:
        with self._domain(id) as domain:
            agent.set_password(domain, user, password)

    def undefine(self, id: UUID) -> None:
        try:
            with self._domain(id) as domain:
                # Undefining a running domain would make it transient: it would run on, known to nobody.
                if domain.isActive():
                    raise Conflict("The machine is running; stop it first.", resource=str(id))
                domain.undefineFlags(FORGET)
        except NotFound:
            pass
        for path in (paths.serial_socket(self.home, id), paths.vnc_socket(self.home, id), paths.console_log(self.home, id)):
            path.unlink(missing_ok=True)

    def power(self, id: UUID) -> Power:
        try:
            with self._domain(id) as domain:
                return self._powers.of(domain)
        except NotFound:
            return Power.ABSENT

    def all(self) -> dict[UUID, Power]:
        with self._connection.use() as connection:
            domains = [(machine_id(self.box, each), each) for each in connection.listAllDomains()]
            powers = {id: self._powers.of(domain) for id, domain in domains if id is not None}
        return {id: power for id, power in powers.items() if power is not Power.ABSENT}

    def stats(self) -> list[MachineStats]:
        with self._connection.use() as connection:
            return stats.collect(connection, self.box)

    def screenshot(self, id: UUID) -> bytes:
        with self._connection.use(resource=id) as connection:
            try:
                return screen.screenshot(connection, connection.lookupByUUID(id.bytes))
            except ValueError as error:
                raise Unavailable("The hypervisor gave a broken picture of the screen.", resource=str(id)) from error

    def serial_socket(self, id: UUID) -> Path:
        return paths.serial_socket(self.home, id)

    def vnc_socket(self, id: UUID) -> Path:
        return paths.vnc_socket(self.home, id)

    def console_log(self, id: UUID) -> Path:
        return paths.console_log(self.home, id)

    def watch(self, callback: Callable[[MachineEvent], None]) -> Callable[[], None]:
        return Watcher(self.home, self.box, self._powers, callback).end

    def host(self) -> HostFacts:
        with self._connection.use() as connection:
            qemu, libvirtd = connection.getVersion(), connection.getLibVersion()
        disk = shutil.disk_usage(self.home)
        return HostFacts(
            hostname=Path("/proc/sys/kernel/hostname").read_text().strip(),
            vcpus=os.cpu_count() or 1,
            memory_mib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024**2,
            disk_bytes=disk.total,
            disk_free_bytes=disk.free,
            accelerator=self.accelerator,
            hypervisor_version=f"QEMU {_dotted(qemu)}, libvirt {_dotted(libvirtd)}",
        )


def _worlds(domain: libvirt.virDomain) -> list[int]:
    """What of a machine is to be changed: itself while it runs, and its definition."""
    return [libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG] if domain.isActive() else [libvirt.VIR_DOMAIN_AFFECT_CONFIG]


def _described(flag: int) -> int:
    return libvirt.VIR_DOMAIN_XML_INACTIVE if flag == libvirt.VIR_DOMAIN_AFFECT_CONFIG else 0


def _as_text(element: ElementTree.Element) -> str:
    return ElementTree.tostring(element, encoding="unicode")


def _dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}"
