"""The four interfaces behind which the machine hides: Hypervisor, VolumeStore, ImageStore, Fabric.

Every method is idempotent: asking for what is already so succeeds. Foreign exceptions leave as `cloudbox.common.errors`
meanings: `Unavailable` when the other side did not answer (may be retried), `NotFound` when there is no such machine,
`Conflict` when its state forbids it, `InsufficientCapacity` when the host is full. No call here may be made inside a
database transaction. `tests/contracts/` holds the behaviour of each, run on the fake and on the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from ipaddress import IPv4Network
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import UUID

from compute.drivers.balancer_specs import BalancerFacts
from compute.drivers.guest_facts import GuestFacts
from compute.drivers.specs import DiskSpec, FabricSpec, HostFacts, MachineEvent, MachineSpec, MachineStats, NicSpec, Power
from compute.drivers.vpn_specs import VpnPeerFacts


class Hypervisor(Protocol):
    def define(self, spec: MachineSpec) -> None:
        """Make the machine known, or replace its description; takes effect at its next start."""

    def start(self, id: UUID, *, paused: bool = False) -> None:
        """Start it, or continue a saved one; `paused`: it is there, but runs nothing until `resume`. Already on: nothing. Not
        defined: NotFound."""

    def shutdown(self, id: UUID) -> None:
        """Ask the guest to power off and return at once; it may take its time, or refuse. Off already: nothing, since whoever sees it
        running and asks may come just too late."""

    def stop(self, id: UUID) -> None:
        """Cut the power. Already off or absent: nothing."""

    def reboot(self, id: UUID) -> None:
        """Ask the guest to restart and return at once."""

    def reset(self, id: UUID) -> None:
        """Press the reset button."""

    def pause(self, id: UUID) -> None: ...

    def resume(self, id: UUID) -> None: ...

    def save(self, id: UUID) -> None:
        """Write the memory to disk and stop; `start` continues from there. Already saved: nothing."""

    def attach_disk(self, id: UUID, disk: DiskSpec) -> None:
        """Give the machine a disk, at once if it runs and for its next start. It has it already: nothing. Not defined: NotFound."""

    def detach_disk(self, id: UUID, volume_id: UUID) -> bool:
        """Ask a running guest to let go of a disk, or take it from one that is off. True when the machine no longer has it; False
        while the guest still holds it: ask again later. Not attached, or no such machine: True."""

    def disks(self, id: UUID) -> set[UUID]:
        """The volumes that the machine has now. No such machine: none."""

    def resize_disk(self, id: UUID, volume_id: UUID, size_gib: int) -> bool:
        """Let a machine that is on see a larger disk: the file grows with it. False when it is off or has no such disk: then nothing
        happens, and the store grows the file."""

    def snapshot_disks(self, id: UUID, wanted: Mapping[UUID, UUID]) -> bool:
        """Of a machine that is on, remember these disks (its volumes; its own id is its root disk) as they are now, all at one moment:
        disk -> snapshot. Those there already stay. False when it is off or absent: then nothing happens, and the store does it.
        Conflict: it does not have such a disk."""

    def delete_snapshot(self, id: UUID, disk_id: UUID, snapshot_id: UUID) -> bool:
        """Forget a snapshot in a disk of a machine that is on. Not there: nothing. False when it is off or has no such disk."""

    def limit_disk(self, id: UUID, disk: DiskSpec) -> None:
        """Give a volume that the machine has these limits from now on. It has no such disk: nothing."""

    def attach_nic(self, id: UUID, nic: NicSpec) -> None:
        """Give the machine a network card, at once if it runs and for its next start. It has it already: nothing. Its bridge must be
        there. Not defined: NotFound."""

    def detach_nic(self, id: UUID, mac: str) -> bool:
        """Take a card out, as `detach_disk` does a disk: False while the guest still holds it. Not there, or no such machine: True."""

    def nics(self, id: UUID) -> set[str]:
        """The MACs of the cards that the machine has now. No such machine: none."""

    def freeze(self, id: UUID) -> bool:
        """Have the guest write out everything and hold its file systems still, for a consistent copy. True: so it is, until `thaw`;
        False: no agent answers there, or it cannot, and nothing is held. Frozen already: True. Whoever froze thaws, within seconds:
        until then every program that writes waits."""

    def thaw(self, id: UUID) -> None:
        """Let the file systems go on. Not frozen, off, no agent, no such machine: nothing."""

    def guest(self, id: UUID) -> GuestFacts | None:
        """What the agent in the guest tells; None when none answers within seconds."""

    def set_password(self, id: UUID, user: str, password: str) -> None:
        """Give an account in the guest a password. Conflict when no agent answers, or it refuses."""

    def undefine(self, id: UUID) -> None:
        """Forget the machine, its saved memory, console sockets and console log. Must be off. Absent: nothing."""

    def power(self, id: UUID) -> Power: ...

    def all(self) -> dict[UUID, Power]:
        """Every machine of this box that the hypervisor knows."""

    def stats(self) -> list[MachineStats]:
        """Counters of all running machines, in one cheap call."""

    def screenshot(self, id: UUID) -> bytes:
        """The screen now, as PNG of natural size. Not running: Conflict."""

    def serial_socket(self, id: UUID) -> Path:
        """The unix socket of the serial line (one client at a time; `compute.agent.console_hub` is that client)."""

    def vnc_socket(self, id: UUID) -> Path:
        """The unix socket on which the machine's screen is served as RFB without a password."""

    def console_log(self, id: UUID) -> Path:
        """The file to which all serial output is appended, across restarts."""

    def watch(self, callback: Callable[[MachineEvent], None]) -> Callable[[], None]:
        """Call back on every change of power, from a thread of the driver; returns what ends it. Survives the loss of the daemon:
        after reconnecting it reports every machine once."""

    def host(self) -> HostFacts: ...


class DiskBytes(Protocol):
    """An open disk."""

    size_bytes: int

    def read(self, offset: int, length: int) -> bytes: ...

    def is_zero(self, offset: int, length: int) -> bool:
        """True: nothing but zeros there, known without reading. False: it may hold something."""

    def write(self, offset: int, data: bytes) -> None: ...


class VolumeStore(Protocol):
    """Two kinds of disks: the root disk of an instance, which lives and dies with it, and volumes, which have a life of their own."""

    def create_root(self, id: UUID, *, base: Path, size_gib: int) -> Path:
        """A root disk of that size on top of an image, made whole or not at all. There already: the same path."""

    def root_path(self, id: UUID) -> Path: ...

    def bases(self) -> set[UUID]:
        """The images whose files some disk stands on; they must stay."""

    def grow_root(self, id: UUID, *, size_gib: int) -> None:
        """Make it that large; its machine must be off. It is so already, or larger: nothing. Not there: NotFound."""

    def set_aside(self, id: UUID) -> None:
        """Keep the root disk under another name, so that `create_root` makes a new one. None there: nothing."""

    def put_back(self, id: UUID) -> None:
        """The disk that was set aside is the root disk again; the one in its place waits to be dropped. None set aside: nothing."""

    def take_back(self, id: UUID) -> None:
        """Undo `put_back`, as far as it came."""

    def drop_kept(self, id: UUID) -> None:
        """Delete what was set aside, or replaced by it."""

    def has_kept(self, id: UUID) -> bool:
        """Is there a disk that was set aside?"""

    def all_kept(self) -> set[UUID]:
        """The instances with a disk beside their own, set aside or replaced."""

    def create_rescue(self, id: UUID, *, base: Path) -> Path:
        """A disk to boot from on top of an image, beside the root disk. There already: the same path."""

    def rescue_path(self, id: UUID) -> Path: ...

    def drop_rescue(self, id: UUID) -> None: ...

    def export_root(self, id: UUID) -> Path:
        """A file that holds the whole of the root disk and needs no other; its machine must be off. Delete it after use."""

    def import_root(self, id: UUID, source: Path, *, size_gib: int) -> Path:
        """A root disk that is a copy of such a file, at least that large, made whole or not at all. There already: the same path."""

    def put_config_drive(self, id: UUID, disc: bytes) -> Path:
        """A file beside the root disk with these bytes, whole or not at all, that goes with it; one that was there is replaced, and a
        machine that is on keeps the one that it started with."""

    def config_drive_path(self, id: UUID) -> Path: ...

    def drop_config_drive(self, id: UUID) -> None:
        """Not there: nothing."""

    def delete(self, id: UUID) -> None: ...

    def all(self) -> set[UUID]:
        """The ids of every root disk in the store."""

    def used_bytes(self, id: UUID) -> int: ...

    def create_volume(self, id: UUID, *, size_gib: int) -> Path:
        """An empty volume, made whole or not at all. There already: the same path."""

    def create_volume_from(self, id: UUID, *, base: Path, size_gib: int) -> Path:
        """A volume that begins as an image, made whole or not at all, and needs the image no more. There already: the same path."""

    def copy_volume(self, id: UUID, *, source: UUID, snapshot_id: UUID, size_gib: int) -> Path:
        """A volume with what the disk `source` was at a snapshot, whole or not at all; a machine may be using that disk. There
        already: the same path. No such snapshot: NotFound."""

    def copy_root(self, id: UUID, *, source: UUID, snapshot_id: UUID, size_gib: int) -> Path:
        """The same as a root disk, which stands on no image then."""

    def disk_path(self, id: UUID) -> Path:
        """Where a disk lies: a volume's, or an instance's root disk. Stable while it lives, attached or not. Not there: NotFound."""

    def snapshot(self, id: UUID, snapshot_id: UUID) -> None:
        """Remember the disk as it is now; no machine may be using it (then Unavailable). There already: nothing."""

    def snapshots(self, id: UUID) -> set[UUID]:
        """The snapshots that the disk holds; a machine may be using it."""

    def restore(self, id: UUID, snapshot_id: UUID, *, size_gib: int) -> None:
        """Make the disk what it was, and that large; no machine may be using it. All else that it held is gone, but for other
        snapshots; marks of incremental backups, too. The disk does not hold the snapshot: NotFound."""

    def delete_snapshot(self, id: UUID, snapshot_id: UUID) -> None:
        """Forget it; no machine may be using the disk. Not there: nothing."""

    def open_snapshot(self, id: UUID, snapshot_id: UUID) -> AbstractContextManager[DiskBytes]:
        """The disk as it was at a snapshot, to be read; a machine may go on writing to it. No such snapshot: NotFound."""

    def open_disk(self, id: UUID) -> AbstractContextManager[DiskBytes]:
        """The disk as it is, to be read and written; no machine may be using it (then Unavailable). Not there: NotFound."""

    def new_disk(self, id: UUID, *, size_gib: int, is_root: bool = False) -> AbstractContextManager[DiskBytes]:
        """A new disk of zeros to be filled, a volume or a root disk; it is there when the block ends well, else nothing is."""

    def changed_between(self, id: UUID, before: UUID, after: UUID) -> list[tuple[int, int]] | None:
        """(offset, length) of all parts of the disk that may differ between two of its snapshots. None: that cannot be told."""

    def volume_path(self, id: UUID) -> Path: ...

    def grow_volume(self, id: UUID, *, size_gib: int) -> None:
        """Make it that large; no machine may be using it. It is so already, or larger: nothing. Not there: NotFound."""

    def volume_bytes(self, id: UUID) -> tuple[int, int]:
        """How large the disk inside is, and how much room it takes. Not there: NotFound."""

    def delete_volume(self, id: UUID) -> None: ...

    def all_volumes(self) -> set[UUID]:
        """The ids of every volume in the store."""


class ImageStore(Protocol):
    def put(self, id: UUID, source: BinaryIO) -> int:
        """Store the bytes under the id, whole or not at all; returns their number."""

    def path(self, id: UUID) -> Path:
        """A local qcow2 file of the image, for reading. NotFound when it is not there."""

    def delete(self, id: UUID) -> None: ...

    def all(self) -> Iterator[UUID]: ...


class Fabric(Protocol):
    def apply(self, spec: FabricSpec) -> None:
        """Make bridges, router namespaces, DHCP, firewall and anti-spoofing match; remove what the spec does not name."""

    def networks(self) -> set[str]:
        """The names of the bridges and gateway namespaces that exist, for proofs that nothing was left behind."""

    def routers(self) -> set[str]:
        """The names of the bridges of external networks, and of the ports and namespaces of routers."""

    def host_ranges(self) -> list[IPv4Network]:
        """Every range that the host has an address in or a route to, but for the default route. Anybody may ask."""

    def host_bridges(self) -> set[str]:
        """The bridges of the host itself, to which external networks can be mapped. Anybody may ask."""

    def taps(self) -> set[str]:
        """The names of the taps that exist."""

    def take_hits(self) -> dict[UUID, int]:
        """How many connections each rule has let pass since the last call; rules without any are left out."""

    def balancer_facts(self) -> dict[UUID, BalancerFacts]:
        """What the processes of load balancers tell; one that does not answer is left out."""

    def vpn_facts(self) -> dict[UUID, tuple[VpnPeerFacts, ...]]:
        """What the WireGuard entrances of routers tell of their peers; one that does not answer is left out."""

    def why_no_vpn(self) -> str:
        """Why this machine can have no such entrance; empty: it can. Anybody may ask."""

    def namespace_of(self, network_id: UUID) -> str:
        """The network namespace that holds the network's gateway and its metadata address."""
