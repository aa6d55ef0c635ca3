"""Kill the worker, libvirtd or QEMU at every step of launch and delete, on the real ones, and look what is left.

`python -m tests.probe.crash [--only TEXT] [--whole]` makes a box of its own in a temporary home (PostgreSQL, Redis, libvirtd, worker),
and for each point: asks for the launch (or delete), lets the point strike, starts again what died, and gives the box fifteen seconds to
make every row true and leave no orphan: domain, disk, tap, namespace, DHCP server or quota. Prints one line a trial, then a sum.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SETTLE_SECONDS = 15.0
STRIKE_SECONDS = 60.0

CHANGE_SECONDS = 60.0

LAUNCH_STEPS, DELETE_STEPS = 3, 5


@dataclass(frozen=True)
class Change:
    """A job that makes another machine of an instance: what is asked before it, its own verb, and the status it ends in."""

    before: tuple[str, ...]
    verb: str
    status: str
    steps: int


CHANGES = {
    "resize-instance": Change((), "resize", "running", 6),
    "revert-resize-instance": Change(("resize",), "revert_resize", "running", 5),
    "rebuild-instance": Change((), "rebuild", "running", 6),
    "undo-rebuild-instance": Change(("rebuild",), "undo_rebuild", "running", 5),
    "rescue-instance": Change((), "rescue", "running", 5),
    "unrescue-instance": Change(("rescue",), "unrescue", "running", 5),
    "shelve-instance": Change((), "shelve", "shelved", 5),
    "unshelve-instance": Change(("shelve",), "unshelve", "running", 4),
}


def points(*, whole: bool) -> list[str]:
    """The places where something dies. Of the changes every step has one; with `whole` both of its."""
    found = []
    for kind, steps in (("launch-instance", LAUNCH_STEPS), ("delete-instance", DELETE_STEPS)):
        for step in range(steps):
            found += [f"{kind}:{step}:{when}:{victim}" for when in ("before", "after") for victim in ("worker", "libvirtd")]
    # Amid: the machine is there, paused, and its first instruction is still to come.
    found += [f"launch-instance:{LAUNCH_STEPS - 1}:{when}" for when in ("amid:worker", "amid:libvirtd", "amid:qemu", "after:qemu")]
    found.append("delete-instance:0:before:qemu")
    # The changes have many steps: the worker dies after each, when nothing is written of what was done; the daemon before it.
    for kind, change in CHANGES.items():
        for step in range(change.steps):
            both = [f"{kind}:{step}:after:worker", f"{kind}:{step}:before:libvirtd"]
            found += both if whole else [both[step % 2]]
    return found


class Process:
    """A child of the probe's, ended by its pid."""

    def __init__(self, argv: list[str], env: dict[str, str], log: Path) -> None:
        with log.open("ab") as out:
            self.popen = subprocess.Popen(argv, env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

    def dead(self) -> bool:
        return self.popen.poll() is not None

    def end(self, *, seconds: float = 20) -> None:
        if not self.dead():
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self.popen.wait()


def wait(condition: Callable[[], bool], *, seconds: float, what: str) -> float:
    """Until it holds; returns how long it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - started


class Probe:
    """One box, and what is done to it."""

    def __init__(self, home: Path) -> None:
        from django.conf import settings

        from compute.drivers import box_namespace

        self.home, self.name = home, settings.BOX_NAME
        self._namespace = box_namespace
        self.env = os.environ | {"CLOUDBOX_HOME": str(home), "CLOUDBOX_TEST": "1", "DJANGO_SETTINGS_MODULE": "cloudbox.settings"}
        box_namespace.prepare(home, self.name)
        self.start_libvirtd()
        self.worker = self.start_worker()

    def start_libvirtd(self) -> None:
        self.libvirtd = Process(self._namespace.libvirtd_command(self.home, self.name), self.env, self.home / "logs" / "libvirtd.log")
        wait(lambda: self._namespace.libvirtd_ready(self.home, self.name), seconds=30, what="libvirtd")

    def start_worker(self, point: str = "") -> Process:
        env = self.env | {"PROBE_LIBVIRTD_PID": str(daemon_pid(self.libvirtd.popen.pid))}
        argv = [sys.executable, "-m", "tests.probe.crashing_worker", *([point] if point else [])]
        return Process(argv, env, self.home / "logs" / "worker.log")

    def close(self) -> None:
        self.worker.end()
        self.libvirtd.end()
        self._namespace.teardown(self.home, self.name)

    def trial(self, point: str, ctx: object, image: object, flavor: object) -> float:
        """Strike at the point; returns the seconds from the restart until all was true again."""
        from compute import changes, flavors, instances
        from compute.models import Flavor, Instance
        from identity.context import SYSTEM

        kind, victim = point.split(":")[0], point.split(":")[3]
        name = f"p-{uuid.uuid4().hex[:8]}"
        spec = instances.LaunchSpec(name=name, image_id=image.id, flavor_id=flavor.id)  # type: ignore[attr-defined]

        def status() -> str:
            return Instance.objects.get(id=instance.id).status

        def ask(verb: str) -> None:
            if verb == "resize":
                larger = Flavor.objects.filter(name="larger").first() or flavors.create(
                    SYSTEM, name="larger", vcpus=2, memory_mib=96, disk_gib=2
                )
                changes.resize(ctx, instance.id, flavor_id=larger.id)  # type: ignore[arg-type]
            else:
                getattr(changes, verb)(ctx, instance.id)

        change = CHANGES.get(kind)
        if kind != "launch-instance":
            [instance] = instances.launch(ctx, spec)  # type: ignore[arg-type]
            wait(lambda: status() == "running", seconds=60, what="the launch before it")
        for verb in change.before if change else ():
            ask(verb)
            wait(lambda: status() in ("running", "shelved"), seconds=CHANGE_SECONDS, what=f"{verb} before it")
        self.worker.end()
        self.worker = self.start_worker(point)
        if change:
            ask(change.verb)
        elif kind == "delete-instance":
            instances.delete(ctx, instance.id)  # type: ignore[arg-type]
        else:
            [instance] = instances.launch(ctx, spec)  # type: ignore[arg-type]
        struck = (self.home / "logs" / "worker.log").read_text
        wait(lambda: struck().count(f"probe: {point}") > 0, seconds=STRIKE_SECONDS, what="the strike")
        if victim == "worker":
            wait(self.worker.dead, seconds=10, what="the worker's death")
            self.worker = self.start_worker()
        elif victim == "libvirtd":
            wait(self.libvirtd.dead, seconds=10, what="libvirtd's death")
            self.start_libvirtd()
        wanted = change.status if change else "deleted" if kind == "delete-instance" else "running"
        settle = CHANGE_SECONDS if change else SETTLE_SECONDS
        spent = wait(lambda: status() == wanted and not self.differences(), seconds=settle, what=f"{point}: {self.differences()}")
        if kind != "delete-instance":
            instances.delete(ctx, instance.id)  # type: ignore[arg-type]
            wait(lambda: status() == "deleted" and not self.differences(), seconds=30, what="the delete after the launch")
        return spent

    def is_sized(self, row: Any) -> bool:
        """Has the machine the processors that its row says?"""
        from compute import host

        stats = {each.id: each for each in host.hypervisor().stats()}
        return row.id not in stats or stats[row.id].vcpus == row.vcpus

    def differences(self) -> list[str]:
        """What the machine has and the tables have not, and the other way round."""
        from compute import charges, host
        from compute.drivers.specs import Power, tap_name
        from compute.models import Instance, Network, Port, Reversal
        from identity.models import Project, Quota

        rows = {row.id: row for row in Instance.objects.exclude(status="deleted")}
        running = {id for id, row in rows.items() if row.status == "running"}
        try:
            powers = host.hypervisor().all()
        except Exception as error:
            return [f"hypervisor: {error}"]
        found = [f"domain {id} without a row" for id in powers.keys() - rows.keys()]
        found += [f"{id} is not running" for id in running if powers.get(id) != Power.RUNNING]
        found += [f"disk {id} without a row" for id in host.volumes().all() - rows.keys()]
        found += [f"{id} without a disk" for id in running - host.volumes().all()]
        found += [f"{id} is shelved and has a disk" for id, row in rows.items() if row.shelved_at and id in host.volumes().all()]
        keepers = set(Reversal.objects.filter(kind="rebuild").values_list("instance_id", flat=True))
        found += [f"a disk from before of {id}, which nothing can be undone with" for id in host.volumes().all_kept() - keepers]
        found += [f"{id} has a size that it has not" for id, row in rows.items() if row.status == "running" and not self.is_sized(row)]
        taps = {tap_name(port.id) for port in Port.objects.filter(instance_id__in=rows)}
        found += [f"tap {tap}" for tap in host.fabric().taps() - taps]
        networks = Network.objects.count()
        found += [f"networks: {sorted(there)}" for there in [host.fabric().networks()] if len(there) != 2 * networks]
        for project in Project.objects.all():
            used = dict(Quota.objects.filter(project=project).values_list("resource", "used"))
            truth = charges.count(project.id)
            found += [f"quota {name}: {used[name]}, is {truth[name]}" for name in truth if used[name] != truth[name]]
        return found


def daemon_pid(launcher: int) -> int:
    """libvirtd below the command that entered its namespaces (it may have replaced it)."""
    todo = [launcher]
    while todo:
        pid = todo.pop()
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "libvirtd":
                return pid
            todo += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return launcher


@contextlib.contextmanager
def probe_box() -> Iterator[tuple[Probe, object, object, object]]:
    """A box with one project, a blank image and the smallest size."""
    from cloudbox.box import test_home

    with test_home.running() as box:
        box.write_config({"drivers": "libvirt"})
        os.environ |= {"CLOUDBOX_HOME": str(box.home), "CLOUDBOX_TEST": "1", "DJANGO_SETTINGS_MODULE": "cloudbox.settings"}
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0, skip_checks=True)
        from compute import flavors, images, networks
        from identity import projects, users
        from identity.authn.session import context_of
        from identity.context import SYSTEM

        user, _ = users.create(SYSTEM, email="probe@box.test")
        projects.create(SYSTEM, name="Probe", slug="probe", owner_email=user.email)
        ctx = context_of(user, "probe", api="cli")
        networks.create(ctx, name="private")
        blank = box.home / "blank.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", blank, "16M"], check=True)
        image = images.register(SYSTEM, name="Blank", source=blank)
        flavor = flavors.create(SYSTEM, name="probe", vcpus=1, memory_mib=64, disk_gib=1)
        probe = Probe(box.home)
        try:
            yield probe, ctx, image, flavor
        finally:
            probe.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="points that contain this text")
    parser.add_argument("--whole", action="store_true", help="every victim at every step, which takes twice as long")
    asked = parser.parse_args()
    failed, spent = [], []
    chosen = [point for point in points(whole=asked.whole) if asked.only in point]
    with probe_box() as (probe, ctx, image, flavor):
        for number, point in enumerate(chosen, start=1):
            try:
                spent.append(probe.trial(point, ctx, image, flavor))
                print(f"{number:3} of {len(chosen)}  {point:45} true again after {spent[-1]:.1f} s", flush=True)
            except Exception as error:
                failed.append(point)
                print(f"{number:3} of {len(chosen)}  {point:45} FAILED: {type(error).__name__}: {error}", flush=True)
                if os.environ.get("PROBE_KEEP_GOING") != "1":
                    print((probe.home / "logs" / "worker.log").read_text()[-6000:])
                    break
    print(f"{len(spent)} of {len(chosen)} trials left nothing behind; the slowest took {max(spent, default=0):.1f} s", flush=True)
    return 1 if failed or len(spent) != len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
