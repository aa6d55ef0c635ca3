"""The machine in memory: every interface of `base`, for tests and for a laptop without a hypervisor.

Same meanings as the real drivers (tests/contracts proves it), faults on order (`fake.fail("start")`), and a thousand machines
without a thousand file descriptors.
"""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from cloudbox.common.errors import Conflict, NotFound
from compute.drivers import fake_balancers, fake_disks, paths, png
from compute.drivers.balancer_specs import BalancerFacts
from compute.drivers.fake_disks import FakeSnapshots
from compute.drivers.fake_guest import Guests
from compute.drivers.faults import Faults
from compute.drivers.guest_facts import GuestCard, GuestFacts, GuestFileSystem
from compute.drivers.kept_roots import KeptRoots
from compute.drivers.specs import (
    ON,
    DiskSpec,
    FabricSpec,
    HostFacts,
    MachineEvent,
    MachineSpec,
    MachineStats,
    NicSpec,
    Power,
    bridge_name,
    tap_name,
)
from compute.drivers.vpn_specs import VpnPeerFacts


@dataclass
class _Machine:
    spec: MachineSpec
    power: Power = Power.SHUTOFF
    started: float = 0.0
    disks: dict[UUID, DiskSpec] = field(default_factory=dict)


def _home(home: Path | None) -> Path:
    return home or Path(tempfile.mkdtemp(prefix="fake-"))


class FakeHypervisor(Faults):
    def __init__(self, home: Path | None = None, *, accelerator: str = "tcg") -> None:
        super().__init__()
        self.home = _home(home)
        self.accelerator = accelerator
        self._machines: dict[UUID, _Machine] = {}
        self._lock = threading.RLock()
        self._watchers: list[Callable[[MachineEvent], None]] = []
        self._events: queue.SimpleQueue[MachineEvent] = queue.SimpleQueue()
        self._teller: threading.Thread | None = None
        self._guests = Guests(self.guest_poweroff)
        # Guests that hold on to their disks, as one does that has not booted.
        self.holding: set[UUID] = set()
        # Guests without an agent, those whose file systems are held still, and passwords as the agents were told them.
        self.silent: set[UUID] = set()
        self.frozen: set[UUID] = set()
        self.passwords: dict[tuple[UUID, str], str] = {}

    def close(self) -> None:
        self._guests.close_all()

    # What a test does to a guest.

    def crash(self, id: UUID) -> None:
        """The hypervisor's process of this machine dies."""
        self._become(id, Power.CRASHED, "crashed")

    def guest_poweroff(self, id: UUID) -> None:
        """Somebody inside typed `poweroff`."""
        self._become(id, Power.POWERED_OFF, "guest powered off")

    def report_all(self) -> None:
        """What a real driver does after it lost and found its daemon."""
        for id, power in self.all().items():
            self._tell(MachineEvent(id=id, power=power, why="reconnected"))

    # The interface.

    def define(self, spec: MachineSpec) -> None:
        self._may_fail("define")
        with self._lock:
            known = self._machines.get(spec.id)
            if known is None:
                known = self._machines[spec.id] = _Machine(spec)
            else:
                known.spec = spec
            if known.power not in ON:
                known.disks = {disk.volume_id: disk for disk in (*spec.disks, *([spec.boot] if spec.boot else []))}

    def start(self, id: UUID, *, paused: bool = False) -> None:
        self._may_fail("start")
        with self._lock:
            machine = self._get(id)
            if machine.power in ON:
                return
            machine.started = time.time()
            self._become(id, Power.PAUSED if paused else Power.RUNNING, "restored" if machine.power is Power.SAVED else "booted")

    def shutdown(self, id: UUID) -> None:
        self._may_fail("shutdown")
        with self._lock:
            if self._get(id).power not in ON:
                return
            if self._get(id).power is not Power.RUNNING:
                raise Conflict("The machine is not running, so it cannot be asked to shut down.")
            self._become(id, Power.POWERED_OFF, "guest powered off")

    def stop(self, id: UUID) -> None:
        self._may_fail("stop")
        with self._lock:
            machine = self._machines.get(id)
            if machine is not None and machine.power in ON:
                self._become(id, Power.SHUTOFF, "stopped")

    def reboot(self, id: UUID) -> None:
        self._may_fail("reboot")
        self._restart(id)

    def reset(self, id: UUID) -> None:
        self._may_fail("reset")
        self._restart(id)

    def _restart(self, id: UUID) -> None:
        with self._lock:
            if self._get(id).power not in ON:
                raise Conflict("The machine is not running, so it cannot be restarted.")

    def pause(self, id: UUID) -> None:
        self._may_fail("pause")
        self._switch(id, Power.RUNNING, Power.PAUSED, "paused")

    def resume(self, id: UUID) -> None:
        self._may_fail("resume")
        self._switch(id, Power.PAUSED, Power.RUNNING, "resumed")

    def _switch(self, id: UUID, before: Power, after: Power, why: str) -> None:
        with self._lock:
            power = self._get(id).power
            if power is after:
                return
            if power is not before:
                raise Conflict(f"The machine is {power}, not {before}.")
            self._become(id, after, why)

    def save(self, id: UUID) -> None:
        self._may_fail("save")
        with self._lock:
            power = self._get(id).power
            if power is Power.SAVED:
                return
            if power not in ON:
                raise Conflict("The machine is not running, so it has no memory to save.")
            self._become(id, Power.SAVED, "saved")

    def attach_disk(self, id: UUID, disk: DiskSpec) -> None:
        self._may_fail("attach_disk")
        with self._lock:
            self._get(id).disks.setdefault(disk.volume_id, disk)

    def detach_disk(self, id: UUID, volume_id: UUID) -> bool:
        self._may_fail("detach_disk")
        with self._lock:
            machine = self._machines.get(id)
            if machine is None or volume_id not in machine.disks:
                return True
            if machine.power in ON and id in self.holding:
                return False
            del machine.disks[volume_id]
            return True

    def disks(self, id: UUID) -> set[UUID]:
        self._may_fail("disks")
        with self._lock:
            machine = self._machines.get(id)
            return set(machine.disks) if machine else set()

    def resize_disk(self, id: UUID, volume_id: UUID, size_gib: int) -> bool:
        self._may_fail("resize_disk")
        with self._lock:
            machine = self._machines.get(id)
            if machine is None or machine.power not in ON or volume_id not in machine.disks:
                return False
            fake_disks.grow(machine.disks[volume_id].path, size_gib)
            return True

    def snapshot_disks(self, id: UUID, wanted: Mapping[UUID, UUID]) -> bool:
        self._may_fail("snapshot_disks")
        with self._lock:
            machine = self._machines.get(id)
            if machine is None or machine.power not in ON:
                return False
            if not wanted.keys() <= machine.disks.keys() | {id}:
                raise Conflict("The machine does not have this disk.", resource=str(id))
            for disk_id, snapshot_id in wanted.items():
                fake_disks.take(machine.spec.root_disk if disk_id == id else machine.disks[disk_id].path, snapshot_id)
            return True

    def delete_snapshot(self, id: UUID, disk_id: UUID, snapshot_id: UUID) -> bool:
        self._may_fail("delete_snapshot")
        with self._lock:
            machine = self._machines.get(id)
            if machine is None or machine.power not in ON or (disk_id != id and disk_id not in machine.disks):
                return False
            fake_disks.drop(machine.spec.root_disk if disk_id == id else machine.disks[disk_id].path, snapshot_id)
            return True

    def limit_disk(self, id: UUID, disk: DiskSpec) -> None:
        self._may_fail("limit_disk")
        with self._lock:
            machine = self._machines.get(id)
            if machine is not None and disk.volume_id in machine.disks:
                before = machine.disks[disk.volume_id]
                limits = {"iops_max": disk.iops_max, "bytes_per_second_max": disk.bytes_per_second_max}
                machine.disks[disk.volume_id] = replace(before, **limits)  # type: ignore[arg-type]

    def attach_nic(self, id: UUID, nic: NicSpec) -> None:
        self._may_fail("attach_nic")
        with self._lock:
            machine = self._get(id)
            if nic.mac not in self.nics(id):
                machine.spec = replace(machine.spec, nics=(*machine.spec.nics, nic))

    def detach_nic(self, id: UUID, mac: str) -> bool:
        self._may_fail("detach_nic")
        with self._lock:
            machine = self._machines.get(id)
            if machine is None or mac not in self.nics(id):
                return True
            if machine.power in ON and id in self.holding:
                return False
            machine.spec = replace(machine.spec, nics=tuple(nic for nic in machine.spec.nics if nic.mac != mac))
            return True

    def nics(self, id: UUID) -> set[str]:
        self._may_fail("nics")
        with self._lock:
            machine = self._machines.get(id)
            return {nic.mac for nic in machine.spec.nics} if machine else set()

    def freeze(self, id: UUID) -> bool:
        self._may_fail("freeze")
        with self._lock:
            if self._get(id).power is not Power.RUNNING or id in self.silent:
                return False
            self.frozen.add(id)
            return True

    def thaw(self, id: UUID) -> None:
        self._may_fail("thaw")
        self.frozen.discard(id)

    def guest(self, id: UUID) -> GuestFacts | None:
        self._may_fail("guest")
        with self._lock:
            machine = self._get(id)
            if machine.power is not Power.RUNNING or id in self.silent:
                return None
            disk = GuestFileSystem(mountpoint="/", type="ext4", disk="vda1", total_bytes=10**9, used_bytes=10**8)
            cards = tuple(GuestCard(name=f"eth{n}", mac=nic.mac, addresses=()) for n, nic in enumerate(machine.spec.nics))
            return GuestFacts(hostname=machine.spec.name, os="Fake Linux 1.0", kernel="6.1.0", file_systems=(disk,), cards=cards)

    def set_password(self, id: UUID, user: str, password: str) -> None:
        self._may_fail("set_password")
        with self._lock:
            if self._get(id).power is not Power.RUNNING or id in self.silent:
                raise Conflict("No agent answers in the guest. Is qemu-guest-agent installed and running there?")
            if user not in ("root", "admin"):
                raise Conflict(f"The guest refused to set the password of {user}. Does that account exist there?")
            self.passwords[id, user] = password

    def undefine(self, id: UUID) -> None:
        self._may_fail("undefine")
        with self._lock:
            machine = self._machines.get(id)
            if machine is not None and machine.power in ON:
                raise Conflict("The machine is running; stop it first.")
            self._close_sockets(id)
            paths.console_log(self.home, id).unlink(missing_ok=True)
            if self._machines.pop(id, None) is not None:
                self._tell(MachineEvent(id=id, power=Power.ABSENT, why="undefined"))

    def power(self, id: UUID) -> Power:
        self._may_fail("power")
        with self._lock:
            machine = self._machines.get(id)
            return machine.power if machine else Power.ABSENT

    def all(self) -> dict[UUID, Power]:
        self._may_fail("all")
        with self._lock:
            return {id: machine.power for id, machine in self._machines.items()}

    def stats(self) -> list[MachineStats]:
        self._may_fail("stats")
        now = time.time()
        with self._lock:
            return [self._stats(machine, now) for machine in self._machines.values() if machine.power in ON]

    def _stats(self, machine: _Machine, now: float) -> MachineStats:
        spec, age = machine.spec, now - machine.started
        wobble = (spec.id.int % 97) / 97  # Each machine is busy in its own way, and the same one each time.
        return MachineStats(
            id=spec.id,
            at=now,
            cpu_ns=int(age * 1e9 * (0.05 + 0.4 * wobble) * spec.vcpus),
            vcpus=spec.vcpus,
            memory_used_mib=int(spec.memory_mib * (0.2 + 0.5 * wobble)),
            memory_total_mib=spec.memory_mib,
            disk_read_bytes=int(age * 20_000 * wobble),
            disk_write_bytes=int(age * 90_000 * wobble),
            disk_read_ops=int(age * 5 * wobble),
            disk_write_ops=int(age * 9 * wobble),
            net_rx_bytes=int(age * 120_000 * wobble),
            net_tx_bytes=int(age * 40_000 * wobble),
        )

    def screenshot(self, id: UUID) -> bytes:
        self._may_fail("screenshot")
        with self._lock:
            if self._get(id).power not in ON:
                raise Conflict("The machine is not running, so it shows no screen.")
        width, height = 320, 200
        shade = bytes((id.int >> 8 * n) % 200 for n in range(3))
        return png.from_rgb(width, height, shade * (width * height))

    def serial_socket(self, id: UUID) -> Path:
        path = paths.serial_socket(self.home, id)
        with self._lock:
            if (machine := self._machines.get(id)) and machine.power in ON:
                self._guests.open(id, path, log=self.console_log(id))
        return path

    def vnc_socket(self, id: UUID) -> Path:
        path = paths.vnc_socket(self.home, id)
        with self._lock:
            if (machine := self._machines.get(id)) and machine.power in ON:
                self._guests.open(id, path, log=None)
        return path

    def console_log(self, id: UUID) -> Path:
        return paths.console_log(self.home, id)

    def watch(self, callback: Callable[[MachineEvent], None]) -> Callable[[], None]:
        with self._lock:
            self._watchers.append(callback)
            if self._teller is None:
                self._teller = threading.Thread(target=self._tell_all, name="fake-events", daemon=True)
                self._teller.start()

        def end() -> None:
            with self._lock:
                if callback in self._watchers:
                    self._watchers.remove(callback)

        return end

    def host(self) -> HostFacts:
        self._may_fail("host")
        return HostFacts(
            hostname="fake",
            vcpus=4096,
            memory_mib=4 * 1024 * 1024,
            disk_bytes=1 << 46,
            disk_free_bytes=1 << 45,
            accelerator=self.accelerator,
            hypervisor_version="fake 1.0",
        )

    def _get(self, id: UUID) -> _Machine:
        machine = self._machines.get(id)
        if machine is None:
            raise NotFound("The hypervisor knows no such machine.", resource=str(id))
        return machine

    def _become(self, id: UUID, power: Power, why: str) -> None:
        with self._lock:
            self._get(id).power = power
            if power not in ON:
                self.frozen.discard(id)
                self._close_sockets(id)
        self._tell(MachineEvent(id=id, power=power, why=why))

    def _close_sockets(self, id: UUID) -> None:
        self._guests.close(paths.serial_socket(self.home, id))
        self._guests.close(paths.vnc_socket(self.home, id))

    def _tell(self, event: MachineEvent) -> None:
        if self._teller is not None:
            self._events.put(event)

    def _tell_all(self) -> None:
        """In a thread of its own, as the real driver does: no lock of ours is held while somebody else's code runs."""
        while True:
            event = self._events.get()
            for callback in list(self._watchers):
                callback(event)


class FakeVolumes(KeptRoots, Faults, FakeSnapshots):
    """Root disks as tiny files, so that what a test left behind can be seen."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__()
        self.home = _home(home)

    def create_root(self, id: UUID, *, base: Path, size_gib: int) -> Path:
        self._may_fail("create_root")
        if not base.exists():
            raise NotFound("The image's file is not there.", resource=str(base.stem))
        path = self.root_path(id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"QFI\xfb" + size_gib.to_bytes(4))
        self._stands_on(id, base)
        return path

    def _stands_on(self, id: UUID, base: Path) -> None:
        """Noted apart from the disks, which are too small to bear it. Once is for ever: as long as the instance has any disk."""
        note = self.home / "bases" / str(id)
        note.parent.mkdir(exist_ok=True)
        with note.open("a") as file:
            file.write(f"{base.stem}\n")

    def bases(self) -> set[UUID]:
        notes = [path for path in (self.home / "bases").glob("*") if self.root_path(UUID(path.name)).parent.exists()]
        return {UUID(line) for path in notes for line in path.read_text().split() if len(line) == 36}

    def root_path(self, id: UUID) -> Path:
        return paths.root_disk(self.home, id)

    def put_config_drive(self, id: UUID, disc: bytes) -> Path:
        self._may_fail("put_config_drive")
        path = self.config_drive_path(id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(disc)
        return path

    def config_drive_path(self, id: UUID) -> Path:
        return paths.config_drive(self.home, id)

    def drop_config_drive(self, id: UUID) -> None:
        self.config_drive_path(id).unlink(missing_ok=True)

    def delete(self, id: UUID) -> None:
        self._may_fail("delete")
        shutil.rmtree(self.root_path(id).parent, ignore_errors=True)

    def root_gib(self, id: UUID) -> int:
        """How large the disk inside is; for tests."""
        return int.from_bytes(self.root_path(id).read_bytes()[4:8])

    def grow_root(self, id: UUID, *, size_gib: int) -> None:
        self._may_fail("grow_root")
        if not self.root_path(id).exists():
            raise NotFound("There is no such root disk.", resource=str(id))
        data = self.root_path(id).read_bytes()
        if self.root_gib(id) < size_gib:
            self.root_path(id).write_bytes(data[:4] + size_gib.to_bytes(4) + data[8:])

    def create_rescue(self, id: UUID, *, base: Path) -> Path:
        self._may_fail("create_rescue")
        if not base.exists():
            raise NotFound("The image's file is not there.", resource=str(base.stem))
        self.rescue_path(id).write_bytes(b"QFI\xfbrescue")
        self._stands_on(id, base)
        return self.rescue_path(id)

    def export_root(self, id: UUID) -> Path:
        self._may_fail("export_root")
        path = self.root_path(id).with_name("export.qcow2")
        try:
            shutil.copyfile(self.root_path(id), path)
        except FileNotFoundError:
            raise NotFound("There is no such root disk.", resource=str(id)) from None
        return path

    def import_root(self, id: UUID, source: Path, *, size_gib: int) -> Path:
        self._may_fail("import_root")
        path = self.root_path(id)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            shutil.copyfile(source, path)
        self.grow_root(id, size_gib=size_gib)
        return path

    def all(self) -> set[UUID]:
        folder = self.home / "instances"
        return {UUID(each.name) for each in folder.iterdir()} if folder.exists() else set()

    def used_bytes(self, id: UUID) -> int:
        try:
            return self.root_path(id).stat().st_size
        except FileNotFoundError:
            raise NotFound("There is no such root disk.", resource=str(id)) from None

    def create_volume(self, id: UUID, *, size_gib: int) -> Path:
        self._may_fail("create_volume")
        path = self.volume_path(id)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(b"QFI\xfb" + size_gib.to_bytes(4))
        return path

    def volume_path(self, id: UUID) -> Path:
        return paths.volume(self.home, id)

    def grow_volume(self, id: UUID, *, size_gib: int) -> None:
        self._may_fail("grow_volume")
        if self.volume_bytes(id)[0] < size_gib * 2**30:
            fake_disks.grow(self.volume_path(id), size_gib)

    def volume_bytes(self, id: UUID) -> tuple[int, int]:
        try:
            data = self.volume_path(id).read_bytes()
        except FileNotFoundError:
            raise NotFound("The file of this volume is not there.", resource=str(id)) from None
        return int.from_bytes(data[4:8]) * 2**30, len(data)

    def delete_volume(self, id: UUID) -> None:
        self._may_fail("delete_volume")
        self.volume_path(id).unlink(missing_ok=True)

    def all_volumes(self) -> set[UUID]:
        folder = self.home / "volumes"
        return {UUID(each.stem) for each in folder.glob("*.qcow2")} if folder.exists() else set()


class FakeImages(Faults):
    """Images as files, without looking into them."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__()
        self.home = _home(home)

    def put(self, id: UUID, source: BinaryIO) -> int:
        self._may_fail("put")
        path = paths.image(self.home, id)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as file:
                shutil.copyfileobj(source, file)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path.stat().st_size

    def path(self, id: UUID) -> Path:
        self._may_fail("path")
        path = paths.image(self.home, id)
        if not path.exists():
            raise NotFound("There is no such image file.", resource=str(id))
        return path

    def delete(self, id: UUID) -> None:
        self._may_fail("delete")
        paths.image(self.home, id).unlink(missing_ok=True)

    def all(self) -> Iterator[UUID]:
        folder = self.home / "images"
        return iter([UUID(each.stem) for each in folder.glob("*.qcow2")] if folder.exists() else [])


class FakeFabric(Faults):
    """Remembers the last spec; taps are those of its ports, so a test can see what was left behind."""

    def __init__(self, box: str = "cbx-fake") -> None:
        super().__init__()
        self.box = box
        self.spec = FabricSpec()
        self.applied = 0
        self.hits: dict[UUID, int] = {}
        self.down: set[UUID] = set()
        self.heard: dict[str, VpnPeerFacts] = {}
        self.no_vpn = ""
        self.ranges: list[IPv4Network] = []

    def apply(self, spec: FabricSpec) -> None:
        self._may_fail("apply")
        self.spec = spec
        self.applied += 1

    def networks(self) -> set[str]:
        bridges = {bridge_name(each.id) for each in self.spec.networks}
        return bridges | {self.namespace_of(each.id) for each in self.spec.networks}

    def routers(self) -> set[str]:
        routers = {f"{prefix}{each.id.hex[:12]}" for each in self.spec.routers for prefix in ("rex", f"{self.box}-r")}
        return routers | {f"ext{each.id.hex[:12]}" for each in self.spec.externals}

    def host_ranges(self) -> list[IPv4Network]:
        return self.ranges

    def host_bridges(self) -> set[str]:
        return {"br0", "br1"}

    def taps(self) -> set[str]:
        return {tap_name(each.id) for each in self.spec.ports}

    def take_hits(self) -> dict[UUID, int]:
        self._may_fail("take_hits")
        hits, self.hits = self.hits, {}
        return hits

    def balancer_facts(self) -> dict[UUID, BalancerFacts]:
        """All members are up, but for those in `down`."""
        self._may_fail("balancer_facts")
        return {each.id: fake_balancers.facts(each, self.down) for each in self.spec.balancers}

    def vpn_facts(self) -> dict[UUID, tuple[VpnPeerFacts, ...]]:
        """Everybody is there, and has sent what `heard` says."""
        self._may_fail("vpn_facts")
        return {
            each.id: tuple(self.heard.get(peer.public_key, VpnPeerFacts(public_key=peer.public_key)) for peer in each.vpn.peers)
            for each in self.spec.routers
            if each.vpn is not None
        }

    def why_no_vpn(self) -> str:
        return self.no_vpn

    def namespace_of(self, network_id: UUID) -> str:
        return f"{self.box}-{network_id.hex[:8]}"
