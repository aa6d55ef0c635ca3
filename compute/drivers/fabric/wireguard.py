"""WireGuard entrances of routers: one wireguard-go each, in the router's namespace, under an account that owns nothing and may do nothing
but network settings there.

WireGuard in user space needs no kernel module; who speaks to it is its configuration protocol over a socket
(https://www.wireguard.com/xplatform/), whose path is the interface's name. The socket is made here and handed over, since its account may
make no files. Who is taken out of it is cut at once: its packets decrypt to nothing, and nothing is encrypted for it.
"""

from __future__ import annotations

import base64
import logging
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from cloudbox.common.errors import Unavailable
from compute.drivers import netns
from compute.drivers.commands import works
from compute.drivers.fabric import links
from compute.drivers.fabric.names import VPN
from compute.drivers.vpn_specs import VpnPeerFacts, VpnSpec

log = logging.getLogger(__name__)

PROGRAM = "wireguard-go"
SOCKETS = Path("/run/wireguard")  # The program watches the socket there.
ACCOUNT = "nobody"
MTU = 1420  # What fits into 1500 with WireGuard's own headers, over IPv6 too.
FILES_MAX = 1024
ANSWER_SECONDS = 5.0
START_SECONDS = 10.0
ANSWER_BYTES_MAX = 1 << 20


def why_not() -> str:
    """Why this machine can run none; empty: it can."""
    if shutil.which(PROGRAM) is None:
        return "This box has no wireguard-go. Its administrator installs it with: apt-get install wireguard-go"
    return ""


def interface(router_id: UUID) -> str:
    return f"{VPN}{router_id.hex[:12]}"


@dataclass
class _State:
    """What one says of itself: keys as it writes them, in hex."""

    private_key: str = ""
    port: int = 0
    peers: dict[str, dict[str, str]] = field(default_factory=dict)


class Wireguards:
    """All of the box. `folder` remembers which there are: a file for each, with its namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def apply(self, wanted: Mapping[UUID, tuple[VpnSpec, str]]) -> None:
        there = {UUID(each.name): each for each in self.folder.iterdir()} if self.folder.exists() else {}
        for id in there.keys() - wanted.keys():
            self._remove(id)
        for id, (spec, namespace) in wanted.items():
            if reason := why_not():
                log.warning("The WireGuard entrance of router %s is not made: %s", id, reason)
                continue
            try:
                self._one(id, spec, namespace)
            except (OSError, ValueError, Unavailable) as error:
                # One that fails must not keep the other networks from being made; the next round tries again.
                log.warning("The WireGuard entrance of router %s: %s", id, error)

    def facts(self) -> dict[UUID, tuple[VpnPeerFacts, ...]]:
        """Of those that answer."""
        found = {}
        for each in self.folder.iterdir() if self.folder.exists() else ():
            state = _ask(UUID(each.name))
            if state is not None:
                found[UUID(each.name)] = tuple(_facts(key, told) for key, told in state.peers.items())
        return found

    def _one(self, id: UUID, spec: VpnSpec, namespace: str) -> None:
        if not netns.exists(namespace):
            raise Unavailable(f"The namespace {namespace} is not there yet.")
        state = _ask(id) if interface(id) in netns.call(namespace, _names) else None
        if state is None:
            self._start(id, namespace)
            state = _ask(id)
            if state is None:
                raise Unavailable("wireguard-go does not answer.")
        if changes := _changes(state, spec):
            _tell(id, changes)
        address = f"{spec.cidr[1]}/{spec.cidr.prefixlen}"
        links.batch(namespace, [f"addr replace {address} dev {interface(id)}", f"link set dev {interface(id)} mtu {MTU} up"])

    def _start(self, id: UUID, namespace: str) -> None:
        self._remove(id)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / str(id)).write_text(namespace)
        SOCKETS.mkdir(mode=0o755, exist_ok=True)
        account, path = pwd.getpwnam(ACCOUNT), _socket_path(id)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
            path.chmod(0o600)
            os.chown(path, account.pw_uid, account.pw_gid)
            sock.listen(8)
            rights = ["--no-new-privs", *(f"--{which}=-all,+net_admin" for which in ("inh-caps", "ambient-caps", "bounding-set"))]
            process = subprocess.Popen(
                [
                    *netns.enter(namespace),
                    *("prlimit", f"--nofile={FILES_MAX}", "--core=0"),
                    *("setpriv", *rights, "--clear-groups", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"),
                    *(PROGRAM, "-f", interface(id)),
                ],
                pass_fds=[sock.fileno()],
                env={"PATH": os.defpath, "WG_UAPI_FD": str(sock.fileno()), "LOG_LEVEL": "error"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        until = time.monotonic() + START_SECONDS
        while interface(id) not in netns.call(namespace, _names) or _ask(id) is None:
            if process.poll() is not None or time.monotonic() > until:
                self._remove(id)
                raise Unavailable("wireguard-go did not start; does this machine have /dev/net/tun?")
            time.sleep(0.05)

    def _remove(self, id: UUID) -> None:
        """With its process, which lets go of the interface; the interface by force, if it does not."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in processes(id):
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    continue
            until = time.monotonic() + ANSWER_SECONDS
            while processes(id) and time.monotonic() < until:
                time.sleep(0.02)
        place = self.folder / str(id)
        namespace = place.read_text() if place.exists() else ""
        if namespace and netns.exists(namespace) and interface(id) in netns.call(namespace, _names):
            works(["ip", "-n", namespace, "link", "delete", "dev", interface(id)])
        _socket_path(id).unlink(missing_ok=True)
        place.unlink(missing_ok=True)


def processes(id: UUID) -> set[int]:
    """Found by their command line; ended ones that nobody has heard of yet do not count."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[-2:-1] == [interface(id).encode()] and os.path.basename(words[0]) == PROGRAM.encode():
                found.add(int(entry))
    return found


def _names() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def _socket_path(id: UUID) -> Path:
    return SOCKETS / f"{interface(id)}.sock"


def _hex(key: str) -> str:
    return base64.b64decode(key).hex()


def _say(id: UUID, words: str) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_SECONDS)
        sock.connect(str(_socket_path(id)))
        sock.sendall(words.encode())
        answer = bytearray()
        while not answer.endswith(b"\n\n"):
            chunk = sock.recv(65536)
            if not chunk or len(answer) > ANSWER_BYTES_MAX:
                break
            answer += chunk
    return answer.decode("ascii", "replace")


def _tell(id: UUID, lines: list[str]) -> None:
    answer = _say(id, "set=1\n" + "\n".join(lines) + "\n\n")
    if "errno=0" not in answer.split():
        raise Unavailable("wireguard-go did not take its settings.")


def _ask(id: UUID) -> _State | None:
    """None: nobody answers."""
    try:
        answer = _say(id, "get=1\n\n")
    except OSError:
        return None
    state, peer = _State(), None
    for line in answer.splitlines():
        key, _, value = line.partition("=")
        if key == "private_key":
            state.private_key = value
        elif key == "listen_port":
            state.port = int(value)
        elif key == "public_key":
            peer = state.peers.setdefault(value, {})
        elif peer is not None and key != "errno":
            peer[key] = value
    return state if "errno=0" in answer.split() else None


def _changes(state: _State, spec: VpnSpec) -> list[str]:
    """What is to be said so that it is as wanted; who stays keeps its session."""
    lines = []
    if state.private_key != _hex(spec.private_key):
        lines.append(f"private_key={_hex(spec.private_key)}")
    if state.port != spec.port:
        lines.append(f"listen_port={spec.port}")
    wanted = {_hex(each.public_key): f"{each.address}/32" for each in spec.peers}
    for key in state.peers.keys() - wanted.keys():
        lines += [f"public_key={key}", "remove=true"]
    for key, address in wanted.items():
        if state.peers.get(key, {}).get("allowed_ip") != address:
            lines += [f"public_key={key}", "replace_allowed_ips=true", f"allowed_ip={address}"]
    return lines


def _facts(key: str, told: Mapping[str, str]) -> VpnPeerFacts:
    at = int(told.get("last_handshake_time_sec", "0"))
    return VpnPeerFacts(
        public_key=base64.b64encode(bytes.fromhex(key)).decode(),
        handshake_at=at or None,
        bytes_in=int(told.get("rx_bytes", "0")),
        bytes_out=int(told.get("tx_bytes", "0")),
        endpoint=told.get("endpoint", "")[:64],
    )
