"""The processes of a box: how each is run, as whom, how it is stopped and how one sees that it serves.

Both the supervisor and systemd run `cloudbox.box run COMPONENT`, which prepares what the process needs, gives up the
rights it does not need and becomes the program (exec), so there is one place for both.
"""

from __future__ import annotations

import ctypes
import grp
import http.client
import os
import pwd
import resource
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from cloudbox.box import postgres, redis
from cloudbox.box.paths import USER, Box
from cloudbox.box.shell import Failed
from cloudbox.common.errors import CloudError

# Procrastinate's workers say every 10 s that they live.
HEARTBEAT_SECONDS_MAX = 35
# Every WebSocket and every guest's sockets are open files; the usual 1024 are few.
FILES_MAX = 65536
PR_SET_NO_NEW_PRIVS = 38  # <linux/prctl.h>


@dataclass(frozen=True)
class Component:
    """One long-running process. `group` says whether its children end with it: guests must outlive libvirtd."""

    name: str
    title: str
    order: int
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 15
    group: bool = True


COMPONENTS = (
    Component("postgres", "PostgreSQL", 0, stop_signal=signal.SIGINT, stop_seconds=30),
    Component("redis", "Redis", 0),
    Component("libvirtd", "libvirt", 1, group=False),
    Component("worker", "compute worker", 2, stop_seconds=30, group=False),
    Component("store", "object store", 2, stop_seconds=60),
    Component("web", "web", 2),
)
NAMES = tuple(component.name for component in COMPONENTS)
BY_NAME = {component.name: component for component in COMPONENTS}


def run_command(box: Box, name: str) -> list[str]:
    """What the supervisor and the units execute."""
    return ["/usr/bin/python3", "-P", "-m", "cloudbox.box", "run", name, "--home", str(box.home)]


def environment(box: Box) -> dict[str, str]:
    """The whole environment of a process of the box: nothing of the shell that started it gets in."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "CLOUDBOX_HOME": str(box.home),
        "DJANGO_SETTINGS_MODULE": "cloudbox.settings",
        "PYTHONPATH": str(box.app),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        # Few malloc arenas: many threads that each allocate little would otherwise keep far more than they use.
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_TRIM_THRESHOLD_": "131072",
        "MALLOC_MMAP_THRESHOLD_": "131072",
    }


def become(box: Box, name: str) -> None:
    """Turn this process into that component; only returns by raising."""
    argv, user, group = _PREPARE[name](box)
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_MAX, files_max), files_max))
    os.chdir(box.app if box.app.exists() else "/")
    if user:
        record = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(grp.getgrnam(group).gr_gid if group else record.pw_gid)
        os.setuid(record.pw_uid)
        os.umask(0o027 if name == "web" else 0o077)
        # Not even by a set-uid program can it get rights back.
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    try:
        os.execve(argv[0], argv, environment(box) | ({} if name == "web" else {"CLOUDBOX_PAGES": "no"}))
    except OSError as error:
        raise Failed(f"{argv[0]} cannot be run: {error.strerror}", remedy="bin/cloudbox up puts back what is missing") from error


Prepared = tuple[list[str], str, str]


def _postgres(box: Box) -> Prepared:
    postgres.prepare_socket_folder(box)
    return [str(postgres.binaries(box) / "postgres"), "-D", str(postgres.data_folder(box))], postgres.OS_USER, ""


def _redis(box: Box) -> Prepared:
    redis.prepare(box)
    return ["/usr/bin/redis-server", str(redis.config_file(box))], redis.OS_USER, USER


def prepare_network(box: Box) -> None:
    """The box's namespace, its way out, and the ports of portal and object store, which guests may reach on the host, and no others."""
    from compute.drivers import box_namespace

    ports = [box.config().get(name) for name in ("port", "store_port", "store_tls_port")]
    try:
        box_namespace.prepare(box.home, box.name, open_ports=[int(port) for port in ports if port])
    except CloudError as error:
        raise Failed(error.message, remedy="bin/cloudbox doctor says what this host lacks") from error


def _libvirtd(box: Box) -> Prepared:
    from compute.drivers import box_namespace

    prepare_network(box)
    argv = box_namespace.libvirtd_command(box.home, box.name)
    if not argv[0].startswith("/"):
        argv = ["/usr/bin/env", *argv]
    return argv, "", ""


def _worker(box: Box) -> Prepared:
    return [str(box.python), str(box.app / "manage.py"), "worker"], "", ""


def _store(box: Box) -> Prepared:
    """Drives, index and access log belong to the account that serves: nothing of it runs as root."""
    record = pwd.getpwnam(USER)
    for folder in (box.home / "store", box.run / "store"):
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, record.pw_uid, record.pw_gid)
        folder.chmod(0o750)
    # The table that whoever changes a bucket stamps: the worker, which is root, must not be the one that makes it.
    for file in (box.logs / "store-access.log", box.run / "store" / "generations"):
        file.touch(mode=0o640)
        os.chown(file, record.pw_uid, record.pw_gid)
    return [str(box.python), str(box.app / "manage.py"), "dataplane"], USER, ""


def _web(box: Box) -> Prepared:
    config = box.config()
    record = pwd.getpwnam(USER)
    uploads = box.home / "uploads"
    uploads.mkdir(exist_ok=True)
    os.chown(uploads, record.pw_uid, record.pw_gid)
    uploads.chmod(0o700)
    granian = [str(box.python), "-m", "granian", "cloudbox.asgi:application", "--interface", "asginl"]
    address = ["--host", str(config["bind"]), "--port", str(config["port"])]
    # One worker: two halves of one small machine gain little, and each would cost its own copy of Django.
    shape = ["--workers", "1", "--runtime-mode", "st", "--loop", "asyncio", "--http", "1", "--http1-buffer-size", "65536"]
    life = ["--respawn-failed-workers", "--workers-kill-timeout", "10s", "--log-level", "info"]
    return [*granian, *address, *shape, *life], USER, ""


_PREPARE: dict[str, Callable[[Box], Prepared]] = {
    "postgres": _postgres,
    "redis": _redis,
    "libvirtd": _libvirtd,
    "worker": _worker,
    "store": _store,
    "web": _web,
}


# --- health: a sentence when it serves, Failed when it does not


def _postgres_health(box: Box) -> str:
    size = postgres.psql(box, "select pg_size_pretty(pg_database_size(current_database()))")
    if size is None:
        raise Failed("does not answer a query")
    return f"answers, database {size}"


def _redis_health(box: Box) -> str:
    if not redis.answers(box):
        raise Failed("does not answer PING")
    return "answers PING"


def _libvirtd_health(box: Box) -> str:
    from compute.drivers import box_namespace

    if not box_namespace.libvirtd_ready(box.home, box.name):
        raise Failed("the socket does not answer")
    return "the socket answers"


def _worker_health(box: Box) -> str:
    age = postgres.psql(box, "select extract(epoch from now() - max(last_heartbeat))::int from procrastinate_workers")
    if age is None:
        raise Failed("its heartbeat cannot be read")
    if age == "":
        raise Failed("has no heartbeat yet")
    if int(age) > HEARTBEAT_SECONDS_MAX:
        raise Failed(f"last heartbeat {age} s ago")
    return f"heartbeat {age} s ago"


def _web_health(box: Box) -> str:
    config = box.config()
    host = "127.0.0.1" if config.get("bind") in ("0.0.0.0", None) else str(config["bind"])
    _ask_health(host, int(config.get("port", 8000)))
    return f"serves on port {config.get('port')}"


def _store_health(box: Box) -> str:
    config = box.config()
    _ask_health("127.0.0.1", int(config.get("store_admin_port", 9001)))
    tls_port = config.get("store_tls_port")
    if tls_port:
        _shake_hands("127.0.0.1" if config.get("bind") in ("0.0.0.0", None) else str(config["bind"]), int(tls_port))
    return f"serves S3 and Swift on port {config.get('store_port')}" + (f", by TLS on {tls_port}" if tls_port else "")


def _shake_hands(host: str, port: int) -> None:
    """Whether TLS is served at all: whom the certificate convinces is the clients' business, who know the name they came for."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=5) as sock, context.wrap_socket(sock):
            pass
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise Failed(f"no TLS on port {port} ({reason}); store.log says why") from error


def _ask_health(host: str, port: int) -> None:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        answer.read(4096)
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"/healthz: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Failed(f"/healthz answers {answer.status}")


HEALTH: dict[str, Callable[[Box], str]] = {
    "postgres": _postgres_health,
    "redis": _redis_health,
    "libvirtd": _libvirtd_health,
    "worker": _worker_health,
    "store": _store_health,
    "web": _web_health,
}


def healthy(box: Box, name: str) -> bool:
    try:
        HEALTH[name](box)
    except Failed:
        return False
    return True
