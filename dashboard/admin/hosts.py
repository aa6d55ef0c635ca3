"""Hosts and what of them is promised; and how many more of each size fit."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.urls import path

from compute import flavors, health
from compute.health import HostLine
from dashboard.admin import tools
from dashboard.shell import admin_page, page
from identity import activity
from identity.context import Context


@dataclass(frozen=True)
class Room:
    """How many more of a size would fit, and what ends first."""

    flavor: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    count: int
    first: str


def room(host: HostLine, *, name: str, vcpus: int, memory_mib: int, disk_gib: int) -> Room:
    """By memory that is not promised and disk that is free; vCPUs are shared, so they end nothing."""
    by_memory = max(0, host.memory_mib - host.memory_used_mib) // memory_mib
    by_disk = host.disk_free_gib // disk_gib
    return Room(name, vcpus, memory_mib, disk_gib, min(by_memory, by_disk), "memory" if by_memory <= by_disk else "disk")


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    hosts = health.hosts(ctx)
    sizes = [
        room(hosts[0], name=flavor.name, vcpus=flavor.vcpus, memory_mib=flavor.memory_mib, disk_gib=flavor.disk_gib)
        for flavor in flavors.list(ctx)
    ]
    lines = [
        {
            "host": host,
            "memory_percent": round(100 * host.memory_used_mib / host.memory_mib),
            "disk_percent": min(100, round(100 * host.disk_used_gib / host.disk_gib)),
            "load_percent": min(100, round(100 * host.load / host.vcpus)),
        }
        for host in hosts
    ]
    return page(request, "admin/hosts.html", {"lines": lines, "sizes": sizes, "live": tools.live("page", since)})


urlpatterns = [path("/hosts", list, name="admin-hosts")]
