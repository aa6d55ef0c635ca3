"""`bin/cloudbox bench storage`: what the object store does in a second, what that costs its processor, and what limits the machine.

A project of the bench's own gets a bucket; a load generator in processes of its own writes, reads, lists and deletes in it over S3, as
clients do: connections that are kept, every request signed. Each line is run several times in turns with the limits of the machine, and
with other S3 endpoints that were named (`--beside FILE`), so that a busy host is busy for all. Processor time of the server per request
is the steadiest figure; rates are worth something only as ratios within a run. All of it is removed again; the audit log keeps its lines.

What an answer of the box means: a quorum of the replicas of the bucket's class (2 of 3) has the bytes on stable storage (RWF_DSYNC, or
fdatasync for a large body) and the index has the change. Drives that are folders of one disk share that disk's limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from subprocess import PIPE
from typing import Any

from django.conf import settings
from django.db import transaction

from cloudbox.box import processes
from cloudbox.box.management import storage_load
from cloudbox.box.management.storage_load import Endpoint, Job, Outcome
from cloudbox.box.paths import Box
from identity import credentials, projects, quotas, users
from identity.authn.session import context_of
from identity.context import SYSTEM
from identity.models import Project, User
from storage.dataplane import config_of
from storage.models import BucketHour, BucketTraffic

SECONDS, ROUNDS = 2.0, 3
CONNECTIONS = (1, 8, 32, 128)
SMALL_BYTES, LARGE_BYTES, MULTIPART_BYTES = 4 << 10, 64 << 20, 256 << 20
LARGE_OBJECTS = 4
LISTED = 10_000
A_FOLDER = 100
WHAT = ("small", "list", "large", "multipart")
_NGINX = """
daemon off; master_process off; worker_processes 1; pid {0}/nginx.pid; error_log {0}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; keepalive_requests 1000000000;
    client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3; uwsgi_temp_path {0}/t4; scgi_temp_path {0}/t5;
    server {{ listen 127.0.0.1:{1}; root {0}; }}
}}
"""


@dataclass
class Target:
    """An S3 endpoint, and the processes whose work counts as its."""

    name: str
    endpoint: Endpoint
    pids: Callable[[], list[int]]
    bucket: str
    written: dict[str, int] = field(default_factory=dict)  # How many objects each line of this round has left to be read.


@dataclass(frozen=True)
class Sample:
    """One run of a line."""

    rate: float  # Requests a second,
    bytes_rate: float  # and bytes of bodies.
    cpu_us: float | None  # Of the server per request; None if its processes are not known.
    cpu_s_gb: float | None
    latencies: tuple[float, float]  # Median and the 99th of a hundred, seconds.
    generator: float  # Cores that the generator took.
    errors: dict[str, int]


Samples = dict[tuple[str, str], list[Sample]]  # By line and target.


def run(
    say: Callable[[str], None],
    show: Callable[[dict[str, Any]], None],
    *,
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
    generators: int = 1,
    only: Sequence[str] = WHAT,
    connections: Sequence[int] = CONNECTIONS,
    beside: Sequence[Path] = (),
) -> None:
    """`show` is called with all samples and the limits, as plain data, before what was made is removed, which takes slow peers minutes."""
    samples: Samples = defaultdict(list)
    limits: dict[str, list[float]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        load = stack.enter_context(_generators(generators))
        targets = [stack.enter_context(_ours(say)), *(_of_file(path) for path in beside)]
        for target in targets:
            stack.callback(_empty, load, target, say)
            _prepare(load, target, only)
        nginx = stack.enter_context(_nginx())
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for name, figure in _limits().items():
                limits[name].append(figure)
            for line, job in _lines(number, seconds, only, connections):
                if nginx is not None and job.kind == "get" and (job.connections == 32 or job.size == LARGE_BYTES):
                    static = replace(job, bucket="static", prefix=f"{job.size}-", count=1, repeat=True, seconds=seconds)
                    samples[line, "nginx, static file"].append(_measure(load, nginx, static))
                for target in targets:
                    samples[line, target.name].append(_take(load, target, line, job))
        show(_found(samples, limits, targets, seconds=seconds, rounds=rounds))


def _found(samples: Samples, limits: dict[str, list[float]], targets: Sequence[Target], *, seconds: float, rounds: int) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "rounds": rounds,
        "seconds": seconds,
        "targets": [target.name for target in targets],
        "limits": limits,
        "lines": [{"line": line, "target": name, "samples": [asdict(one) for one in found]} for (line, name), found in samples.items()],
    }


def _lines(round: int, seconds: float, only: Sequence[str], connections: Sequence[int]) -> Iterator[tuple[str, Job]]:
    """What is measured, in an order in which each finds what it needs. Jobs lack their bucket; what has to be there has a count of 0."""
    if "small" in only:
        for count in connections:
            of = {"prefix": f"small/{round}/{count}/", "size": SMALL_BYTES, "connections": count, "seconds": seconds}
            yield f"PUT 4 KiB c={count}", Job("put", "", **of)  # type: ignore[arg-type]
            yield f"GET 4 KiB c={count}", Job("get", "", **of, count=0, repeat=True)  # type: ignore[arg-type]
            yield f"HEAD 4 KiB c={count}", Job("head", "", **of, count=0, repeat=True)  # type: ignore[arg-type]
            yield f"DELETE 4 KiB c={count}", Job("delete", "", **of, count=0)  # type: ignore[arg-type]
    if "list" in only:
        of = {"prefix": "list/", "seconds": seconds, "count": LISTED, "a_folder": A_FOLDER}
        for count in (1, 8):
            yield f"LIST 1,000 names c={count}", Job("list", "", **of, connections=count)  # type: ignore[arg-type]
        yield "LIST 100 folders c=1", Job("list-folders", "", **of)  # type: ignore[arg-type]
    if "large" in only:
        for count in (1, 4):
            of = {"prefix": f"large/{count}/", "size": LARGE_BYTES, "connections": count, "count": LARGE_OBJECTS}
            yield f"PUT 64 MiB c={count}", Job("put", "", **of)  # type: ignore[arg-type]
            yield f"GET 64 MiB c={count}", Job("get", "", **of)  # type: ignore[arg-type]
    if "multipart" in only:
        yield "PUT 256 MiB in 16 parts c=4", Job("multipart", "", prefix="multipart", size=MULTIPART_BYTES, connections=4)


def _take(load: Load, target: Target, line: str, job: Job) -> Sample:
    job = replace(job, bucket=target.bucket)
    if not job.count:
        job.count = max(1, target.written.get(job.prefix, 0))
    sample = _measure(load, target, job)
    if job.kind == "put":
        target.written[job.prefix] = load.least
    return sample


def _measure(load: Load, target: Target, job: Job) -> Sample:
    before, began = _cpu(target.pids()), time.perf_counter()
    found = load.run(target.endpoint, job)
    took, spent = time.perf_counter() - began, _cpu(target.pids()) - before
    count = len(found.latencies)
    latencies = sorted(found.latencies) or [0.0]
    known = bool(target.pids())
    return Sample(
        rate=count / took,
        bytes_rate=found.bytes / took,
        cpu_us=1e6 * spent / count if known and count else None,
        cpu_s_gb=1e9 * spent / found.bytes if known and found.bytes else None,
        latencies=(latencies[len(latencies) // 2], latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)]),
        generator=found.cpu_seconds / took,
        errors=found.errors,
    )


# --- the generator's processes


class Load:
    """One or several processes that share each job."""

    def __init__(self, running: list[subprocess.Popen[str]]) -> None:
        self._processes = running
        self.least = 0  # So many names from 0 on have certainly been written by the last job.

    def run(self, endpoint: Endpoint, job: Job) -> Outcome:
        sharing = self._processes[: max(1, min(len(self._processes), job.connections))]
        if job.kind in ("multipart", "empty", "make"):
            sharing = sharing[:1]
        for number, process in enumerate(sharing):
            connections = job.connections // len(sharing) + (number < job.connections % len(sharing))
            own = replace(job, first=number, step=len(sharing), connections=connections)
            assert process.stdin is not None
            process.stdin.write(json.dumps({"endpoint": asdict(endpoint), "job": asdict(own)}) + "\n")
            process.stdin.flush()
        whole, counts = Outcome(), []
        for process in sharing:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the load generator ended")
            found = Outcome(**json.loads(line))
            counts.append(len(found.latencies))
            whole.latencies += found.latencies
            whole.seconds = max(whole.seconds, found.seconds)
            whole.cpu_seconds += found.cpu_seconds
            whole.bytes += found.bytes
            for what, times in found.errors.items():
                whole.errors[what] = whole.errors.get(what, 0) + times
        self.least = min(counts) * len(sharing)
        return whole


@contextmanager
def _generators(count: int) -> Iterator[Load]:
    argv = [sys.executable, "-m", storage_load.__name__]
    running = [subprocess.Popen(argv, stdin=PIPE, stdout=PIPE, text=True) for _ in range(count)]
    try:
        yield Load(running)
    finally:
        for process in running:
            process.kill()
            process.wait()


def _prepare(load: Load, target: Target, only: Sequence[str]) -> None:
    jobs = [Job("make", target.bucket)]
    if "list" in only:
        jobs.append(Job("put", target.bucket, "list/", 16, connections=32, seconds=600, count=LISTED, a_folder=A_FOLDER))
    for job in jobs:
        errors = load.run(target.endpoint, job).errors
        if errors:
            raise RuntimeError(f"{target.name}: {errors}")


def _empty(load: Load, target: Target, say: Callable[[str], None]) -> None:
    errors = load.run(target.endpoint, Job("empty", target.bucket)).errors
    if errors:
        say(f"{target.name}: the bucket {target.bucket} could not be removed: {errors}")


# --- who is measured


@contextmanager
def _ours(say: Callable[[str], None]) -> Iterator[Target]:
    """The box's own store, as a user and a project made for this."""
    name = f"store-bench-{uuid.uuid4().hex[:6]}"
    user, _ = users.create(SYSTEM, email=f"{name}@cloudbox.local", name="Store bench")
    project = projects.create(SYSTEM, name=name, owner_email=user.email)
    try:
        quotas.set_limits(SYSTEM, project, dict.fromkeys(row.resource for row in project.quotas.all()))
        key, secret = credentials.create_access_key(context_of(user, project.slug, api="cli"), name="bench")
        config = config_of(Path(settings.HOME), settings.BOX)
        endpoint = Endpoint("127.0.0.1", config.port, key.id, secret, config.region)
        say(f"a project of its own, {name}; the store has {len(config.drives)} drives and {config.workers} workers")
        yield Target("this box", endpoint, lambda: _tree([_pid_of_store()]), name)
    finally:
        _forget(user, project)


def _forget(user: User, project: Project) -> None:
    with transaction.atomic():
        for facts in (BucketHour, BucketTraffic):  # What was held and asked for outlives buckets, and would keep the project.
            facts.objects.filter(project=project).delete()
        project.delete()
        user.delete()


def _pid_of_store() -> int:
    return int(processes.state(Box(Path(settings.HOME)))["store"]["pid"])


def _of_file(path: Path) -> Target:
    """Another endpoint, from lines of KEY=VALUE: PEER, ENDPOINT, ACCESS_KEY, SECRET_KEY, REGION and, for its processor time, PID_DIR."""
    told = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    host, _, port = told["ENDPOINT"].removeprefix("http://").rstrip("/").partition(":")
    endpoint = Endpoint(host, int(port or 80), told["ACCESS_KEY"], told["SECRET_KEY"], told.get("REGION", "us-east-1"))
    folder = Path(told["PID_DIR"]) if told.get("PID_DIR") else None

    def pids() -> list[int]:
        return _tree([int(file.read_text()) for file in folder.glob("*.pid")]) if folder is not None else []

    return Target(told.get("PEER", path.stem), endpoint, pids, f"store-bench-{uuid.uuid4().hex[:6]}")


def _tree(roots: Sequence[int]) -> list[int]:
    """These processes and all below them."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                children[int((entry / "stat").read_text().rpartition(")")[2].split()[1])].append(int(entry.name))
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children[pid]
    return found


def _cpu(pids: Sequence[int]) -> float:
    """Seconds that they have worked, user and system."""
    spent = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            spent += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return spent / os.sysconf("SC_CLK_TCK")


# --- the limits of the machine


def _limits() -> dict[str, float]:
    drive = config_of(Path(settings.HOME), settings.BOX).drives[0]
    body = os.urandom(16 << 20)
    began = time.process_time()
    hashlib.md5(body, usedforsecurity=False).digest()
    md5 = time.process_time() - began
    durable, sequential = _disk(drive)
    return {
        "one drive, sequential, O_DIRECT 4 MiB, MB/s": sequential / 1e6,
        "one drive, durable write of 4 KiB into existing blocks, us": 1e6 * durable,
        "MD5 on one core, MB/s": len(body) / md5 / 1e6,
    }


def _disk(folder: Path) -> tuple[float, float]:
    """The median of a durable small write, seconds; a sequential write, bytes a second, its sync included."""
    buffer = mmap.mmap(-1, 4 << 20)
    buffer.write(os.urandom(4 << 20))
    fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT, 0o600)
    try:
        began = time.perf_counter()
        for number in range(48):
            os.pwrite(fd, buffer, number * len(buffer))
        os.fdatasync(fd)
        sequential = 48 * len(buffer) / (time.perf_counter() - began)
    finally:
        os.close(fd)
    fd = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        os.write(fd, bytes(4 << 20))
        os.fsync(fd)
        samples = []
        for number in range(300):
            began = time.perf_counter()
            os.pwritev(fd, [buffer[:SMALL_BYTES]], number * SMALL_BYTES, os.RWF_DSYNC)
            samples.append(time.perf_counter() - began)
    finally:
        os.close(fd)
    return statistics.median(samples), sequential


@contextmanager
def _nginx() -> Iterator[Target | None]:
    """The same bytes as static files, if nginx is on this machine: no signature, no index, no checksum."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="cloudbox-bench-") as name, socket.socket() as chosen:
        folder = Path(name)
        (folder / "static").mkdir()
        folder.chmod(0o755)
        for size in (SMALL_BYTES, LARGE_BYTES):
            (folder / "static" / f"{size}-0000000").write_bytes(storage_load.body_of(size, 0)[0])
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
        chosen.close()
        (folder / "nginx.conf").write_text(_NGINX.format(folder, port))
        process = subprocess.Popen([program, "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.05)
            endpoint = Endpoint("127.0.0.1", port, "nobody", "nothing", "none")
            yield Target("nginx", endpoint, lambda: [process.pid], "static")
        finally:
            process.terminate()
            process.wait(10)


# --- what came of it


def tell(found: dict[str, Any], say: Callable[[str], None]) -> None:
    load = "/".join(f"{one:.1f}" for one in found["load"])
    say(f"{found['rounds']} rounds in turns; medians (least to most); load {load} on {found['cores']} cores")
    say("An answer means: 2 of 3 replicas on stable storage, and the index knows. Small reads are checked by CRC-32C and come from memory.")
    for name, figures in found["limits"].items():
        say(f"  limit: {name:62} {statistics.median(figures):8,.0f}  ({min(figures):,.0f} to {max(figures):,.0f})")
    say(f"{'':28} {'':18} {'requests/s':>22} {'MB/s':>7} {'server CPU':>16} {'p50 ms':>8} {'p99 ms':>8} {'client':>7}  ratio of rates")
    rates: dict[str, float] = {}
    costs: dict[str, float | None] = {}
    for row in found["lines"]:
        line, name, samples = row["line"], row["target"], row["samples"]
        rate, bytes_rate = _median(samples, "rate"), _median(samples, "bytes_rate")
        large = "MiB" in line
        cpu, unit = (_median(samples, "cpu_s_gb"), "s/GB") if large else (_median(samples, "cpu_us"), "us")
        p50, p99 = (1e3 * statistics.median(sample["latencies"][n] for sample in samples) for n in (0, 1))
        spread = f"({min(s['rate'] for s in samples):,.0f}-{max(s['rate'] for s in samples):,.0f})"
        text = f"{line:28} {name:18} {rate:10,.1f} {spread:>11} {bytes_rate / 1e6:7.1f} "
        text += f"{cpu:11,.2f} {unit:4} " if cpu is not None else f"{'unknown':>16} "
        text += f"{p50:8.2f} {p99:8.2f} {100 * _median(samples, 'generator'):6.0f}%"
        if name == found["targets"][0]:
            rates[line], costs[line] = rate, cpu
        elif line in rates and name in found["targets"]:
            text += f"  {rates[line] / rate:.1f} times {name}" if rate else ""
            text += f", at 1/{cpu / costs[line]:.1f} of its CPU" if cpu and costs[line] else ""
        errors = {what: times for sample in samples for what, times in sample["errors"].items()}
        say(text + (f"  ERRORS {errors}" if errors else ""))


def _median(samples: Sequence[dict[str, Any]], name: str) -> Any:
    values = [sample[name] for sample in samples if sample[name] is not None]
    return statistics.median(values) if values else None
