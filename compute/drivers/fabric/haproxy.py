"""Load balancers: one HAProxy each, in the gateway namespace of its network, under an account that owns nothing.

Its settings are rendered whole. A master process holds the sockets; on SIGUSR2 it starts a worker with the new settings, which takes
the sockets over, while the old worker serves its connections to their end (https://docs.haproxy.org/2.6/management.html#4). Nothing
that a tenant wrote stands in the settings but numbers, addresses and the path of the health check, which its verb has checked.
"""

from __future__ import annotations

import csv
import grp
import hashlib
import logging
import os
import pwd
import shutil
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import UUID

from cloudbox.common.errors import Unavailable
from compute.drivers import netns
from compute.drivers.balancer_specs import BalancerFacts, BalancerSpec, ListenerFacts, ListenerSpec, MemberFacts, PoolSpec
from compute.drivers.commands import run, works
from compute.drivers.fabric.names import LAN

log = logging.getLogger(__name__)

PROGRAM = "/usr/sbin/haproxy"
# Debian's package makes the first; the second owns nothing by custom.
ACCOUNTS = ("haproxy", "nobody")
CONNECTIONS_MAX = 4000
FILES_MAX = 16384
OLD_WORKERS_SECONDS = 300
END_SECONDS = 5.0
ASK_SECONDS = 2.0
ANSWER_BYTES_MAX = 4 * 1024**2
COOKIE = "CBXSRV"

_BALANCE = {"round-robin": "roundrobin", "least-connections": "leastconn", "source": "source\n  hash-type consistent"}


def config(balancer: BalancerSpec, folder: Path) -> str:
    return f"""global
  maxconn {CONNECTIONS_MAX}
  nbthread 1
  hard-stop-after {OLD_WORKERS_SECONDS}s
  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
  stats socket {folder}/run/stats mode 600 level user
defaults
  timeout connect 5s
  timeout queue 30s
  timeout http-request 15s
  timeout http-keep-alive 30s
  retries 2
  option redispatch
{"".join(_frontend(balancer, each, folder) for each in balancer.listeners)}{"".join(_backend(balancer, each) for each in balancer.pools)}"""


def _frontend(balancer: BalancerSpec, listener: ListenerSpec, folder: Path) -> str:
    secure = f" ssl crt {folder}/{listener.id.hex}.pem alpn h2,http/1.1" if listener.pem else ""
    lines = [
        f"bind {balancer.address}:{listener.port}{secure}",
        f"mode {'http' if listener.http else 'tcp'}",
        f"timeout client {listener.timeout_seconds}s",
        f"default_backend {listener.pool_id.hex}",
    ]
    if listener.http:
        # What callers say about themselves is not believed.
        lines += [
            "http-request del-header X-Forwarded-For",
            "option forwardfor",
            f"http-request set-header X-Forwarded-Proto {'https' if listener.pem else 'http'}",
            f"http-request set-header X-Forwarded-Port {listener.port}",
        ]
    return _section(f"frontend {listener.id.hex}", lines)


def _backend(balancer: BalancerSpec, pool: PoolSpec) -> str:
    lines = [
        f"mode {'http' if pool.http else 'tcp'}",
        f"balance {_BALANCE[pool.algorithm]}",
        f"timeout server {pool.timeout_seconds}s",
        f"timeout tunnel {max(pool.timeout_seconds, 3600)}s",
        # So security groups know it, and routers let it through.
        f"source {balancer.address}",
        f"default-server inter {pool.check_seconds}s fall {pool.check_falls} rise {pool.check_rises}",
    ]
    if pool.http and pool.check_path:
        lines += [
            "option httpchk",
            f"http-check send meth GET uri {pool.check_path} ver HTTP/1.1 hdr Host {balancer.address} hdr Connection close",
            "http-check expect status 200-399",
        ]
    if pool.http and pool.sticky:
        lines.append(f"cookie {COOKIE} insert indirect nocache httponly attr SameSite=Lax")
    for member in pool.members:
        cookie = f" cookie {hashlib.sha256(member.id.bytes).hexdigest()[:16]}" if pool.http and pool.sticky else ""
        off = "" if member.enabled else " disabled"
        lines.append(f"server {member.id.hex} {member.address}:{member.port} check weight {member.weight}{cookie}{off}")
    return _section(f"backend {pool.id.hex}", lines)


def _section(head: str, lines: Iterable[str]) -> str:
    return f"{head}\n" + "".join(f"  {line}\n" for line in lines)


class Haproxies:
    """Those of a box, by the directory that holds one of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def apply(self, wanted: Mapping[UUID, tuple[BalancerSpec, str]]) -> None:
        """Make them match: balancer and namespace by id. One that fails must not stop the others; it is tried again every round."""
        names = {id.hex: id for id in wanted}
        if self.folder.exists():
            for folder in sorted(self.folder.iterdir()):
                if folder.name not in names:
                    Haproxy(folder).remove()
        for id, (spec, namespace) in wanted.items():
            try:
                Haproxy(self.folder / id.hex).apply(spec, namespace)
            except (Unavailable, OSError) as error:
                log.warning("load balancer %s: %s", id, error)

    def facts(self) -> dict[UUID, BalancerFacts]:
        """Of those that answer."""
        found = {}
        for folder in sorted(self.folder.iterdir()) if self.folder.exists() else ():
            if not (folder / "applied").exists():
                continue
            try:
                found[UUID(folder.name)] = Haproxy(folder).facts()
            except (OSError, ValueError) as error:
                log.warning("load balancer %s does not answer: %s", folder.name, error)
        return found

    def processes(self) -> set[int]:
        return {pid for folder in (self.folder.iterdir() if self.folder.exists() else ()) for pid in Haproxy(folder).processes()}


class Haproxy:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def apply(self, spec: BalancerSpec, namespace: str) -> None:
        text = config(spec, self.folder)
        state = self._state(spec, namespace, text)
        master = self.master()
        if master is not None and self._read("applied") == state:
            return
        if not netns.exists(namespace):
            raise Unavailable(f"The namespace {namespace} is not there yet.")
        account = _account()
        self._move(spec, namespace)
        self._write(spec, text, account)
        if not spec.listeners:
            self.stop()  # It would refuse to start with nothing to listen on.
        elif master is not None and self._read("place") == self._place(spec, namespace):
            os.kill(master, signal.SIGUSR2)
        else:
            self.stop()
            self._start(namespace, account)
        self._keep("place", self._place(spec, namespace))
        if spec.listeners:
            self._keep("applied", state)

    def _state(self, spec: BalancerSpec, namespace: str, text: str) -> str:
        secrets = "".join(each.pem for each in spec.listeners)
        return hashlib.sha256((text + secrets + self._place(spec, namespace)).encode()).hexdigest()

    @staticmethod
    def _place(spec: BalancerSpec, namespace: str) -> str:
        """Where it is; a namespace made anew under its name is another place."""
        try:
            inode = os.stat(netns.FOLDER / namespace).st_ino
        except OSError:
            inode = 0
        return f"{namespace} {spec.address} {inode}"

    def _move(self, spec: BalancerSpec, namespace: str) -> None:
        """Its address on the network, instead of an earlier one."""
        before = self._read("place").split()
        if before and before[:2] != [namespace, str(spec.address)]:
            works(["ip", "-n", before[0], "addr", "del", f"{before[1]}/32", "dev", LAN])
        run(["ip", "-n", namespace, "addr", "replace", f"{spec.address}/32", "dev", LAN])
        # So that it needs no rights to listen on a low port; nothing else here would misuse one.
        netns.set_kernel(namespace, {"net/ipv4/ip_unprivileged_port_start": "0"})

    def _write(self, spec: BalancerSpec, text: str, account: pwd.struct_passwd) -> None:
        """The settings and the keys, to be read by its account and changed by none but us."""
        self.folder.mkdir(parents=True, exist_ok=True)
        os.chown(self.folder, 0, account.pw_gid)
        self.folder.chmod(0o750)
        sockets = self.folder / "run"
        sockets.mkdir(exist_ok=True)
        os.chown(sockets, account.pw_uid, account.pw_gid)
        sockets.chmod(0o700)
        (self.folder / "applied").unlink(missing_ok=True)
        pems = {f"{each.id.hex}.pem": each.pem for each in spec.listeners if each.pem}
        for path in self.folder.glob("*.pem"):
            if path.name not in pems:
                path.unlink()
        for name, content in {**pems, "conf": text}.items():
            new = self.folder / f".{name}"
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
            with os.fdopen(descriptor, "w") as file:
                os.fchown(descriptor, 0, account.pw_gid)
                file.write(content)
            os.replace(new, self.folder / name)

    def _start(self, namespace: str, account: pwd.struct_passwd) -> None:
        rights = ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--clear-groups"]
        run(
            [
                *netns.enter(namespace),
                *("prlimit", f"--nofile={FILES_MAX}", "--core=0"),
                *("setpriv", *rights, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"),
                *(PROGRAM, "-W", "-D", "-f", f"{self.folder}/conf"),
            ]
        )

    def processes(self) -> set[int]:
        """Found by their command line, and by an account that can write none of ours."""
        found = set()
        mark = f"{self.folder}/conf".encode()
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                    if words[0] == PROGRAM.encode() and mark in words:
                        found.add(int(entry))
                except OSError:
                    continue
        return found

    def master(self) -> int | None:
        """The one that no other started."""
        found = self.processes()
        for pid in sorted(found):
            try:
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent not in found and len(found) > 1:
                return pid
        return None

    def stop(self) -> None:
        """At once: the connections go with it."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    continue
            until = time.monotonic() + END_SECONDS
            while self.processes() and time.monotonic() < until:
                time.sleep(0.02)
        if self.processes():
            raise Unavailable("The process of a load balancer does not end.")

    def remove(self) -> None:
        self.stop()
        place = self._read("place").split()
        if place and netns.exists(place[0]):
            works(["ip", "-n", place[0], "addr", "del", f"{place[1]}/32", "dev", LAN])
        shutil.rmtree(self.folder, ignore_errors=True)

    def facts(self) -> BalancerFacts:
        """What the process tells (https://docs.haproxy.org/2.6/management.html#9.1)."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(ASK_SECONDS)
            sock.connect(f"{self.folder}/run/stats")
            sock.sendall(b"show stat\n")
            answer = bytearray()
            while chunk := sock.recv(65536):
                answer += chunk
                if len(answer) > ANSWER_BYTES_MAX:
                    raise ValueError("it tells too much")
        rows = list(csv.DictReader(answer.decode("ascii", "replace").lstrip("# ").splitlines()))
        listeners = tuple(_listener(row) for row in rows if row["svname"] == "FRONTEND")
        members = tuple(_member(row) for row in rows if row["svname"] not in ("FRONTEND", "BACKEND"))
        return BalancerFacts(listeners=listeners, members=members)

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except FileNotFoundError:
            return ""

    def _keep(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


def _account() -> pwd.struct_passwd:
    for name in ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
            grp.getgrgid(found.pw_gid)
        except KeyError:
            continue
        return found
    raise Unavailable(f"There is none of the accounts {' and '.join(ACCOUNTS)} to run a load balancer under.")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _listener(row: Mapping[str, str]) -> ListenerFacts:
    return ListenerFacts(
        id=UUID(row["pxname"]),
        connections=_number(row["scur"]),
        connections_total=_number(row["stot"]),
        bytes_in=_number(row["bin"]),
        bytes_out=_number(row["bout"]),
        errors=_number(row.get("hrsp_5xx")),
    )


def _member(row: Mapping[str, str]) -> MemberFacts:
    status = row["status"]
    if status.startswith(("MAINT", "DRAIN")):
        state = "off"
    elif row.get("check_status", "").lstrip("* ") in ("", "INI", "UNK"):
        state = "checking"
    else:
        state = "up" if status.startswith("UP") else "down"
    return MemberFacts(id=UUID(row["svname"]), status=state, detail=_why(row) if state == "down" else "", connections=_number(row["scur"]))


_CHECKS = {
    "L4TOUT": "does not take a connection in time",
    "L4CON": "takes no connection",
    "L6TOUT": "does not finish TLS in time",
    "L7TOUT": "does not answer in time",
    "L7RSP": "answers what is no HTTP",
}


def _why(row: Mapping[str, str]) -> str:
    code = row.get("check_status", "").lstrip("* ")
    if code == "L7STS":
        return f"answers with {_number(row.get('check_code'))}"
    return _CHECKS.get(code, "does not answer")
