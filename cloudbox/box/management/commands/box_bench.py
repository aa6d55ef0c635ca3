"""`manage.py box_bench [launch | live | firewall | storage | compute]`: what the box adds to a launch beside libvirt alone.

Each round launches an instance through the REST API and notes the time from the POST to `running` and to the shell on its serial
line; then it has a second instance made but not started, and starts a copy of its definition through libvirt itself: same XML, same
disk, address and metadata, another name. Rounds alternate, so that a busy host is busy for both. Figures are ratios of medians.
"""

from __future__ import annotations

import json
import statistics
import time
import urllib.request
import uuid
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import libvirt
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from cloudbox.box.management import compute_bench, firewall_bench, live_bench, storage_bench
from compute.drivers import libvirt_daemon
from compute.models import Flavor, Image, Instance, UsageInterval
from identity import credentials
from identity.authn.session import context_of
from identity.models import Membership

PROMPT = b":~# "
LIMIT_SECONDS = 300


def wait(condition: Callable[[], Any], *, every_seconds: float = 0.02) -> Any:
    started = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - started > LIMIT_SECONDS:
            raise TimeoutError(f"not within {LIMIT_SECONDS} s")
        time.sleep(every_seconds)
    return found


class Command(BaseCommand):
    help = "Time launches beside bare libvirt, the live channel in a storm, rules beside nft alone, or the object store."
    requires_system_checks: ClassVar[list[str]] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "what",
            nargs="?",
            choices=("launch", "live", "firewall", "storage", "compute"),
            default="launch",
            help="launches, the live channel of pages, rules of networks, the object store, or the steps of disks beside qemu-img",
        )
        parser.add_argument("--rounds", type=int, default=3)
        parser.add_argument(
            "--prompt", default=PROMPT.decode(), help="what the serial line says when somebody can type; empty: do not wait for it"
        )
        of = parser.add_argument_group("of storage")
        of.add_argument("--seconds", type=float, default=storage_bench.SECONDS, help="of each sample of small requests")
        of.add_argument("--only", nargs="+", choices=storage_bench.WHAT, default=storage_bench.WHAT)
        of.add_argument("--connections", nargs="+", type=int, default=storage_bench.CONNECTIONS)
        of.add_argument("--generators", type=int, default=1, help="processes that make the load")
        of.add_argument(
            "--beside",
            nargs="+",
            type=Path,
            default=(),
            metavar="FILE",
            help="other S3 endpoints to measure in turns, told by lines of PEER=, ENDPOINT=, ACCESS_KEY=, SECRET_KEY=, REGION=, PID_DIR=",
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["what"] == "live":
            found = live_bench.run(self.stderr.write)
            self.stdout.write(json.dumps(found)) if options["json"] else live_bench.tell(found, self.stdout.write)
            return
        if options["what"] == "firewall":
            found = firewall_bench.run(self.stderr.write, rounds=options["rounds"])
            self.stdout.write(json.dumps(found)) if options["json"] else firewall_bench.tell(found, self.stdout.write)
            return
        if options["what"] == "storage":
            asked = {name: options[name] for name in ("seconds", "rounds", "generators", "only", "connections", "beside")}

            def show(found: dict[str, Any]) -> None:
                self.stdout.write(json.dumps(found)) if options["json"] else storage_bench.tell(found, self.stdout.write)
                self.stdout.flush()

            storage_bench.run(self.stderr.write, show, **asked)
            return
        self._prompt = options["prompt"].encode()
        member = Membership.objects.select_related("user", "project").filter(project__slug="demo").first()
        assert member is not None, "the demo project has no member; run bin/cloudbox up first"
        ctx = context_of(member.user, "demo", api="cli")
        token, self._token = credentials.create_token(ctx, name=f"bench {uuid.uuid4().hex[:6]}", days=1)
        self._image = Image.objects.filter(project=None, status=Image.Status.READY).latest("created_at")
        self._flavor = Flavor.objects.get(name="m1.nano")
        figures: dict[str, list[float]] = defaultdict(list)
        try:
            if options["what"] == "compute":
                self._compute(options["rounds"], as_json=options["json"])
                return
            for number in range(options["rounds"]):
                self.stderr.write(f"round {number + 1} of {options['rounds']}")
                for name, seconds in {**self._ours(), **self._bare()}.items():
                    figures[name].append(seconds)
        finally:
            credentials.revoke_token(ctx, token.id)
        self._tell(figures, as_json=options["json"])

    def _compute(self, rounds: int, *, as_json: bool) -> None:
        bench = compute_bench.Bench(self._call, image_id=str(self._image.id), flavor_id=str(self._flavor.id))
        bench.run(rounds, self.stderr.write)
        if as_json:
            self.stdout.write(json.dumps({"seconds": bench.seconds, "ratio": compute_bench.ratios(bench.seconds)}))
        else:
            compute_bench.tell(bench.seconds, self.stdout.write)

    def _tell(self, figures: dict[str, list[float]], *, as_json: bool) -> None:
        medians = {name: statistics.median(values) for name, values in figures.items()}
        ratios = {name: medians[name] / medians[f"bare {name}"] for name in figures if not name.startswith("bare ")}
        if as_json:
            self.stdout.write(json.dumps({"seconds": figures, "ratio": ratios}))
            return
        for name, values in figures.items():
            self.stdout.write(f"{name:14} {medians[name]:7.2f} s  ({min(values):.2f} to {max(values):.2f})")
        to_prompt = f"; to the prompt: {ratios['prompt']:.2f} times" if self._prompt else ""
        self.stdout.write(f"POST to running: {ratios['running']:.2f} times bare libvirt{to_prompt}")

    def _ours(self) -> dict[str, float]:
        started = time.time()
        id = self._post(start=True)
        wait(lambda: self._status(id) == "running")
        running = UsageInterval.objects.filter(instance_id=id, status="running").earliest("start").start.timestamp()
        prompt = self._time_of_prompt(Path(settings.HOME) / "console" / f"{id}.log")
        self._delete(id)
        return {"running": running - started, **{name: at - started for name, at in prompt.items()}}

    def _bare(self) -> dict[str, float]:
        id = self._post(start=False)
        wait(lambda: self._status(id) == "stopped")
        conn = libvirt.open(libvirt_daemon.uri(Path(settings.HOME)))
        log = Path(settings.HOME) / "console" / "bench.log"
        log.unlink(missing_ok=True)
        xml = self._copy_of(conn.lookupByName(f"{settings.BOX_NAME}-{id}").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), id, log)
        started = time.time()
        domain = conn.defineXML(xml)
        try:
            domain.create()
            running = time.time()
            prompt = self._time_of_prompt(log)
        finally:
            if domain.isActive():
                domain.destroy()
            domain.undefine()
            conn.close()
            log.unlink(missing_ok=True)
        self._delete(id)
        return {"bare running": running - started, **{f"bare {name}": at - started for name, at in prompt.items()}}

    @staticmethod
    def _copy_of(xml: str, id: str, log: Path) -> str:
        """The same machine under a name that the box does not take for its own, with sockets and a log beside."""
        for old, new in ((f"{id}.serial", "bench.serial"), (f"{id}.vnc", "bench.vnc"), (f"{id}.log", log.name)):
            xml = xml.replace(old, new)
        root = ET.fromstring(xml)
        name, own = root.find("name"), str(uuid.uuid4())
        assert name is not None
        name.text = "bench-bare"
        # The id stands in <uuid> and once more in what the firmware tells the guest; libvirt wants the two alike.
        for element in root.iter():
            if element.text == id:
                element.text = own
        return ET.tostring(root, encoding="unicode")

    def _time_of_prompt(self, log: Path) -> dict[str, float]:
        """When somebody could type; nothing where nobody asked."""
        if not self._prompt:
            return {}
        wait(lambda: log.exists() and self._prompt in log.read_bytes())
        return {"prompt": time.time()}

    def _post(self, *, start: bool) -> str:
        body = {"name": f"bench-{uuid.uuid4().hex[:6]}", "image_id": str(self._image.id), "flavor_id": str(self._flavor.id), "start": start}
        return str(self._call("POST", "/projects/demo/instances", body)["items"][0]["id"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{settings.BOX['port']}/api/v1{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None

    @staticmethod
    def _status(id: str) -> str:
        status = Instance.objects.get(id=id).status
        connection.close()
        return status

    def _delete(self, id: str) -> None:
        self._call("DELETE", f"/projects/demo/instances/{id}")
        wait(lambda: self._status(id) == "deleted")
