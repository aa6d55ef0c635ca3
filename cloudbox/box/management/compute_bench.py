"""`bin/cloudbox bench compute`: what Cloudbox adds to the steps of disks, beside qemu-img and virsh doing the same to files beside.

Each round does every step by the REST API, from the request until it shows as done, and then with the bare programs, on a disk with the
same bytes. Rounds alternate, so that a busy host is busy for both. Besides the ratio of medians it tells the seconds between, since a
step that takes qemu-img 20 ms is mostly its request, its job and its books.

What the bare side of each step is: root: `qemu-img create` on the image, then `virsh define`. create, snapshot, clone, grow: `qemu-img`
create, snapshot -c, convert of that snapshot, resize. full: `qemu-img convert -c` into another file, the compressed copy that somebody
without a backup store makes; ours goes through checksums into a bucket, on as many drives as the store writes. incremental: the same
again after a part was written anew, as there are no increments of such copies.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
import uuid
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import libvirt
from django.conf import settings

from compute.drivers import libvirt_daemon, paths

MIB = 2**20
FILLED_MIB, CHANGED_MIB = 256, 16
EVERY_SECONDS = 0.02
LIMIT_SECONDS = 600.0
STEPS = ("root", "create", "snapshot", "clone", "grow", "full", "incremental")


class Call(Protocol):
    def __call__(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any: ...


class Bench:
    def __init__(self, call: Call, *, image_id: str, flavor_id: str) -> None:
        self._call, self._image, self._flavor = call, image_id, flavor_id
        self._home = Path(settings.HOME)
        self._side = self._home / "bench"
        self._name = f"bench-{uuid.uuid4().hex[:6]}"
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def run(self, rounds: int, say: Callable[[str], Any]) -> None:
        self._side.mkdir(exist_ok=True)
        self._ask("POST", "buckets", {"name": self._name})
        self._vault = self._ask("POST", "backup-vaults", {"name": self._name, "bucket": self._name})["vault"]["id"]
        try:
            for number in range(rounds):
                say(f"round {number + 1} of {rounds}")
                self._root()
                self._disks()
        finally:
            self._clear_away()

    # --- steps

    def _root(self) -> None:
        body = {"name": self._name, "image_id": self._image, "flavor_id": self._flavor, "start": False}
        started = time.monotonic()
        id = self._ask("POST", "instances", body)["items"][0]["id"]
        self._until(f"instances/{id}", "stopped")
        self._note("root", started)
        conn = libvirt.open(libvirt_daemon.uri(self._home))
        xml = ET.fromstring(conn.lookupByName(f"{settings.BOX_NAME}-{id}").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        name, own = xml.find("name"), str(uuid.uuid4())
        assert name is not None
        for element in xml.iter():
            element.text = own if element.text == id else element.text
        name.text = "bench-bare"
        text = ET.tostring(xml, encoding="unicode")
        root, base = self._side / "root.qcow2", paths.image(self._home, uuid.UUID(self._image))
        size = self._ask("GET", f"instances/{id}")["disk_gib"]
        started = time.monotonic()
        _qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(root), f"{size}G")
        domain = conn.defineXML(text)
        self._note("bare root", started)
        domain.undefine()
        conn.close()
        root.unlink()
        self._gone(f"instances/{id}")

    def _disks(self) -> None:
        bare, copy, kept = (self._side / f"{name}.qcow2" for name in ("volume", "clone", "backup"))
        id = self._ours("create", "volumes", {"name": self._name, "size_gib": 1}, "available")
        self._bare("create", "create", "-q", "-f", "qcow2", str(bare), "1G")
        self._write(FILLED_MIB, paths.volume(self._home, uuid.UUID(id)), bare)
        shot = self._ours("snapshot", "snapshots", {"name": "one", "volume_id": id}, "ready")
        self._bare("snapshot", "snapshot", "-c", "one", str(bare))
        clone = self._ours("clone", "volumes", {"name": f"{self._name}-copy", "snapshot_id": shot}, "available")
        self._bare("clone", "convert", "-f", "qcow2", "-O", "qcow2", "-l", "one", str(bare), str(copy))
        for name in ("full", "incremental"):
            kept.unlink(missing_ok=True)
            started = time.monotonic()
            backup = self._ask("POST", "backups", {"vault_id": self._vault, "volume_id": id})["items"][0]["id"]
            self._until(f"backups/{backup}", "ready")
            self._note(name, started)
            self._bare(name, "convert", "-c", "-f", "qcow2", "-O", "qcow2", str(bare), str(kept))
            self._write(CHANGED_MIB, paths.volume(self._home, uuid.UUID(id)), bare)
        started = time.monotonic()
        self._ask("POST", f"volumes/{id}/grow", {"size_gib": 2})
        self._until(f"volumes/{id}", "available", lambda row: row["size_gib"] == 2)
        self._note("grow", started)
        self._bare("grow", "resize", "-q", "-f", "qcow2", str(bare), "2G")
        for row in self._ask("GET", f"backups?vault_id={self._vault}")["items"]:
            self._gone(f"backups/{row['id']}")
        self._gone(f"volumes/{clone}")
        self._gone(f"volumes/{id}?with_snapshots=true")
        for path in (bare, copy, kept):
            path.unlink()

    def _ours(self, step: str, noun: str, body: dict[str, Any], status: str) -> str:
        started = time.monotonic()
        id = str(self._ask("POST", noun, body)["id"])
        self._until(f"{noun}/{id}", status)
        self._note(step, started)
        return id

    def _bare(self, step: str, *words: str) -> None:
        started = time.monotonic()
        _qemu_img(*words)
        self._note(f"bare {step}", started)

    def _write(self, mib: int, *disks: Path) -> None:
        """The same bytes, half of them random, at the start of each."""
        raw = self._side / "bytes.raw"
        with raw.open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(MIB // 2) + b"cloudbox" * (MIB // 16))
        for disk in disks:
            _qemu_img("convert", "-n", "-f", "raw", "-O", "qcow2", str(raw), str(disk))
        raw.unlink()

    def _note(self, step: str, started: float) -> None:
        self.seconds[step].append(time.monotonic() - started)

    # --- the box

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._call(method, f"/projects/demo/{path}", body)

    def _until(self, path: str, status: str, also: Callable[[Any], bool] = lambda row: True) -> None:
        until = time.monotonic() + LIMIT_SECONDS
        while not ((row := self._ask("GET", path))["status"] == status and also(row)):
            if row["status"] == "error" or time.monotonic() > until:
                raise RuntimeError(f"{path} is {row['status']}: {row.get('error')}")
            time.sleep(EVERY_SECONDS)

    def _gone(self, path: str) -> None:
        self._ask("DELETE", path)
        noun, _, id = path.partition("?")[0].partition("/")
        until = time.monotonic() + LIMIT_SECONDS
        while any(row["id"] == id for row in self._ask("GET", f"{noun}?q={id}")["items"] if row["status"] != "deleted"):
            if time.monotonic() > until:
                raise RuntimeError(f"{path} is not gone")
            time.sleep(EVERY_SECONDS * 5)

    def _clear_away(self) -> None:
        """What a round that broke off left, too, as far as it can be asked for."""
        for path in self._side.iterdir():
            path.unlink()
        self._side.rmdir()
        self._ask("DELETE", f"backup-vaults/{self._vault}")
        self._ask("POST", f"buckets/{self._name}/emptying", {})


def tell(seconds: dict[str, list[float]], say: Callable[[str], Any]) -> None:
    """A line for each step: medians, their ratio, and what lies between."""
    for step in STEPS:
        ours, bare = (statistics.median(seconds[name]) for name in (step, f"bare {step}"))
        say(f"{step:12} {ours:7.2f} s, bare {bare:7.2f} s: {ours / bare:5.2f} times, {(ours - bare) * 1000:+7.0f} ms")


def ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    return {step: statistics.median(seconds[step]) / statistics.median(seconds[f"bare {step}"]) for step in STEPS}


def _qemu_img(*words: str) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)
