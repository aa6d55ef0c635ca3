"""Every address of Keystone's API, probed as nobody, a stranger, a reader, support and administrators.

The table says the least that may use a method: `open` (anybody), `self` (whoever is signed in, about their own things; what is asked
about here is the owner's, so others are refused), `any` (whoever is signed in), `reader` or `admin` of the project, who is `inside` it,
`look` (support of the box), `box` (administrators).
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from cloudbox.common.models import Event
from identity import credentials, domains, roles
from tests.identity.keystone.conftest import Keystone
from tests.routes import http_routes
from tests.world import World

TABLE = """
identity                                              GET open
identity/                                             GET open
identity/v3                                           GET open
identity/v3/                                          GET open
^identity/.*$                                         GET open
auth/v1.0                                             GET open
auth/v1.0/                                            GET open
identity/v3/auth/tokens                               POST open GET any DELETE any
identity/v3/auth/projects                             GET any
identity/v3/auth/domains                              GET any
identity/v3/auth/catalog                              GET any
identity/v3/auth/system                               GET any
identity/v3/users                                     GET look POST box
identity/v3/users/<str:id>                            GET own PATCH box DELETE box
identity/v3/users/<str:id>/password                   POST open
identity/v3/users/<str:id>/projects                   GET own
identity/v3/users/<str:id>/groups                     GET own
identity/v3/users/<str:user>/application_credentials  GET self POST self
identity/v3/users/<str:user>/application_credentials/<str:id>  GET self DELETE self
identity/v3/users/<str:user>/access_rules             GET self
identity/v3/users/<str:user>/credentials/OS-EC2       GET self POST self
identity/v3/users/<str:user>/credentials/OS-EC2/<str:access>  GET self DELETE self
identity/v3/groups                                    GET look
identity/v3/groups/<str:id>                           GET look
identity/v3/projects                                  GET look POST box
identity/v3/projects/<str:id>                         GET reader PATCH admin DELETE box
identity/v3/projects/<str:id>/tags                    GET reader
identity/v3/projects/<str:project>/users/<str:user>/roles             GET reader
identity/v3/projects/<str:project>/users/<str:user>/roles/<str:role>  GET reader PUT admin DELETE admin
identity/v3/domains                                   GET look POST box
identity/v3/domains/<str:id>                          GET look PATCH box DELETE box
identity/v3/domains/<str:domain>/users/<str:user>/roles             GET own
identity/v3/domains/<str:domain>/users/<str:user>/roles/<str:role>  GET own PUT box DELETE box
identity/v3/system/users/<str:user>/roles             GET own
identity/v3/system/users/<str:user>/roles/<str:role>  GET own PUT box DELETE box
identity/v3/roles                                     GET any POST box
identity/v3/roles/<str:id>                            GET any PATCH box DELETE box
identity/v3/roles/<str:id>/implies                    GET any
identity/v3/role_inferences                           GET look
identity/v3/role_assignments                          GET look
identity/v3/credentials                               GET any POST inside
identity/v3/credentials/<str:id>                      GET self DELETE self
identity/v3/s3tokens                                  POST box
identity/v3/services                                  GET any
identity/v3/services/<str:id>                         GET any
identity/v3/endpoints                                 GET any
identity/v3/endpoints/<str:id>                        GET any
identity/v3/regions                                   GET open
identity/v3/regions/<str:id>                          GET open
identity/v3/limits                                    GET any
identity/v3/limits/model                              GET any
identity/v3/registered_limits                         GET any
"""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Who may what; `own` is the owner's own or who may look at users, `self` the owner alone.
ALLOWED = {
    "any": {"stranger", "reader", "member", "owner", "support", "admin"},
    "reader": {"reader", "member", "owner", "support", "admin"},
    "inside": {"reader", "member", "owner", "admin"},
    "admin": {"owner", "admin"},
    "own": {"owner", "support", "admin"},
    "self": {"owner"},
    "look": {"support", "admin"},
    "box": {"admin"},
}
SIGNED_IN = sorted(ALLOWED["any"])


def _table() -> dict[str, dict[str, str]]:
    rows = {}
    for line in TABLE.strip().splitlines():
        route, *words = line.split()
        rows[route] = dict(zip(words[::2], words[1::2], strict=True))
    return rows


ROUTES = _table()
PROBED = [
    (route, method, least)
    for route, methods in ROUTES.items()
    for method, least in methods.items()
    if "v3/" in route[9:] and route != "identity/v3/"
]


def test_every_route_is_in_the_table() -> None:
    assert {route for route in http_routes() if route.startswith(("identity", "auth/", "^identity"))} == set(ROUTES)


class Probe:
    """Addresses and bodies that would be right, of things that are the owner's."""

    def __init__(self, keystone: Keystone, world: World) -> None:
        self.keystone = keystone
        owner = world.users["owner"]
        self.credential = credentials.create_token(world.ctx("owner"), name="probe")[0]
        self.key = credentials.create_access_key(world.ctx("owner"), name="probe")[0]
        self.role = roles.create(world.box(), name="probe")
        self.domain = domains.create(world.box(), name="probe", is_enabled=False)
        self.owner, self.project = owner, world.project
        self.reader_role = roles.own("member")
        self.member = world.users["member"]

    def path(self, route: str) -> str:
        import hashlib

        text = route.removeprefix("identity/v3/")
        # What is asked about is the owner, who has no role on the box; grants are the member's, so that the owner is not the last admin.
        user = self.member.id.hex if "projects/<str:project>/users" in route else self.owner.id.hex
        role = roles.own("member").id.hex if "projects/" in route else roles.own("reader").id.hex
        ids = {
            "users/<str:id>": f"users/{self.owner.id.hex}",
            "users/<str:user>": f"users/{user}",
            "application_credentials/<str:id>": f"application_credentials/{self.credential.id.hex}",
            "OS-EC2/<str:access>": f"OS-EC2/{self.key.id}",
            "projects/<str:id>": f"projects/{self.project.id.hex}",
            "projects/<str:project>": f"projects/{self.project.id.hex}",
            "domains/<str:id>": f"domains/{self.domain.id.hex}",
            "domains/<str:domain>": "domains/default",
            "roles/<str:id>": f"roles/{self.role.id.hex}",
            "roles/<str:role>": f"roles/{role}",
            "credentials/<str:id>": f"credentials/{hashlib.sha256(self.key.id.encode()).hexdigest()}",
            "groups/<str:id>": f"groups/{self.owner.id.hex}",
        }
        for part, real in ids.items():
            if text.startswith(part) or f"/{part}" in text:
                text = text.replace(part, real, 1)
        return text.replace("services/<str:id>", "services/none").replace("endpoints/<str:id>", "endpoints/none")

    def body(self, route: str) -> Any:
        bodies = {
            "users": {"user": {"name": "new", "password": "a horse of mine 1"}},
            "users/<str:id>": {"user": {"description": "new"}},
            "projects": {"project": {"name": "new"}},
            "projects/<str:id>": {"project": {"description": "new"}},
            "domains": {"domain": {"name": "new"}},
            "domains/<str:id>": {"domain": {"description": "new"}},
            "roles": {"role": {"name": "new"}},
            "roles/<str:id>": {"role": {"description": "new"}},
            "users/<str:user>/application_credentials": {"application_credential": {"name": "new"}},
            "users/<str:user>/credentials/OS-EC2": {},
            "credentials": {"credential": {"type": "ec2", "blob": "{}", "project_id": self.project.id.hex}},
            "s3tokens": {"credentials": {"access": self.key.id, "signature": "x", "token": "eA=="}},
        }
        return bodies.get(route.removeprefix("identity/v3/"))

    def ask(self, who: str, route: str, method: str) -> Any:
        headers = {"X-Subject-Token": self.keystone.token(who)} if route.endswith("auth/tokens") and who else {}
        path = self.path(route) + ("?scope.project.id=" if "assignments" in route else "")
        return self.keystone.call(who, method, path, self.body(route), **headers)


@pytest.fixture
def probe(keystone: Keystone, world: World) -> Probe:
    return Probe(keystone, world)


def _changes() -> int:
    return Event.objects.filter(outcome="ok").exclude(verb="sign-in").count()


def test_nobody(probe: Probe) -> None:
    wrong = []
    for route, method, least in PROBED:
        if least == "open":
            continue
        answer = probe.ask("", route, method)
        if answer.status_code != 401 or answer.json()["error"]["title"] != "Unauthorized":
            wrong.append(f"{method} {route}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("who", SIGNED_IN)
def test_somebody(probe: Probe, who: str) -> None:
    """Who may is understood; who may not is refused with 403, or 404, and changes nothing."""
    wrong = []
    for route, method, least in PROBED:
        if least == "open":
            continue
        before = _changes()
        with transaction.atomic():
            answer = probe.ask(who, route, method)
            changed = _changes() != before
            transaction.set_rollback(True)
        probe.keystone.tokens.pop(who) if method == "DELETE" and "auth/tokens" in route else None
        status = answer.status_code
        may = who in ALLOWED[least]
        fine = status < 300 or (status in (401, 404) and any(word in route for word in ("groups/", "s3tokens", "services/", "endpoints/")))
        # The owner has no role on the box: asking for it finds nothing, and taking it away neither.
        fine = fine or (status == 404 and ("system/users" in route or "domains/<str:domain>" in route))
        # The shop holds a network.
        fine = fine or (status == 409 and method == "DELETE" and route == "identity/v3/projects/<str:id>")
        if may and not fine:
            wrong.append(f"{method} {route}: {status} {answer.content[:120]!r}, should be done")
        if not may and (status not in (403, 404) or changed):
            wrong.append(f"{method} {route}: {status} {answer.content[:120]!r}, should be refused")
    assert not wrong, "\n".join(wrong)


def test_other_methods(probe: Probe) -> None:
    for route, methods in ROUTES.items():
        if "v3/" not in route[9:] or route == "identity/v3/":
            continue
        for method in METHODS:
            if method not in methods:
                before = _changes()
                answer = probe.ask("admin", route, method)
                assert answer.status_code == 405, f"{method} {route}"
                assert set(answer["Allow"].split(", ")) >= set(methods) - {"POST"}
                assert _changes() == before


@pytest.mark.parametrize("bad", ["x", "0" * 31, "9" * 400, "%00", "..%2f", "é", "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e1z"])
def test_malformed_ids(probe: Probe, bad: str) -> None:
    for route, method, least in PROBED:
        if "<str:" not in route or least == "open":
            continue
        path = "/".join(bad if part.startswith("<") else part for part in route.removeprefix("identity/v3/").split("/"))
        answer = probe.keystone.call("admin", method, path, probe.body(route))
        assert answer.status_code in (400, 403, 404), f"{method} {path}: {answer.status_code}"


def test_unknown_addresses(keystone: Keystone) -> None:
    for path in ("/identity/v4", "/identity/v2.0/tokens", "/identity/v3/nothing", "/identity/v3/trusts", "/auth/v2"):
        answer = keystone.client.get(path)
        assert answer.status_code == 404
        if path.startswith("/identity"):
            assert answer.json()["error"]["code"] == 404
    assert keystone.client.get("/identity/v3/users?name=%00").json()["error"]["code"] == 400
