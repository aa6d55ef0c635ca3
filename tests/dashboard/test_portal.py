"""The project's pages beside instances: what they do, what they refuse and keep, and that secrets are told once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compute import keypairs, networks, security_groups
from compute.models import Image, Keypair, Network, SecurityGroup
from identity.models import AccessKey, ApiToken, Membership
from tests.world import World

Browse = Callable[..., Client]
LISTS = ("", "/volumes", "/images", "/networks", "/security-groups", "/keypairs", "/credentials", "/members", "/activity", "/settings")
FORMS = (
    "/volumes/new",
    "/networks/new",
    "/security-groups/new",
    "/keypairs/new",
    "/credentials/tokens/new",
    "/credentials/keys/new",
    "/members/add",
)
QUERIES_MAX = 13
HOSTILE = (
    "",
    " ",
    "a" * 5000,
    "<script>alert(1)</script>",
    "a\x00b",
    "‮gnp",
    "'; DROP TABLE x; --",
    "\ud83d\ude00 ok".encode("utf-16", "surrogatepass").decode("utf-16"),
)


def _said(response: Any) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text).replace("&#x27;", "'").replace("&quot;", '"')


@pytest.mark.parametrize("path", LISTS + FORMS)
def test_members_and_readers_see_it_and_strangers_do_not(browse: Browse, path: str) -> None:
    for who in ("owner", "member", "reader", "support", "admin"):
        assert browse(who).get(f"/p/shop{path}").status_code == 200, who
    assert browse("stranger").get(f"/p/shop{path}").status_code == 404
    response = browse("").get(f"/p/shop{path}")
    assert (response.status_code, response["Location"]) == (302, f"/sign-in?next=/p/shop{path}")


@pytest.mark.parametrize("path", LISTS)
def test_a_page_asks_little_of_the_database(browse: Browse, world: World, path: str) -> None:
    world.running()
    for n in range(4):
        networks.create(world.ctx("owner"), name=f"net-{n}")
        security_groups.create(world.ctx("owner"), name=f"group-{n}")
        keypairs.create(world.ctx("owner"), name=f"key-{n}")
    client = browse("member")
    client.get(f"/p/shop{path}")
    with CaptureQueriesContext(connection) as asked:
        assert client.get(f"/p/shop{path}").status_code == 200
    assert len(asked) <= QUERIES_MAX, [query["sql"][:120] for query in asked]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_or_kept_as_text(browse: Browse, path: str, text: str) -> None:
    fields = ("name", "description", "cidr", "email", "role", "days", "kind", "public_key", "source")
    response = browse("owner").post(f"/p/shop{path}", dict.fromkeys(fields, text))
    assert response.status_code in (200, 302, 400, 403, 404, 409)
    assert "<script>alert" not in response.content.decode()


def test_readers_are_refused_with_the_reason_and_nothing_changes(browse: Browse, world: World) -> None:
    before = Network.objects.count(), SecurityGroup.objects.count(), Keypair.objects.count()
    for path in ("/networks/new", "/security-groups/new", "/keypairs/new"):
        response = browse("reader").post(f"/p/shop{path}", {"name": "mine", "nat": "on", "kind": "ed25519"})
        assert response.status_code == 403
        assert "This needs the role member; yours is reader." in _said(response)
    browse("reader").post(f"/p/shop/networks/{world.network.id}/delete")
    assert before == (Network.objects.count(), SecurityGroup.objects.count(), Keypair.objects.count())


# --- key pairs


def test_a_private_key_is_shown_once(browse: Browse) -> None:
    client = browse("member")
    response = client.post("/p/shop/keypairs/new", {"source": "create", "name": "laptop", "kind": "ed25519"})
    assert "BEGIN OPENSSH PRIVATE KEY" in response.content.decode()
    assert response["Cache-Control"] == "no-store"
    keypair = Keypair.objects.get(name="laptop")
    for path in ("/p/shop/keypairs", f"/p/shop/keypairs/{keypair.id}"):
        assert "PRIVATE KEY" not in client.get(path).content.decode()
    again = client.post("/p/shop/keypairs/new", {"source": "create", "name": "laptop", "kind": "ed25519"})
    assert again.status_code == 409
    assert "There is a key pair laptop in this project." in _said(again)
    assert 'value="laptop"' in again.content.decode()


def test_a_key_is_imported_and_deleted(browse: Browse, world: World) -> None:
    public = keypairs.create(world.ctx("owner"), name="first")[0].public_key
    client = browse("member")
    wrong = client.post("/p/shop/keypairs/new", {"source": "import", "name": "mine", "public_key": "ssh-rsa nonsense"})
    assert wrong.status_code == 400
    assert "That is not a public SSH key." in _said(wrong)
    assert client.post("/p/shop/keypairs/new", {"source": "import", "name": "mine", "public_key": public}).status_code == 302
    mine = Keypair.objects.get(name="mine")
    assert client.post(f"/p/shop/keypairs/{mine.id}/delete").status_code == 302
    assert not Keypair.objects.filter(name="mine").exists()


# --- networks and groups


def test_a_network_comes_is_renamed_and_goes(browse: Browse) -> None:
    client = browse("member")
    refused = client.post("/p/shop/networks/new", {"name": "back", "cidr": "8.8.8.0/24", "nat": "on"})
    assert "Use a private range" in _said(refused)
    assert 'id="f-cidr-e"' in refused.content.decode()
    where = client.post("/p/shop/networks/new", {"name": "back", "cidr": "10.77.0.0/24"})["Location"]
    network = Network.objects.get(name="back")
    assert where.endswith(str(network.id))
    assert not network.nat
    client.post(where, {"name": "rear"})
    assert client.post(f"{where}/delete")["Location"] == "/p/shop/networks"
    assert not Network.objects.filter(id=network.id).exists()


def test_a_network_in_use_says_what_is_in_the_way(browse: Browse, world: World) -> None:
    world.running()
    client, path = browse("member"), f"/p/shop/networks/{world.network.id}"
    assert "1 network card is on private. Delete the instances first." in client.get(path).content.decode()
    assert client.post(f"{path}/delete")["Location"] == path
    assert Network.objects.filter(id=world.network.id).exists()


def test_rules_are_added_and_removed(browse: Browse) -> None:
    client = browse("member")
    path = client.post("/p/shop/security-groups/new", {"name": "web"})["Location"]
    rule = {"direction": "ingress", "protocol": "tcp", "port_min": "443", "remote": "any"}
    assert client.post(path, rule).status_code == 302
    assert "TCP 443" in _said(client.get(path))
    twice = client.post(path, rule)
    assert (twice.status_code, "web has this rule already." in _said(twice)) == (409, True)
    wrong = client.post(path, rule | {"port_min": "70000"})
    assert "Ports are 1 to 65535" in _said(wrong)
    assert "Write a whole number." in _said(client.post(path, rule | {"port_min": "https"}))
    assert "Choose one of the list." in _said(client.post(path, rule | {"port_min": "1", "remote": "group", "remote_group_id": "nonsense"}))
    made = SecurityGroup.objects.get(name="web").rules.get(direction="ingress")
    client.post(f"{path}/rules/{made.id}/remove")
    assert not SecurityGroup.objects.get(name="web").rules.filter(direction="ingress").exists()


def test_the_default_group_stays(browse: Browse) -> None:
    group = SecurityGroup.objects.get(project__slug="shop", is_default=True)
    browse("owner").post(f"/p/shop/security-groups/{group.id}/delete")
    assert SecurityGroup.objects.filter(id=group.id).exists()


# --- images


def test_the_catalogue_is_kept_by_the_box(browse: Browse, world: World) -> None:
    path = f"/p/shop/images/{world.image.id}"
    assert "belongs to the catalogue of the box" in browse("owner").get(path).content.decode()
    for key in ("deactivate", "delete"):
        browse("owner").post(f"{path}/{key}")
    assert Image.objects.get(id=world.image.id).status == "ready"
    assert browse("owner").post(f"{path}/nonsense").status_code == 404
    mine = Image.objects.create(name="ours", status="ready", project=world.project)
    browse("member").post(f"/p/shop/images/{mine.id}/deactivate")
    assert Image.objects.get(id=mine.id).status == "deactivated"
    assert browse("stranger").get(f"/p/elsewhere/images/{mine.id}").status_code == 404


# --- credentials, members, settings


def test_secrets_are_told_once(browse: Browse) -> None:
    client = browse("member")
    token = client.post("/p/shop/credentials/tokens/new", {"name": "deploy", "role": "reader", "days": "30"})
    assert re.search(r"cbx_[0-9a-f]{32}_", token.content.decode())
    assert token["Cache-Control"] == "no-store"
    key = client.post("/p/shop/credentials/keys/new", {"name": "backup"})
    assert "aws_secret_access_key" in key.content.decode()
    page = client.get("/p/shop/credentials").content.decode()
    assert "cbx_" not in page
    assert "deploy" in page
    above = client.post("/p/shop/credentials/tokens/new", {"name": "more", "role": "admin"})
    assert (above.status_code, ApiToken.objects.filter(name="more").exists()) == (403, False)
    client.post(f"/p/shop/credentials/tokens/{ApiToken.objects.get(name='deploy').id}/revoke")
    client.post(f"/p/shop/credentials/keys/{AccessKey.objects.get(name='backup').id}/delete")
    assert not ApiToken.objects.filter(name="deploy").exists()
    assert not AccessKey.objects.filter(name="backup").exists()


def test_an_admin_of_the_project_manages_members(browse: Browse, world: World) -> None:
    owner = browse("owner")
    assert "Nobody here has the e-mail x@y.z." in _said(owner.post("/p/shop/members/add", {"email": "x@y.z", "role": "member"}))
    assert owner.post("/p/shop/members/add", {"email": "stranger@example.org", "role": "reader"}).status_code == 302
    stranger = world.users["stranger"].id
    owner.post(f"/p/shop/members/{stranger}/role", {"role": "member"})
    assert Membership.objects.get(project=world.project, user_id=stranger).role == "member"
    owner.post(f"/p/shop/members/{stranger}/remove")
    owner.post(f"/p/shop/members/{world.users['owner'].id}/remove")  # the last admin stays
    assert {row.role for row in Membership.objects.filter(project=world.project)} == {"admin", "member", "reader"}
    browse("member").post(f"/p/shop/members/{world.users['reader'].id}/remove")
    assert Membership.objects.filter(project=world.project).count() == 3


def test_the_project_is_renamed_by_its_admins(browse: Browse, world: World) -> None:
    assert browse("owner").post("/p/shop/settings", {"name": "Web shop", "description": "All of it"}).status_code == 302
    world.project.refresh_from_db()
    assert world.project.name == "Web shop"
    taken = browse("owner").post("/p/shop/settings", {"name": "Elsewhere"})
    assert "is taken by another project" in _said(taken)
    assert browse("member").post("/p/shop/settings", {"name": "Mine"}).status_code == 403


# --- activity and overview


def test_activity_tells_refusals_and_is_filtered(browse: Browse) -> None:
    browse("reader").post("/p/shop/networks/new", {"name": "mine"})
    page = _said(browse("owner").get("/p/shop/activity"))
    assert "reader was not allowed to change networks" in page
    assert "owner created network private" in page
    assert "owner created" not in _said(browse("owner").get("/p/shop/activity?outcome=refused"))
    assert "Nothing matches." in _said(browse("owner").get("/p/shop/activity?q=no-such-thing"))
    for after in ("nonsense", "9" * 30, "-1"):
        assert browse("owner").get(f"/p/shop/activity?after={after}").status_code == 200


def test_the_overview_says_first_what_needs_a_person(browse: Browse, world: World) -> None:
    one = world.running()
    assert "Needs you" not in _said(browse("member").get("/p/shop"))
    type(one).objects.filter(id=one.id).update(status="error", error="The image's file is gone. Choose another image.")
    page = _said(browse("member").get("/p/shop"))
    assert "Needs you" in page
    assert "web The image's file is gone. Choose another image." in page
