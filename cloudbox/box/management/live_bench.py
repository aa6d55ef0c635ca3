"""`bin/cloudbox bench live`: does the live channel keep up with a storm, and does every tab end with the truth?

A project of the bench's own gets a thousand rows that stand for no machine: "in error" is the state in which the box leaves them
alone. Tabs open its list as browsers do, page and socket; then tags change through the verb, half of the changes where tabs look.
Lag is from the commit of a change to the message with that change or a newer one at a tab. In the end every row of every tab is
held against the table. All of it is removed again; the audit log keeps its lines, as it must.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection, transaction

from cloudbox.box import processes
from cloudbox.box.management import live_tabs
from cloudbox.box.management.live_tabs import Tab
from cloudbox.box.paths import Box
from cloudbox.common import events
from compute import charges, instances
from compute.models import Flavor, Image, Instance, SecurityGroup
from identity import projects, quotas, users
from identity.authn.session import context_of
from identity.context import SYSTEM
from identity.models import Project, User

INSTANCES, TABS, RATE, SECONDS = 1000, 10, 100, 20
WRITERS = 4
PAGE_READS = 20
_ROW = re.compile(r'data-live-id="([0-9a-f-]{36})"')


@dataclass
class Stage:
    """What the bench made for itself."""

    user: User
    project: Project
    ids: list[uuid.UUID]
    cookie: str


def run(say: Callable[[str], None], *, tabs: int = TABS, rate: int = RATE, seconds: int = SECONDS) -> dict[str, Any]:
    """The figures: seconds of lag, of CPU and of a page, and how many rows were wrong in the end (0, or something is broken)."""
    with _stage(say) as stage:
        page_cpu, page_seconds, pages = _read_pages(stage, tabs)
        say(f"{tabs} tabs, {rate} changes a second for {seconds} s")
        with _open_tabs(stage, pages) as process:
            before, began = _cpu(), time.monotonic()
            written = _storm(stage, sorted({id for ids, _ in pages for id in ids}), rate, seconds)
            spent, took = _cpu(), time.monotonic() - began
            opened = _close_tabs(process, {id: number for _, id, number in written})
        wrong = _wrong(opened)
    lags = sorted(_lags(opened, written))
    return {
        "instances": INSTANCES,
        "tabs": tabs,
        "changes": len(written),
        "changes_a_second": len(written) / seconds,
        "list_page_seconds": statistics.median(page_seconds),
        "list_page_cpu_seconds": page_cpu,
        "lag_seconds": {"p50": _at(lags, 0.5), "p95": _at(lags, 0.95), "max": lags[-1] if lags else None},
        "cpu_share": {name: (spent[name] - before[name]) / took for name in spent},
        "messages_a_tab_and_second": sum(tab.messages for tab in opened) / tabs / took,
        "kib_a_tab_and_second": sum(tab.bytes for tab in opened) / tabs / took / 1024,
        "wrong_rows": wrong,
    }


def tell(found: dict[str, Any], say: Callable[[str], None]) -> None:
    lag, cpu = found["lag_seconds"], found["cpu_share"]
    page, its_cpu = found["list_page_seconds"], found["list_page_cpu_seconds"]
    say(f"list page of 50 among {found['instances']}: {page * 1000:.0f} ms, of which the web process worked {its_cpu * 1000:.0f} ms")
    say(f"{found['changes']} changes ({found['changes_a_second']:.0f} a second) seen by {found['tabs']} tabs")
    if lag["max"] is not None:
        say(f"lag: p50 {lag['p50']:.3f} s, p95 {lag['p95']:.3f} s, max {lag['max']:.3f} s")
    say("of one core: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in cpu.items()))
    say(f"a tab got {found['messages_a_tab_and_second']:.1f} messages and {found['kib_a_tab_and_second']:.1f} KiB a second")
    say("every tab ended with the truth" if not found["wrong_rows"] else f"{found['wrong_rows']} rows ended WRONG")


# --- the stage


@contextmanager
def _stage(say: Callable[[str], None]) -> Iterator[Stage]:
    name = f"live-bench-{uuid.uuid4().hex[:6]}"
    user, _ = users.create(SYSTEM, email=f"{name}@cloudbox.local", name="Live bench")
    project = projects.create(SYSTEM, name=name, owner_email=user.email)
    try:
        say(f"{INSTANCES} rows in a project of their own, {name}")
        yield Stage(user=user, project=project, ids=_rows(user, project), cookie=_cookie(user))
    finally:
        events_of = Instance.objects.filter(project=project)
        with transaction.atomic():
            events_of.delete()
            SecurityGroup.objects.filter(project=project).delete()
            user.delete()
            project.delete()


def _rows(user: User, project: Project) -> list[uuid.UUID]:
    flavor, image = Flavor.objects.filter(is_active=True)[0], Image.objects.filter(status=Image.Status.READY)[0]
    of_all = charges.of_instance(vcpus=1, memory_mib=512, disk_gib=5, count=INSTANCES)
    quotas.set_limits(SYSTEM, project, dict.fromkeys(of_all))
    rows = [
        Instance(
            project=project, user=user, name=f"bench-{n:04}", hostname=f"bench-{n:04}", flavor=flavor, image=image, vcpus=1, memory_mib=512,
            disk_gib=5, status=Instance.Status.ERROR, intended=Instance.Intent.STOPPED, error="It is a row of a bench.", tags={"n": "0"},
        )
        for n in range(INSTANCES)
    ]  # fmt: skip
    with transaction.atomic():
        quotas.charge(project.id, of_all)
        return [row.id for row in Instance.objects.bulk_create(rows)]


def _cookie(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


# --- pages


def _read_pages(stage: Stage, tabs: int) -> tuple[float, list[float], list[tuple[list[str], int]]]:
    """CPU and wall seconds of a list page; and for each tab the ids and the place of the page it has open: two tabs a page."""
    path, found = f"/p/{stage.project.slug}/instances", []
    first, seconds = path, []
    _page(stage, first)
    before = _cpu()["web"]
    for _ in range(PAGE_READS):
        began = time.perf_counter()
        _page(stage, first)
        seconds.append(time.perf_counter() - began)
    cpu = (_cpu()["web"] - before) / PAGE_READS
    for _ in range((tabs + 1) // 2):
        html = _page(stage, path)
        live = re.search(r'data-live="([^"]+)"', html)
        assert live is not None, "the list of instances has no live region"
        found += [(list(dict.fromkeys(_ROW.findall(html))), int(json.loads(live[1].replace("&quot;", '"'))["since"]))] * 2
        following = re.search(r'href="([^"]+)" rel="next"', html)
        path = following[1].replace("&amp;", "&") if following else first
    return cpu, seconds, found[:tabs]


def _page(stage: Stage, path: str) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{settings.BOX['port']}{path}", headers={"Cookie": stage.cookie})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


# --- the storm


@contextmanager
def _open_tabs(stage: Stage, pages: list[tuple[list[str], int]]) -> Iterator[subprocess.Popen[str]]:
    asked = {
        "port": settings.BOX["port"],
        "cookie": stage.cookie,
        "project": stage.project.slug,
        "tabs": [{"ids": ids, "since": since} for ids, since in pages],
    }
    with subprocess.Popen([sys.executable, "-m", live_tabs.__name__], stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(asked) + "\n")
            assert process.stdout.readline() == "ready\n", "the tabs could not be opened"
            yield process
        finally:
            process.terminate()


def _close_tabs(process: subprocess.Popen[str], numbers: dict[str, int]) -> list[Tab]:
    """Give them time to come to the end; what each was told."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(numbers) + "\n")
    return [Tab(**tab) for tab in json.loads(process.stdout.readline())]


def _storm(stage: Stage, looked_at: list[str], rate: int, seconds: int) -> list[tuple[float, str, int]]:
    """When each change was committed, of which row, and its number in that row."""
    written: list[tuple[float, str, int]] = []
    numbers: dict[str, int] = defaultdict(int)
    lock = threading.Lock()

    def write(writer: int) -> None:
        """Its own share of the rows, so that the numbers of a row only grow."""
        ctx = context_of(stage.user, stage.project.slug, api="cli")
        shown, others = looked_at[writer::WRITERS], [str(id) for id in stage.ids[writer::WRITERS] if str(id) not in set(looked_at)]
        began, done = time.monotonic(), 0
        try:
            while (now := time.monotonic()) < began + seconds:
                if done / (rate / WRITERS) > now - began:
                    time.sleep(0.002)
                    continue
                id = random.choice(shown if random.random() < 0.5 or not others else others)
                numbers[id] += 1
                instances.update(ctx, uuid.UUID(id), tags={"n": str(numbers[id])})
                with lock:
                    written.append((time.monotonic(), id, numbers[id]))
                done += 1
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events.flush()
    return written


# --- figures


def _wrong(tabs: list[Tab]) -> int:
    """How many rows of how many tabs are not as the table has them. A row that never changed was shown by the page itself."""
    ids = {id for tab in tabs for id in tab.ids}
    truth = {str(id): int(tags["n"]) for id, tags in Instance.objects.filter(id__in=ids).values_list("id", "tags")}
    return sum(tab.shown.get(id, 0) != truth.get(id) for tab in tabs for id in tab.ids)


def _lags(tabs: list[Tab], written: list[tuple[float, str, int]]) -> Iterator[float]:
    """For each change and each tab that shows its row: until the message with it, or with a newer one."""
    for tab in tabs:
        by_row: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for at, id, number in tab.told:
            by_row[id].append((at, number))
        mine = set(tab.ids)
        for at, id, number in written:
            if id in mine:
                seen = next((when for when, told in by_row[id] if told >= number), None)
                if seen is not None:
                    yield max(0.0, seen - at)


def _at(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def _cpu() -> dict[str, float]:
    """CPU seconds of the box's processes with their children; of Redis and PostgreSQL too."""
    parents: dict[int, list[int]] = defaultdict(list)
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents[int(fields[1])].append(int(entry.name))
        spent[int(entry.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # of ended children too

    def tree(pid: int) -> float:
        return spent.get(pid, 0.0) + sum(tree(child) for child in parents[pid])

    state = processes.state(Box(Path(settings.HOME)))
    return {name: tree(int(state[name]["pid"])) for name in ("web", "worker", "postgres", "redis") if state.get(name, {}).get("pid")}
