"""Users, projects, domains, roles and credentials, as an administrator's client makes them."""

from __future__ import annotations

import base64
import hmac
import json
from uuid import uuid4

import pytest

from cloudbox.common import errors as meanings
from cloudbox.common.errors import CloudError
from cloudbox.common.models import Event
from identity import credentials, roles
from identity.api.keystone import errors
from identity.models import Project, User
from tests.identity.keystone.conftest import PASSWORD, Keystone
from tests.world import World


def test_users(keystone: Keystone, world: World) -> None:
    made = keystone.ok("admin", "POST", "users", {"user": {"name": "tester", "password": "a horse of mine 1", "description": "of tests"}})[
        "user"
    ]
    assert made["name"] == "tester"
    assert made["email"].endswith("@users.invalid")
    assert made["domain_id"] == "default"
    assert keystone.sign_in("", name="tester", password="a horse of mine 1").status_code == 201
    assert keystone.sign_in("", name="TESTER", password="a horse of mine 1").status_code == 201
    again = keystone.call("admin", "POST", "users", {"user": {"name": "Tester", "password": "a horse of mine 1"}})
    assert again.status_code == 409
    taken = keystone.call("admin", "POST", "users", {"user": {"name": "member@example.org"}})
    assert taken.status_code == 409
    by_mail = keystone.ok("admin", "POST", "users", {"user": {"name": "ann", "email": "ann@example.org", "password": "a horse of mine 1"}})[
        "user"
    ]
    assert by_mail["name"] == "ann"
    assert keystone.sign_in("ann", password="a horse of mine 1").status_code == 201
    assert [row["name"] for row in keystone.ok("admin", "GET", "users?name=ann")["users"]] == ["ann"]
    path = f"users/{made['id']}"
    assert keystone.ok("admin", "PATCH", path, {"user": {"name": "robot", "enabled": False}})["user"]["enabled"] is False
    assert keystone.sign_in("", name="robot", password="a horse of mine 1").status_code == 401
    keystone.ok("admin", "PATCH", path, {"user": {"enabled": True, "password": "a horse of mine 2"}})
    assert keystone.sign_in("", name="robot", password="a horse of mine 2").status_code == 201
    for wrong in ({"name": ""}, {}, {"name": 5}, {"name": "x", "password": "short"}, {"name": "x", "email": "none"}, {"name": "a\nb"}):
        assert keystone.call("admin", "POST", "users", {"user": wrong}).status_code == 400, wrong
    assert keystone.call("admin", "POST", "users", {"user": {"name": "x", "domain_id": "nowhere"}}).status_code == 404
    assert keystone.call("admin", "DELETE", f"users/{world.users['admin'].id.hex}").status_code == 409
    assert keystone.call("admin", "DELETE", path).status_code == 204
    assert keystone.call("admin", "GET", path).status_code == 404
    assert keystone.call("member", "GET", f"users/{uuid4().hex}").status_code == 403
    assert not User.objects.filter(login="robot").exists()
    assert {"create", "update", "suspend", "resume", "reset-password", "delete"} <= set(
        Event.objects.filter(api="keystone", noun="user").values_list("verb", flat=True)
    )


def test_projects(keystone: Keystone, world: World) -> None:
    made = keystone.ok("admin", "POST", "projects", {"project": {"name": "Shop 2", "description": "x"}})["project"]
    assert made["enabled"] is True
    # Names that make the same short name live beside each other.
    other = keystone.ok("admin", "POST", "projects", {"project": {"name": "shop-2"}})["project"]
    assert Project.objects.get(id=other["id"]).slug.startswith("shop-2-")
    assert keystone.call("admin", "POST", "projects", {"project": {"name": "Shop 2"}}).status_code == 409
    path = f"projects/{made['id']}"
    assert keystone.ok("admin", "PATCH", path, {"project": {"name": "Store", "enabled": False}})["project"] == made | {
        "name": "Store",
        "enabled": False,
    }
    assert [row["id"] for row in keystone.ok("admin", "GET", "projects?enabled=false")["projects"]] == [made["id"]]
    assert [row["name"] for row in keystone.ok("admin", "GET", "projects?name=store")["projects"]] == ["Store"]
    assert keystone.call("admin", "DELETE", path).status_code == 204
    assert keystone.call("admin", "GET", path).status_code == 404
    assert keystone.ok("admin", "POST", "projects", {"project": {"name": "Store"}})["project"]["id"] != made["id"]
    full = keystone.call("admin", "DELETE", f"projects/{world.project.id.hex}")
    assert full.status_code == 409
    assert "1 networks" in full.json()["error"]["message"]
    assert keystone.ok("reader", "GET", f"projects/{world.project.id.hex}")["project"]["name"] == "Shop"
    assert keystone.call("stranger", "GET", f"projects/{world.project.id.hex}").status_code == 403


def test_pages(keystone: Keystone, world: World) -> None:
    """By marker and limit, everything comes once."""
    for number in range(5):
        keystone.ok("admin", "POST", "projects", {"project": {"name": f"p{number}"}})
    seen, path = [], "projects?limit=3"
    while path:
        body = keystone.ok("admin", "GET", path)
        seen += [row["name"] for row in body["projects"]]
        path = (body["links"]["next"] or "").partition("/identity/v3/")[2]
    assert seen == ["Elsewhere", "Shop", "p0", "p1", "p2", "p3", "p4"]
    for wrong in ("limit=0", "limit=x", f"marker={uuid4().hex}", "marker=x"):
        assert keystone.call("admin", "GET", f"projects?{wrong}").status_code == 400


def test_domains(keystone: Keystone) -> None:
    made = keystone.ok("admin", "POST", "domains", {"domain": {"name": "partners"}})["domain"]
    path = f"domains/{made['id']}"
    user = keystone.ok("admin", "POST", "users", {"user": {"name": "member@example.net", "domain_id": made["id"], "password": PASSWORD}})[
        "user"
    ]
    keystone.ok("admin", "POST", "users", {"user": {"name": "tester", "domain_id": made["id"]}})
    keystone.ok("admin", "POST", "users", {"user": {"name": "tester"}})
    project = keystone.ok("admin", "POST", "projects", {"project": {"name": "Shop", "domain_id": made["id"]}})["project"]
    keystone.ok("admin", "PUT", f"projects/{project['id']}/users/{user['id']}/roles/{roles.own('member').id.hex}")
    scope = {"project": {"name": "Shop", "domain": {"name": "partners"}}}
    signed = keystone.sign_in("", scope, name="member@example.net", domain={"name": "Partners"})
    assert signed.json()["token"]["project"]["domain"] == {"id": made["id"], "name": "partners"}
    assert keystone.sign_in("", name="member@example.net", domain={"id": "default"}).status_code == 401
    assert len(keystone.ok("admin", "GET", f"users?domain_id={made['id']}")["users"]) == 2
    assert keystone.call("admin", "PATCH", path, {"domain": {"enabled": False}}).status_code == 409
    assert keystone.call("admin", "DELETE", path).status_code == 409
    for row in keystone.ok("admin", "GET", f"users?domain_id={made['id']}")["users"]:
        keystone.ok("admin", "DELETE", f"users/{row['id']}")
    keystone.ok("admin", "PATCH", path, {"domain": {"enabled": False, "name": "former"}})
    assert keystone.call("admin", "DELETE", path).status_code == 409
    keystone.ok("admin", "DELETE", f"projects/{project['id']}")
    keystone.ok("admin", "DELETE", path)
    assert keystone.call("admin", "GET", path).status_code == 404
    assert keystone.ok("admin", "GET", "domains?name=Default")["domains"][0]["id"] == "default"
    for change in ({"name": "x"}, {"enabled": False}):
        assert keystone.call("admin", "PATCH", "domains/default", {"domain": change}).status_code == 409
    assert keystone.call("admin", "POST", "domains", {"domain": {"name": "DEFAULT"}}).status_code == 409
    assert keystone.ok("member", "GET", "domains/default")["domain"]["name"] == "Default"


def test_grants(keystone: Keystone, world: World) -> None:
    """A member has the greatest role that was granted; what it includes is there as well; roles on the system are roles of the box."""
    project, user = world.project.id.hex, world.users["stranger"].id.hex
    at = {name: f"projects/{project}/users/{user}/roles/{roles.own(name).id.hex}" for name in ("reader", "member", "admin")}
    assert keystone.call("owner", "HEAD", at["reader"]).status_code == 404
    keystone.ok("owner", "PUT", at["member"])
    keystone.ok("owner", "PUT", at["reader"])
    assert keystone.call("owner", "HEAD", at["reader"]).status_code == 204
    listed = keystone.ok("owner", "GET", f"projects/{project}/users/{user}/roles")["roles"]
    assert [row["name"] for row in listed] == ["member"]
    assert keystone.call("owner", "DELETE", at["reader"]).status_code == 404
    keystone.ok("owner", "DELETE", at["member"])
    assert keystone.call("member", "PUT", at["reader"]).status_code == 403
    assert keystone.call("reader", "GET", f"projects/{project}/users/{user}/roles").status_code == 200
    last = f"projects/{project}/users/{world.users['owner'].id.hex}/roles/{roles.own('admin').id.hex}"
    assert keystone.call("owner", "DELETE", last).status_code == 409

    box = {name: f"system/users/{user}/roles/{roles.own(name).id.hex}" for name in ("reader", "member", "admin")}
    assert keystone.call("admin", "PUT", box["member"]).status_code == 403
    keystone.ok("admin", "PUT", box["reader"])
    assert User.objects.get(id=user).box_role == "support"
    keystone.ok("admin", "PUT", f"domains/default/users/{user}/roles/{roles.own('admin').id.hex}")
    assert User.objects.get(id=user).box_role == "admin"
    assert keystone.call("admin", "HEAD", box["reader"]).status_code == 204
    rows = keystone.ok("admin", "GET", f"role_assignments?user.id={user}&include_names=true")["role_assignments"]
    assert [(row["role"]["name"], next(iter(row["scope"]))) for row in rows] == [("admin", "project"), ("admin", "system")]
    effective = keystone.ok("admin", "GET", f"role_assignments?user.id={user}&effective&scope.system=all")["role_assignments"]
    assert len(effective) == 3
    assert keystone.call("admin", "DELETE", box["admin"]).status_code == 204
    assert User.objects.get(id=user).box_role == ""
    own = f"system/users/{world.users['admin'].id.hex}/roles/{roles.own('admin').id.hex}"
    assert keystone.call("admin", "DELETE", own).status_code == 409


def test_custom_roles(keystone: Keystone, world: World) -> None:
    """They open a project to somebody, and nothing in it."""
    made = keystone.ok("admin", "POST", "roles", {"role": {"name": "guest"}})["role"]
    assert keystone.call("admin", "POST", "roles", {"role": {"name": "guest"}}).status_code == 409
    assert keystone.call("admin", "POST", "roles", {"role": {"name": "Admin"}}).status_code == 409
    at = f"projects/{world.project.id.hex}/users/{world.users['stranger'].id.hex}/roles/{made['id']}"
    assert keystone.call("owner", "PUT", at).status_code == 403
    keystone.ok("admin", "PUT", at)
    keystone.ok("admin", "PUT", at)
    signed = keystone.sign_in("stranger", {"project": {"id": world.project.id.hex}})
    assert [role["name"] for role in signed.json()["token"]["roles"]] == ["guest"]
    headers = {"X-Auth-Token": signed["X-Subject-Token"]}
    assert keystone.client.get(f"/identity/v3/role_assignments?scope.project.id={world.project.id.hex}", headers=headers).status_code == 403
    assert keystone.ok("admin", "PATCH", f"roles/{made['id']}", {"role": {"name": "visitor"}})["role"]["name"] == "visitor"
    keystone.ok("admin", "DELETE", f"roles/{made['id']}")
    assert keystone.client.get("/identity/v3/auth/catalog", headers=headers).status_code == 401
    named = keystone.ok("member", "GET", "roles?name=ReselleradMIN")["roles"]
    assert [role["name"] for role in named] == ["ResellerAdmin"]
    for role in (named[0]["id"], roles.own("admin").id.hex):
        assert keystone.call("admin", "DELETE", f"roles/{role}").status_code == 403
    assert len(keystone.ok("admin", "GET", "role_inferences")["role_inferences"]) == 2


def test_ec2_credentials(keystone: Keystone, world: World) -> None:
    path = f"users/{world.users['member'].id.hex}/credentials/OS-EC2"
    made = keystone.ok("member", "POST", path, {"tenant_id": world.project.id.hex})["credential"]
    assert made["tenant_id"] == world.project.id.hex
    assert keystone.ok("member", "GET", path)["credentials"] == [made]
    assert keystone.call("member", "POST", path, {"tenant_id": world.other.id.hex}).status_code == 403
    for who in ("owner", "admin"):
        assert keystone.call(who, "GET", f"{path}/{made['access']}").status_code == 403
    blob = keystone.ok("member", "GET", "credentials?type=ec2")["credentials"][0]
    assert json.loads(blob["blob"]) == {"access": made["access"], "secret": made["secret"]}
    assert keystone.ok("owner", "GET", "credentials")["credentials"] == []
    # A service outside asks whose signature it is: version 2, and 4.
    text = b"GET\n\n\n\n/bucket"
    two = base64.b64encode(hmac.digest(made["secret"].encode(), text, "sha1")).decode()
    shown = {"access": made["access"], "token": base64.urlsafe_b64encode(text).decode(), "signature": two}
    answer = keystone.ok("admin", "POST", "s3tokens", {"credentials": shown})["token"]
    assert answer["user"]["name"] == "member@example.org"
    assert answer["project"]["id"] == world.project.id.hex
    assert keystone.call("admin", "POST", "s3tokens", {"credentials": shown | {"signature": "x"}}).status_code == 401
    assert keystone.call("admin", "POST", "s3tokens", {"credentials": shown | {"access": "CBXNONE"}}).status_code == 401
    assert keystone.call("member", "POST", "s3tokens", {"credentials": shown}).status_code == 403
    assert keystone.call("admin", "POST", "s3tokens", {"credentials": shown | {"token": "%"}}).status_code == 400
    scope = b"20260101/us-east-1/s3/aws4_request"
    text = b"AWS4-HMAC-SHA256\n20260101T000000Z\n" + scope + b"\n" + b"0" * 64
    key = b"AWS4" + made["secret"].encode()
    for part in scope.split(b"/"):
        key = hmac.digest(key, part, "sha256")
    four = {"token": base64.b64encode(text).decode(), "signature": hmac.digest(key, text, "sha256").hex()}
    assert keystone.ok("admin", "POST", "s3tokens", {"credentials": shown | four})["token"]["user"]["name"] == "member@example.org"
    keystone.ok("member", "DELETE", f"{path}/{made['access']}")
    assert keystone.call("admin", "POST", "s3tokens", {"credentials": shown}).status_code == 401
    assert credentials.access_keys(world.users["member"]).count() == 0


def _all(kind: type[CloudError]) -> list[type[CloudError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _all(below))]


@pytest.mark.parametrize("kind", [kind for kind in _all(meanings.CloudError) if kind.__module__ == "cloudbox.common.errors"])
def test_every_meaning_has_an_answer(kind: type[CloudError], rf: object) -> None:
    from django.test import RequestFactory

    answer = errors.render(RequestFactory().get("/identity/v3"), kind("Said plainly."))
    assert 400 <= answer.status_code < 600
    assert json.loads(answer.content)["error"]["message"] == "Said plainly."
