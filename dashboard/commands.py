"""What a page does, as commands: one table of requests of the REST API, and their text as `curl` says it; and where OpenStack's client can
say the same (openstack_commands.py), as that.

`{% as_command "network" id=network.id %}` shows the requests of a page with its values filled in; static/js/command.js keeps the
command of a form in step with what is typed. What a page does not know stands there in capitals, for people to replace.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest

from dashboard.openstack_commands import OPENSTACK
from identity.context import Context

API = "/api/v1"


@dataclass(frozen=True)
class Request:
    """One request: what it does, and how. `path` and the texts of `body` may hold names in braces, of values that the page knows."""

    title: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None


def _of(base: str, *requests: tuple[str, str, str] | tuple[str, str, str, Mapping[str, Any]]) -> tuple[Request, ...]:
    return tuple(Request(title, method, base + path, *body) for title, method, path, *body in requests)


_P = "/projects/{project}"
# Braces stand doubled, since the bucket's name is filled in.
_POLICY = '{{"Statement": [{{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{name}/public/*"}}]}}'
_DEBIAN = "https://images.example.org/debian-12.qcow2"
_CLOSED = {"block_acls": True, "ignore_acls": True, "block_policy": True, "restrict": True}
_I, _ALL_I = f"{_P}/instances", "/admin/instances"

TABLE: dict[str, tuple[Request, ...]] = {
    "overview": _of(_P, ("Show the project", "GET", ""), ("Show its quota", "GET", "/quotas"), ("Show what happened", "GET", "/activity")),
    "instances": _of(
        _I,
        ("List these", "GET", "{query}"),
        ("Launch one", "POST", "", {"name": "web-1", "image_id": "{image_id}", "flavor_id": "{flavor_id}"}),
        ("Start one", "POST", "/{id}/start", {}),
        ("Stop one", "POST", "/{id}/stop", {}),
        ("Delete one", "DELETE", "/{id}"),
    ),
    "instance": _of(
        f"{_I}/{{id}}",
        ("Show it", "GET", ""),
        ("Start", "POST", "/start", {}),
        ("Stop", "POST", "/stop", {}),
        ("Force off", "POST", "/stop", {"force": True}),
        ("Reboot", "POST", "/reboot", {}),
        ("Hard reboot", "POST", "/reset", {}),
        ("Pause", "POST", "/pause", {}),
        ("Resume", "POST", "/resume", {}),
        ("Suspend to disk", "POST", "/suspend", {}),
        ("Resize", "POST", "/resize", {"flavor_id": "{flavor_id}"}),
        ("Keep the new size", "POST", "/confirm-resize", {}),
        ("Go back to the old size", "POST", "/revert-resize", {}),
        ("Rebuild", "POST", "/rebuild", {"image_id": "{image_id}", "keep": True}),
        ("Undo the rebuild", "POST", "/undo-rebuild", {}),
        ("Drop the old disk", "POST", "/drop-old-disk", {}),
        ("Rescue", "POST", "/rescue", {}),
        ("Leave rescue", "POST", "/unrescue", {}),
        ("Put a network card in", "POST", "/nics", {"network_id": "{network_id}"}),
        ("Show what its guest tells", "GET", "/guest"),
        ("Set a password in it", "POST", "/password", {"user": "root", "password": "PASSWORD"}),
        ("Let it run at office hours", "PUT", "/office-hours", {"days": [0, 1, 2, 3, 4], "starts": "08:00", "stops": "18:00"}),
        ("Shelve", "POST", "/shelve", {}),
        ("Unshelve", "POST", "/unshelve", {}),
        ("Lock", "POST", "/lock", {}),
        ("Unlock", "POST", "/unlock", {}),
        ("Protect from deletion", "POST", "/protect", {}),
        ("Allow deletion", "POST", "/unprotect", {}),
        ("Rename", "PATCH", "", {"name": "{name}"}),
        ("Tag", "PATCH", "", {"tags": {"env": "prod"}}),
        ("Tell its guest something", "PATCH", "", {"metadata": {"role": "db"}}),
        ("Open its console", "POST", "/consoles", {"kind": "serial"}),
        ("Read its console log", "GET", "/console-log"),
        ("Read its metrics", "GET", "/metrics?range=1h"),
        ("Take a snapshot of all its disks", "POST", "/snapshots", {"name": "before the update"}),
        ("Delete", "DELETE", ""),
    ),
    "server-groups": _of(
        f"{_P}/server-groups",
        ("List them", "GET", ""),
        ("Create one", "POST", "", {"name": "databases", "policy": "anti-affinity"}),
        ("Put an instance into one", "PUT", "/{id}/instances/{instance_id}", {}),
        ("Delete one", "DELETE", "/{id}"),
    ),
    "images": _of(
        f"{_P}/images",
        ("List them", "GET", ""),
        ("Bring one in", "POST", "", {"name": "Debian 12", "url": "https://images.example.org/debian-12.qcow2"}),
        ("Make one of the snapshot of a volume", "POST", "", {"name": "Debian 12", "snapshot_id": "{snapshot_id}"}),
        ("Make one of the snapshot of an instance", "POST", "", {"name": "Debian 12", "instance_snapshot_id": "{instance_snapshot_id}"}),
    ),
    "image": _of(
        f"{_P}/images/{{id}}",
        ("Show it", "GET", ""),
        ("Change it", "PATCH", "", {"name": "{name}", "is_protected": True, "disk_bus": "sata"}),
        ("Offer it to another project", "POST", "/members", {"project_id": "{other_project_id}"}),
        ("List whom it was offered to", "GET", "/members"),
        ("Withdraw it from one", "DELETE", "/members/{other_project_id}"),
        ("Put it into a bucket as a file", "POST", "/exports", {"format": "vmdk", "bucket": "disks"}),
        ("List these files", "GET", "/exports"),
        ("Accept it, if it was offered to this project", "POST", "/accept", {}),
        ("Deactivate", "POST", "/deactivate", {}),
        ("Reactivate", "POST", "/reactivate", {}),
        ("Delete", "DELETE", ""),
    ),
    "volumes": _of(
        f"{_P}/volumes",
        ("List them", "GET", ""),
        ("Create one", "POST", "", {"name": "archive-2", "size_gib": 10}),
        ("Create one from a snapshot", "POST", "", {"name": "archive-3", "snapshot_id": "{snapshot_id}"}),
        ("Copy one", "POST", "", {"name": "archive-4", "volume_id": "{volume_id}"}),
    )
    + _of(_P, ("Accept one that is offered", "POST", "/volume-offers", {"key": "{key}"}))
    + _of("/volume-types", ("Show the types on offer", "GET", "")),
    "volume": _of(
        f"{_P}/volumes/{{id}}",
        ("Show it", "GET", ""),
        ("Attach it", "POST", "/attach", {"instance_id": "{instance_id}"}),
        ("Grow it", "POST", "/grow", {"size_gib": 20}),
        ("Detach it", "POST", "/detach", {}),
        ("Change its type", "POST", "/retype", {"type_id": "{type_id}"}),
        ("Offer it to another project", "POST", "/offer", {}),
        ("Withdraw the offer", "DELETE", "/offer"),
        ("Rename", "PATCH", "", {"name": "{name}"}),
        ("Delete", "DELETE", ""),
        ("Delete, with its snapshots", "DELETE", "?with_snapshots=true"),
    )
    + _of(
        f"{_P}/snapshots",
        ("List its snapshots", "GET", "?volume_id={id}"),
        ("Take a snapshot", "POST", "", {"volume_id": "{id}", "name": "before the update"}),
        ("Go back to one", "POST", "/{snapshot_id}/restore", {}),
        ("List the files of one", "GET", "/{snapshot_id}/files?path=/"),
    ),
    "backups": _of(
        f"{_P}/backups",
        ("List them", "GET", "{query}"),
        ("Back up a volume", "POST", "", {"vault_id": "{vault_id}", "volume_id": "{volume_id}"}),
        ("Back up an instance with all its disks", "POST", "", {"vault_id": "{vault_id}", "instance_id": "{instance_id}"}),
    ),
    "backup": _of(
        f"{_P}/backups/{{id}}",
        ("Show it", "GET", ""),
        ("Restore it as a new volume", "POST", "/restore-volume", {"name": "back"}),
        ("Restore it over a volume", "POST", "/restore-over", {"volume_id": "{volume_id}"}),
        ("Restore it as a new instance", "POST", "/restore-instance", {"name": "again"}),
        ("List its files", "GET", "/files?path=/"),
        ("Verify it", "POST", "/verify", {}),
        ("Cancel its making", "POST", "/cancel", {}),
        ("Rename", "PATCH", "", {"name": "{name}"}),
        ("Delete", "DELETE", ""),
    ),
    "backup-vaults": _of(
        f"{_P}/backup-vaults",
        ("List them", "GET", ""),
        ("Add one, or take one up", "POST", "", {"name": "Safe", "bucket": "backups", "encrypted": True}),
    ),
    "backup-vault": _of(
        f"{_P}/backup-vaults/{{id}}",
        ("Show it", "GET", ""),
        ("Read its bucket", "POST", "/refresh", {}),
        ("Rename", "PATCH", "", {"name": "{name}"}),
        ("Forget it", "DELETE", ""),
    ),
    "backup-schedules": _of(
        f"{_P}/backup-schedules",
        ("List them", "GET", ""),
        ("Back up a volume every night", "POST", "", {"name": "nightly", "vault_id": "{vault_id}", "volume_id": "{volume_id}"}),
    ),
    "backup-schedule": _of(
        f"{_P}/backup-schedules/{{id}}",
        ("Show it", "GET", ""),
        ("Make its backups now", "POST", "/run", {}),
        ("Keep more days", "PATCH", "", {"keep_daily": 14}),
        ("Switch it off", "PATCH", "", {"is_active": False}),
        ("Delete", "DELETE", ""),
    ),
    "snapshots": _of(
        f"{_P}/snapshots",
        ("List them", "GET", "{query}"),
        ("Take one", "POST", "", {"volume_id": "{volume_id}", "name": "before the update"}),
        ("Go back to one", "POST", "/{snapshot_id}/restore", {}),
        ("Delete one", "DELETE", "/{snapshot_id}"),
    ),
    "networks": _of(f"{_P}/networks", ("List them", "GET", ""), ("Create one", "POST", "", {"name": "backend", "nat": True})),
    "network": _of(
        f"{_P}/networks/{{id}}",
        ("Show it", "GET", ""),
        ("Rename", "PATCH", "", {"name": "{name}"}),
        ("Delete", "DELETE", ""),
    )
    + _of(f"{_P}/ports", ("List its ports", "GET", "?network_id={id}")),
    "routers": _of(f"{_P}/routers", ("List them", "GET", ""), ("Create one", "POST", "", {"name": "edge"})),
    "router": _of(
        f"{_P}/routers/{{id}}",
        ("Show it", "GET", ""),
        ("Rename", "PATCH", "", {"name": "{name}"}),
        ("Add a network", "PUT", "/networks/{network_id}"),
        ("Take a network off", "DELETE", "/networks/{network_id}"),
        ("Let it lead nowhere outside", "PUT", "/gateway", {"external_id": None}),
        ("Set its static routes", "PUT", "/routes", {"routes": [{"destination": "10.99.0.0/24", "next_hop": "10.20.0.7"}]}),
        ("Delete", "DELETE", ""),
    )
    + _of(
        f"{_P}/port-forwards",
        ("List the ports that it forwards", "GET", "?router_id={id}"),
        ("Forward a port", "POST", "", {"router_id": "{id}", "external_port": 8022, "port_id": "{port_id}", "internal_port": 22}),
    ),
    "load-balancers": _of(
        f"{_P}/load-balancers",
        ("List them", "GET", ""),
        ("Create one", "POST", "", {"name": "front", "network_id": "{network_id}"}),
    ),
    "load-balancer": _of(
        f"{_P}/load-balancers/{{id}}",
        ("Show it", "GET", ""),
        ("Add a pool", "POST", "/pools", {"name": "web", "check_path": "/health"}),
        ("Rename", "PATCH", "", {"name": "{name}"}),
        ("Delete", "DELETE", ""),
    ),
    "floating-ips": _of(f"{_P}/floating-ips", ("List them", "GET", ""), ("Take one", "POST", "", {"description": "The shop"})),
    "floating-ip": _of(
        f"{_P}/floating-ips/{{id}}",
        ("Show it", "GET", ""),
        ("Give it to a network card", "POST", "/associate", {"port_id": "{port_id}"}),
        ("Take it off", "POST", "/disassociate", {}),
        ("Give it back", "DELETE", ""),
    ),
    "admin-external-networks": _of(
        "/admin/external-networks",
        ("List them", "GET", ""),
        ("Create one", "POST", "", {"name": "lab", "cidr": "198.51.100.0/24"}),
        ("Make one the default", "PATCH", "/{id}", {"is_default": True}),
        ("Delete one", "DELETE", "/{id}"),
    ),
    "buckets": _of(
        f"{_P}/buckets",
        ("List them", "GET", ""),
        ("Create one", "POST", "", {"name": "media-of-ours", "storage_class": "replicated-3", "versioning": True}),
        ("Delete one", "DELETE", "/{name}"),
    ),
    "bucket": _of(
        f"{_P}/buckets/{{name}}",
        ("Show it", "GET", ""),
        ("Keep versions", "PATCH", "", {"versioning": "enabled"}),
        ("Set its quota", "PATCH", "", {"quota_bytes": 10 * 2**30, "quota_objects": None}),
        ("Encrypt new objects", "PATCH", "", {"encryption": {"algorithm": "AES256"}}),
        ("Tag it", "PATCH", "", {"tags": {"env": "prod"}}),
        ("Show its policy", "GET", "/policy"),
        ("Set its policy", "PUT", "/policy", {"policy": _POLICY}),
        ("Check a policy", "POST", "/policy/check", {"policy": _POLICY}),
        ("Block public policies", "PATCH", "", {"public_access_block": _CLOSED}),
        ("Ask who can do what", "POST", "/simulate", {"kind": "anonymous", "action": "s3:GetObject", "key": "index.html"}),
        ("Set lifecycle rules", "PUT", "/lifecycle", {"rules": [{"prefix": "logs/", "days": 30}]}),
        ("See what rules would end today", "POST", "/lifecycle/preview", {"rules": [{"prefix": "logs/", "days": 30}]}),
        ("Tell a webhook of what is written", "PUT", "/notifications", {"rules": [{"webhook": "ours", "events": ["ObjectCreated:*"]}]}),
        ("Set CORS rules", "PUT", "/cors", {"rules": [{"origins": ["https://www.example.org"], "methods": ["GET"]}]}),
        ("Empty it", "POST", "/emptying", {}),
        ("See how far that is", "GET", "/emptying"),
        ("Delete it", "DELETE", ""),
    ),
    "encryption-keys": _of(
        f"{_P}/encryption-keys",
        ("List them", "GET", ""),
        ("Make one", "POST", "", {"name": "invoices"}),
        ("Rotate one", "POST", "/{key_id}/rotate", {}),
        ("Disable one", "POST", "/{key_id}/disable", {}),
        ("Enable one", "POST", "/{key_id}/enable", {}),
    ),
    "ports": _of(
        f"{_P}/ports",
        ("List them", "GET", ""),
        ("Reserve one", "POST", "", {"network_id": "{network_id}", "name": "database"}),
    ),
    "port": _of(
        f"{_P}/ports/{{id}}",
        ("Show it", "GET", ""),
        ("Cap it", "PATCH", "", {"rate_in_kbps": 10000, "rate_out_kbps": None}),
        ("Let it send from more addresses", "PATCH", "", {"allowed_pairs": [{"ip": "10.20.0.100"}]}),
        ("Put it into groups", "PUT", "/security-groups", {"security_group_ids": ["{group_id}"]}),
        ("Delete", "DELETE", ""),
    ),
    "names": _of(
        f"{_P}/networks/{{id}}/names",
        ("List them", "GET", ""),
        ("Set the domain", "PUT", "", {"dns_domain": "lab.example.org"}),
    ),
    "address-groups": _of(
        f"{_P}/address-groups",
        ("List them", "GET", ""),
        ("Create one", "POST", "", {"name": "offices", "cidrs": ["203.0.113.0/24"]}),
    ),
    "address-group": _of(
        f"{_P}/address-groups/{{id}}",
        ("Show it", "GET", ""),
        ("Change its ranges", "PATCH", "", {"cidrs": ["203.0.113.0/24", "2001:db8::/32"]}),
        ("Delete", "DELETE", ""),
    ),
    "reachability": _of(
        f"{_P}/reachability",
        ("Ask from an instance", "GET", "?from_instance_id={from_instance_id}&to_instance_id={to_instance_id}&protocol=tcp&port=443"),
        ("Ask from outside", "GET", "?to_instance_id={to_instance_id}&protocol=tcp&port=443"),
    ),
    "topology": _of(f"{_P}/topology", ("Show it", "GET", "")),
    "security-groups": _of(
        f"{_P}/security-groups",
        ("List them", "GET", ""),
        ("Create one", "POST", "", {"name": "web", "description": "The web servers"}),
    ),
    "security-group": _of(
        f"{_P}/security-groups/{{id}}",
        ("Show it and its rules", "GET", ""),
        ("Add a rule", "POST", "/rules", {"direction": "ingress", "protocol": "tcp", "port_min": 443, "remote_cidr": "0.0.0.0/0"}),
        ("Remove a rule", "DELETE", "/rules/{rule_id}"),
        ("Rename", "PATCH", "", {"name": "{name}"}),
        ("Delete", "DELETE", ""),
    ),
    "vpn": _of(
        f"{_P}/vpn-peers",
        ("List them", "GET", ""),
        ("Give access", "POST", "", {"name": "ada-laptop", "network_id": "{network_id}"}),
        ("Show one", "GET", "/{vpn_peer_id}"),
        ("Revoke one", "DELETE", "/{vpn_peer_id}"),
    ),
    "snippets": _of(
        f"{_P}/snippets",
        ("List them", "GET", ""),
        ("List those of the box", "GET", "/shipped"),
        ("Keep one", "POST", "", {"name": "web", "content": "#cloud-config\npackages: [nginx]\n"}),
    ),
    "snippet": _of(
        f"{_P}/snippets/{{id}}",
        ("Show it", "GET", ""),
        ("Change it", "PATCH", "", {"name": "{name}", "description": "Our web servers"}),
        ("Delete", "DELETE", ""),
    ),
    "keypairs": _of(
        f"{_P}/keypairs",
        ("List them", "GET", ""),
        ("Make one here", "POST", "", {"name": "laptop", "kind": "ed25519"}),
        ("Bring a public key", "POST", "/import", {"name": "laptop", "public_key": "{public_key}"}),
    ),
    "keypair": _of(f"{_P}/keypairs/{{id}}", ("Show it", "GET", ""), ("Delete", "DELETE", "")),
    "credentials": _of(
        _P,
        ("List my tokens", "GET", "/tokens"),
        ("Create a token", "POST", "/tokens", {"name": "deploy", "role": "member", "days": 90}),
        ("Revoke a token", "DELETE", "/tokens/{token_id}"),
        ("List my access keys", "GET", "/access-keys"),
        ("Create an access key", "POST", "/access-keys", {"name": "backups"}),
        ("Delete an access key", "DELETE", "/access-keys/{access_key_id}"),
    ),
    "members": _of(
        f"{_P}/members",
        ("List them", "GET", ""),
        ("Add one", "POST", "", {"email": "ada@example.org", "role": "member"}),
        ("Change a role", "PATCH", "/{user_id}", {"role": "reader"}),
        ("Remove one", "DELETE", "/{user_id}"),
    ),
    "activity": _of(f"{_P}/activity", ("List these", "GET", "{query}")),
    "settings": _of(
        _P,
        ("Show the project", "GET", ""),
        ("Rename or describe it", "PATCH", "", {"name": "{name}", "description": "{description}"}),
        ("Show its quota", "GET", "/quotas"),
    ),
    "admin-hosts": _of("/admin/hosts", ("List them", "GET", "")),
    "admin-health": _of("/admin/health", ("Check every part", "GET", "")),
    "admin-instances": _of(_ALL_I, ("List these", "GET", "{query}"))
    + _of(_I, ("Stop one", "POST", "/{id}/stop", {}), ("Delete one", "DELETE", "/{id}")),
    "admin-flavors": _of(
        "/admin/flavors",
        ("List them", "GET", ""),
        ("Create one", "POST", "", {"name": "m1.small", "vcpus": 1, "memory_mib": 2048, "disk_gib": 20}),
        ("Retire one", "POST", "/{flavor_id}/retire", {}),
        ("Restore one", "POST", "/{flavor_id}/restore", {}),
    ),
    "admin-volume-types": _of(
        "/admin/volume-types",
        ("List them", "GET", ""),
        ("Create one", "POST", "", {"name": "economy", "iops_max": 300, "mib_per_second_max": 60}),
        ("Change one", "PATCH", "/{type_id}", {"price_micros": 50000}),
        ("Retire one", "POST", "/{type_id}/retire", {}),
        ("Restore one", "POST", "/{type_id}/restore", {}),
    ),
    "admin-image-catalogue": _of(
        "/admin/image-catalogue",
        ("List the entries", "GET", ""),
        (
            "Add one",
            "POST",
            "",
            {"name": "Debian", "version": "12.1", "url": _DEBIAN, "checksum": "0" * 64},
        ),
        ("Fetch one", "POST", "/{entry_id}/fetch", {}),
        ("Change one", "PATCH", "/{entry_id}", {"description": "For servers"}),
        ("Delete one", "DELETE", "/{entry_id}"),
    ),
    "admin-images": _of("/admin/images", ("List them", "GET", ""))
    + _of(
        f"{_P}/images",
        ("Deactivate one", "POST", "/{image_id}/deactivate", {}),
        ("Reactivate one", "POST", "/{image_id}/reactivate", {}),
        ("Delete one", "DELETE", "/{image_id}"),
    ),
    "admin-store": _of("/admin", ("List all buckets", "GET", "/buckets"), ("Check every part of the box", "GET", "/health"))
    + _of("/admin/projects/{slug}", ("Set the quota of a project", "PATCH", "/quotas", {"object_gib": 500, "buckets": 50})),
    "admin-buckets": _of("/admin/buckets", ("List these", "GET", "{query}")),
    "admin-projects": _of(
        "/admin/projects",
        ("List them", "GET", "{query}"),
        ("Create one", "POST", "", {"name": "Web shop", "owner_email": "ada@example.org"}),
    ),
    "admin-project": _of(
        "/admin/projects/{slug}",
        ("Suspend", "POST", "/suspend", {}),
        ("Resume", "POST", "/resume", {}),
        ("Set its quota", "PATCH", "/quotas", {"instances": 20, "vcpus": 40}),
    )
    + _of(
        "/projects/{slug}",
        ("Show it", "GET", ""),
        ("List its members", "GET", "/members"),
        ("Add a member", "POST", "/members", {"email": "ada@example.org", "role": "member"}),
    ),
    "admin-users": _of("/admin/users", ("List them", "GET", "{query}"), ("Create one", "POST", "", {"email": "ada@example.org"})),
    "admin-user": _of(
        "/admin/users/{id}",
        ("Show it", "GET", ""),
        ("Suspend", "POST", "/suspend", {}),
        ("Resume", "POST", "/resume", {}),
        ("Set a new password", "POST", "/password", {}),
    ),
    "admin-audit": _of("/admin/audit", ("List these", "GET", "{query}"), ("Verify the chain", "GET", "/chain")),
}


class _Values(dict[str, str]):
    """The values of a page; what it does not know is its name in capitals."""

    def __missing__(self, name: str) -> str:
        return "" if name == "query" else name.upper()


def of_page(request: HttpRequest, ctx: Context, key: str, **values: object) -> Iterator[tuple[str, str, str]]:
    """(title, curl, openstack) of everything that the page does; the last is empty where OpenStack's client has no word for it."""
    known = _Values({name: str(value) for name, value in values.items()})
    if ctx.project is not None:
        known.setdefault("project", ctx.project.slug)
    for each in TABLE[key]:
        path = each.path.format_map(known)
        body = None if each.body is None else {name: _filled(value, known) for name, value in each.body.items()}
        other = OPENSTACK.get(key, {}).get(each.title, "")
        yield each.title, _curl(_origin(request) + API + path, body, method=each.method), openstack(other, known) if other else ""


def openstack(text: str, known: Mapping[str, str]) -> str:
    """The command with the page's values in it, each as one word of the shell."""
    return "openstack " + text.format_map(_Values({name: shlex.quote(value) for name, value in known.items()}))


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(each, known) for each in value]
    return value.format_map(known) if isinstance(value, str) else value


def curl(request: HttpRequest, ctx: Context, rest: str, body: Mapping[str, Any] | None = None, *, method: str = "") -> str:
    """A command that works when CLOUDBOX_TOKEN holds an API token of the project."""
    where = f"{_origin(request)}{API}/projects/{ctx.needed_project.slug}/{rest}"
    return _curl(where, body, method=method or ("GET" if body is None else "POST"))


def _origin(request: HttpRequest) -> str:
    return f"{request.scheme}://{request.get_host()}"


def _curl(url: str, body: Mapping[str, Any] | None, *, method: str) -> str:
    """`curl` itself takes GET without a body and POST with one; every other method is said."""
    said = "" if method == ("GET" if body is None else "POST") else f"-X {method} "
    where = shlex.quote(url) if any(letter in url for letter in "?&'") else url
    lines = [f"curl {said}{where}", '-H "Authorization: Bearer $CLOUDBOX_TOKEN"']
    if body is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(dict(body), ensure_ascii=False))}"]
    return " \\\n  ".join(lines)


def query_of(filters: Mapping[str, str]) -> str:
    """`?name=value&…` of the filters that are on, as a URL has it; empty when none is."""
    on = [f"{quote(name)}={quote(value)}" for name, value in filters.items() if value]
    return "?" + "&".join(on) if on else ""
