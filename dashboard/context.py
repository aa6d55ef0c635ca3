"""What the frame of every page shows: who, where, which project, and what may be reached from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from dashboard.shell import context_of_request
from identity.models import User


@dataclass(frozen=True)
class Entry:
    title: str
    path: str
    icon: str
    key: str


@dataclass(frozen=True)
class Section:
    title: str
    entries: tuple[Entry, ...]


PORTAL: tuple[Section, ...] = (
    Section("", (Entry("Overview", "", "home", "overview"),)),
    Section(
        "Compute",
        (
            Entry("Instances", "instances", "server", "instances"),
            Entry("Volumes", "volumes", "disk", "volumes"),
            Entry("Snapshots", "snapshots", "snap", "snapshots"),
            Entry("Backups", "backups", "shield", "backups"),
            Entry("Images", "images", "image", "images"),
            Entry("Snippets", "snippets", "code", "snippets"),
        ),
    ),
    Section(
        "Objects",
        (Entry("Buckets", "buckets", "bucket", "buckets"), Entry("Encryption keys", "encryption-keys", "lock", "encryption-keys")),
    ),
    Section(
        "Network",
        (
            Entry("Networks", "networks", "net", "networks"),
            Entry("Routers", "routers", "updown", "routers"),
            Entry("Floating IPs", "floating-ips", "globe", "floating-ips"),
            Entry("Ports", "ports", "link", "ports"),
            Entry("VPN access", "vpn", "lock", "vpn"),
            Entry("Load balancers", "load-balancers", "link", "load-balancers"),
            Entry("Security groups", "security-groups", "shield", "security-groups"),
            Entry("Topology", "topology", "route", "topology"),
            Entry("Reachability", "reachability", "pulse", "reachability"),
        ),
    ),
    Section(
        "Project",
        (
            Entry("Key pairs", "keypairs", "key", "keypairs"),
            Entry("Credentials", "credentials", "lock", "credentials"),
            Entry("Members", "members", "users", "members"),
            Entry("Activity", "activity", "log", "activity"),
            Entry("Settings", "settings", "gear", "settings"),
        ),
    ),
)
ADMIN: tuple[Section, ...] = (
    Section("", (Entry("Home", "", "home", "home"),)),
    Section(
        "Box",
        (
            Entry("Hosts", "hosts", "building", "hosts"),
            Entry("Instances", "instances", "server", "instances"),
            Entry("Flavors", "flavors", "size", "flavors"),
            Entry("Volume types", "volume-types", "disk", "volume-types"),
            Entry("Images", "images", "image", "images"),
            Entry("External networks", "external-networks", "globe", "external-networks"),
            Entry("Object store", "store", "drive", "store"),
            Entry("Drives", "drives", "disk", "drives"),
            Entry("Buckets", "buckets", "bucket", "buckets"),
        ),
    ),
    Section("People", (Entry("Projects", "projects", "folder", "projects"), Entry("Users", "users", "users", "users"))),
    Section("Operations", (Entry("Audit log", "audit", "log", "audit"), Entry("Health", "health", "pulse", "health"))),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    """For templates: `ctx`, `project`, `base` (where the project's or the console's URLs begin), `nav`, `theme`, `here`."""
    ctx = context_of_request(request)
    user = getattr(request, "user", None)
    theme = user.theme if isinstance(user, User) else ""
    if ctx is None:
        return {"theme": theme, "nav": (), "project": None, "ctx": None, "here": ""}
    in_admin = request.path.startswith("/admin")
    base = "/admin" if in_admin else f"/p/{ctx.project.slug}" if ctx.project else ""
    rest = request.path.removeprefix(base).strip("/").split("/")[0]
    return {
        "ctx": ctx,
        "project": ctx.project,
        "base": base,
        "nav": ADMIN if in_admin else PORTAL if ctx.project else (),
        "here": rest or ("home" if in_admin else "overview"),
        "in_admin": in_admin,
        "theme": theme,
    }
