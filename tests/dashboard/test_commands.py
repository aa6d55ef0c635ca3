"""What pages say as commands: each is a request of the REST API that exists, takes that body, and does what its title says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client

from dashboard import commands
from tests.operations import ids_of, operations
from tests.world import World

Browse = Callable[..., Client]
# Page of the table -> where it is shown. `{noun}` is the id of a thing of the world.
PAGES = {
    "instances": "/p/shop/instances",
    "instance": "/p/shop/instances/{instances}",
    "server-groups": "/p/shop/server-groups",
    "images": "/p/shop/images",
    "image": "/p/shop/images/{images}",
    "volumes": "/p/shop/volumes",
    "volume": "/p/shop/volumes/{volumes}",
    "backups": "/p/shop/backups",
    "backup": "/p/shop/backups/{backups}",
    "backup-vaults": "/p/shop/backup-vaults",
    "backup-vault": "/p/shop/backup-vaults/{backup-vaults}",
    "backup-schedules": "/p/shop/backup-schedules",
    "backup-schedule": "/p/shop/backup-schedules/{backup-schedules}",
    "buckets": "/p/shop/buckets",
    "bucket": "/p/shop/buckets/{buckets}/overview",
    "encryption-keys": "/p/shop/encryption-keys",
    "networks": "/p/shop/networks",
    "network": "/p/shop/networks/{networks}",
    "ports": "/p/shop/ports",
    "port": "/p/shop/ports/{ports}",
    "names": "/p/shop/networks/{networks}/names",
    "topology": "/p/shop/topology",
    "reachability": "/p/shop/reachability",
    "address-groups": "/p/shop/address-groups",
    "address-group": "/p/shop/address-groups/{address-groups}",
    "load-balancers": "/p/shop/load-balancers",
    "load-balancer": "/p/shop/load-balancers/{load-balancers}",
    "security-groups": "/p/shop/security-groups",
    "security-group": "/p/shop/security-groups/{security-groups}",
    "vpn": "/p/shop/vpn",
    "snippets": "/p/shop/snippets",
    "snippet": "/p/shop/snippets/{snippets}",
    "keypairs": "/p/shop/keypairs",
    "keypair": "/p/shop/keypairs/{keypairs}",
    "credentials": "/p/shop/credentials",
    "members": "/p/shop/members",
    "activity": "/p/shop/activity",
    "settings": "/p/shop/settings",
    "snapshots": "/p/shop/snapshots",
    "routers": "/p/shop/routers",
    "router": "/p/shop/routers/{routers}",
    "floating-ips": "/p/shop/floating-ips",
    "floating-ip": "/p/shop/floating-ips/{floating-ips}",
    "admin-external-networks": "/admin/external-networks",
    "admin-volume-types": "/admin/volume-types",
    "admin-hosts": "/admin/hosts",
    "admin-health": "/admin/health",
    "admin-instances": "/admin/instances",
    "admin-flavors": "/admin/flavors",
    "admin-images": "/admin/images",
    "admin-image-catalogue": "/admin/images/catalogue",
    "admin-store": "/admin/store",
    "admin-buckets": "/admin/buckets",
    "admin-projects": "/admin/projects",
    "admin-project": "/admin/projects/shop",
    "admin-users": "/admin/users",
    "admin-user": "/admin/users/{users}",
    "admin-audit": "/admin/audit",
}
# What a page cannot know, and a person fills in.
FILLS = {
    "ID": "instances",
    "NAME": "buckets",
    "KEY_ID": "encryption-keys",
    "INSTANCE_ID": "instances",
    "IMAGE_ID": "images",
    "FLAVOR_ID": "flavors",
    "RULE_ID": "rules",
    "VAULT_ID": "backup-vaults",
    "VOLUME_ID": "volumes",
    "NETWORK_ID": "networks",
    "SNAPSHOT_ID": "snapshots",
    "INSTANCE_SNAPSHOT_ID": "instance-snapshots",
    "ENTRY_ID": "image-catalogue",
    "OTHER_PROJECT_ID": "instances",  # of no project: the image of these tests cannot be shared anyway
    "TYPE_ID": "volume-types",
    "PORT_ID": "ports",
    "FLOATING_IP_ID": "floating-ips",
    "EXTERNAL_ID": "external-networks",
    "EXTERNAL_NETWORK_ID": "external-networks",
    "GROUP_ID": "security-groups",
    "FROM_INSTANCE_ID": "instances",
    "TO_INSTANCE_ID": "instances",
    "TOKEN_ID": "tokens",
    "VPN_PEER_ID": "vpn-peers",
    "ACCESS_KEY_ID": "access-keys",
    "USER_ID": "members",
}
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9b1yAE7Ae1Wi1pY9H9dIRK0Y5BtVg2YdB8SF2gKXpW me@laptop"


def _shown(html: str) -> list[tuple[str, str]]:
    found = re.findall(r'<pre id="command-\d+"[^>]*aria-label="(.*?), as a command">(.*?)</pre>', html, re.S)
    return [(title, unescape(text)) for title, text in found]


def _parsed(command: str, ids: dict[str, str]) -> tuple[str, str, Any]:
    """Method, path and body, as curl understands them."""
    for name, noun in sorted(FILLS.items(), key=lambda one: -len(one[0])):
        command = re.sub(rf"\b{name}\b", ids[noun], command)
    words = shlex.split(command.replace("PUBLIC_KEY", PUBLIC_KEY).replace("PROJECT", "shop"))
    assert words[0] == "curl"
    assert "Authorization: Bearer $CLOUDBOX_TOKEN" in words
    body = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
    method = words[words.index("-X") + 1] if "-X" in words else "GET" if body is None else "POST"
    url = next(word for word in words if word.startswith("http"))
    return method, re.sub(r"^http://[^/]+", "", url), body


def test_every_page_of_the_table_is_looked_at() -> None:
    assert set(commands.TABLE) - {"overview"} == set(PAGES)


@pytest.mark.parametrize("key", PAGES)
def test_a_page_says_what_it_does(key: str, browse: Browse, world: World) -> None:
    """The page is fetched, its commands are read out of it, and each is sent as curl would: nothing is misunderstood or not there."""
    ids = ids_of(world)
    answer = browse("admin").get(PAGES[key].format_map(ids))
    assert answer.status_code == 200
    shown = _shown(answer.content.decode())
    assert [title for title, _ in shown] == [each.title for each in commands.TABLE[key]]
    known = {(one.method.upper(), re.sub(r"\{\w+\}", "*", one.path)) for one in operations()}
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {world.token('admin', reaches_box=True)}"})
    for title, command in shown:
        method, path, body = _parsed(command, ids)
        told = client.generic(method, path, "" if body is None else json.dumps(body), content_type="application/json")
        # Deleting what is in use, or a thing that an earlier command changed, is a conflict: understood, and said.
        # A log is the worker's, and no worker runs here.
        assert told.status_code < 400 or told.status_code in (404, 409, 503), (title, path, told.content)
        if told.status_code == 404:  # it is gone by a command before it; the address is one of the API all the same
            assert any(
                re.fullmatch(each.replace("*", "[^/]+"), path.partition("?")[0]) for each_method, each in known if each_method == method
            ), title


def test_values_cannot_leave_their_quotes(browse: Browse, world: World) -> None:
    """A name is text of the command's body, whatever it holds."""
    from compute import networks

    ids = ids_of(world)
    evil = 'it\'s $(reboot) `x` {id} "q" <b>'
    network = networks.create(world.ctx("owner"), name=evil)
    page = browse("owner").get(f"/p/shop/networks/{network.id}").content.decode()
    assert "<b> " not in page
    assert "<b>\n" not in page
    rename = dict(_shown(page))["Rename"]
    assert _parsed(rename, ids)[2] == {"name": evil}


def test_a_filtered_list_says_its_filter(browse: Browse) -> None:
    page = browse("admin").get("/p/shop/instances?q=a%26b&state=running&tag=env:prod").content.decode()
    assert "/instances?q=a%26b&status=running&tag=env%3Aprod&sort=name'" in dict(_shown(page))["List these"]
