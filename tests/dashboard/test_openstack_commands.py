"""What pages say as commands of `openstack`: the real client's parser takes each, and the page shows it beside its curl."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import cache
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest
from cliff.commandmanager import CommandManager
from django.test import Client

from dashboard import commands
from dashboard.openstack_commands import OPENSTACK
from tests.dashboard.test_commands import PAGES
from tests.operations import ids_of
from tests.world import World

Browse = Callable[..., Client]
GROUPS = ("common", "compute.v2", "identity.v3", "image.v2", "network.v2", "object_store.v1", "volume.v3")
# Of the client itself, before its command.
GLOBAL = {"--os-volume-api-version"}


@cache
def _manager() -> CommandManager:
    found = CommandManager("openstack.cli")
    for group in GROUPS:
        found.add_command_group(f"openstack.{group}")
    return found


def parse(words: list[str]) -> Any:
    """As the client does, up to where it would send something; what it does not take ends it (SystemExit)."""
    while words[0] in GLOBAL:
        words = words[2:]
    make, name, rest = _manager().find_command(words)
    clients = SimpleNamespace(is_network_endpoint_enabled=lambda: True, is_volume_endpoint_enabled=lambda *_: True)
    app = SimpleNamespace(client_manager=clients, options=SimpleNamespace(), command_manager=_manager(), stdout=None, stderr=None)
    return make(app, None, cmd_name=name).get_parser(name).parse_args(rest)


@pytest.mark.parametrize("key", OPENSTACK)
def test_the_client_takes_each(key: str) -> None:
    """Every line belongs to a request of the page's table, and is a command of the client with arguments that it has."""
    titles = [each.title for each in commands.TABLE[key]]
    for title, text in OPENSTACK[key].items():
        assert titles.count(title) == 1, title
        words = shlex.split(commands.openstack(text, {"id": "some-id", "name": "it's"}))
        assert words[0] == "openstack"
        assert not [word for word in words if "{" in word]
        parse(words[1:])


def test_the_parser_is_the_real_one() -> None:
    """What is no command, or no option of one, does not pass the test above."""
    with pytest.raises(ValueError, match="Unknown command"):
        parse(["server", "frobnicate", "x"])
    with pytest.raises(SystemExit):
        parse(["server", "start", "--no-such-option", "x"])
    with pytest.raises(SystemExit):
        parse(["server", "start"])


def test_pages_show_them(browse: Browse, world: World) -> None:
    """Below the curl of the same title, with the page's values, quoted; a request that OpenStack lacks has its curl alone."""
    from compute import networks

    ids = ids_of(world)
    row = networks.create(world.ctx("owner"), name="it's $(reboot)")
    page = browse("owner").get(f"/p/shop/networks/{row.id}").content.decode()
    found = re.findall(r'<pre id="openstack-\d+"[^>]*aria-label="(.*?), with openstack">(.*?)</pre>', page, re.S)
    shown = {title: unescape(text) for title, text in found}
    assert list(shown) == list(OPENSTACK["network"])
    assert parse(shlex.split(shown["Rename"])[1:]).name == "it's $(reboot)"
    assert shown["Show it"] == f"openstack network show {row.id}"
    assert 'id="openstack-' not in browse("owner").get(PAGES["address-groups"].format_map(ids)).content.decode()
