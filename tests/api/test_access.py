"""Tokens and browser sessions: whose project, which role, CSRF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client

from cloudbox.common.models import Event
from identity import credentials, projects, users
from identity.models import ApiToken
from tests.world import World

Speak = Callable[..., Any]
Browser = Callable[..., Client]


def test_a_token_knows_its_project_only(world: World, speak: Speak) -> None:
    api = speak("member")
    me = api.get("/api/v1/me").json()
    assert (me["project"], me["role"], me["box_role"]) == ("shop", "member", "")
    projects.add_member(world.ctx("stranger", world.other), email="member@example.org", role="admin")
    assert api.get("/api/v1/projects/elsewhere/instances").status_code == 404
    assert api.get("/api/v1/projects/nowhere/instances").json()["detail"] == "There is no project nowhere."


def test_a_token_ends_with_its_reasons(world: World, speak: Speak) -> None:
    """Revoked, expired, user suspended, member removed: 401 at once, each with its sentence."""
    api = speak("member")
    users.suspend(world.box(), world.users["member"])
    assert api.get("/quotas").status_code == 401
    users.resume(world.box(), world.users["member"])
    assert api.get("/quotas").status_code == 200
    ApiToken.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert "expired" in api.get("/quotas").json()["detail"]
    ApiToken.objects.update(expires_at=None)
    projects.remove_member(world.ctx("owner"), world.users["member"].id)
    assert "left the project" in api.get("/quotas").json()["detail"]


def test_a_token_may_reach_the_box(world: World) -> None:
    """Made so by somebody with a role on the box, it acts with that role, in every project; and never with more than the user has today."""

    def client(token: str) -> Client:
        return Client(headers={"Authorization": f"Bearer {token}"})

    admin = client(world.token("admin", reaches_box=True))
    assert admin.get("/api/v1/admin/hosts").status_code == 200
    assert admin.get("/api/v1/projects/elsewhere/instances").status_code == 200
    assert admin.get("/api/v1/projects/nowhere/instances").status_code == 404
    assert admin.post("/api/v1/admin/projects/elsewhere/suspend", "{}", content_type="application/json").status_code == 202
    assert Event.objects.filter(verb="suspend", noun="project", api="rest").get().request_id
    world.users["admin"].box_role = ""
    world.users["admin"].save()
    projects.add_member(world.ctx("owner"), email="admin@example.org", role="reader")
    assert admin.get("/api/v1/admin/hosts").status_code == 403
    assert admin.get("/api/v1/projects/elsewhere/instances").status_code == 404


def test_only_a_role_on_the_box_makes_a_token_that_reaches_it(world: World, speak: Speak) -> None:
    """Neither a tenant nor a token without that reach: the refusal is written down."""
    body = {"name": "more", "role": "reader", "reaches_box": True}
    for api in (speak("owner"), speak("admin")):
        answer = api.post("/tokens", body)
        assert (answer.status_code, answer.json()["field"]) == (403, "reaches_box")
    assert not ApiToken.objects.filter(reaches_box=True).exists()
    assert Event.objects.filter(outcome="refused", noun="credentials").count() == 2


def test_a_token_of_an_administrator_is_no_administrator(world: World, speak: Speak) -> None:
    api = speak("admin")
    assert api.get("/quotas").status_code == 200
    assert api.get("/api/v1/admin/hosts").status_code == 403


def test_a_small_token_makes_no_larger_credential(world: World) -> None:
    """A reader's token of a project admin cannot make an admin token or an access key; the refusal is in the audit log."""
    from tests.api.conftest import Api

    api = Api(credentials.create_token(world.ctx("owner"), name="small", role="reader")[1], "shop")
    for address, body in (("/tokens", {"name": "big", "role": "admin"}), ("/access-keys", {"name": "big"})):
        answer = api.post(address, body)
        assert answer.status_code == 403, answer.content
    assert api.post("/tokens", {"name": "same", "role": "reader"}).status_code == 201
    assert Event.objects.filter(noun="credentials", outcome="refused").count() == 2


def test_a_browser_needs_its_csrf_token(world: World, browser: Browser) -> None:
    client = browser("member", csrf=True)
    address, body = "/api/v1/projects/shop/networks", {"name": "second"}
    refused = client.post(address, body, content_type="application/json")
    assert refused.status_code == 403
    assert "X-CSRFToken" in refused.json()["detail"]
    assert client.get("/api/v1/projects/shop/networks").status_code == 200
    client.cookies[f"{_csrf_name()}"] = "a" * 32
    assert client.post(address, body, content_type="application/json", headers={"X-CSRFToken": "a" * 32}).status_code == 201


def _csrf_name() -> str:
    from django.conf import settings

    return settings.CSRF_COOKIE_NAME


def test_a_browser_sees_its_projects(world: World, browser: Browser) -> None:
    assert [row["slug"] for row in browser("member").get("/api/v1/projects").json()["items"]] == ["shop"]
    assert browser("stranger").get("/api/v1/projects/shop/instances").status_code == 404
    assert browser("support").get("/api/v1/projects/shop/instances").status_code == 200
    refused = browser("support").post("/api/v1/projects/shop/networks", {"name": "x"}, content_type="application/json")
    assert refused.json()["detail"] == "Your role may look only."
    assert browser("reader").get("/api/v1/flavors").json()["items"][0]["name"] == "m1.tiny"


def test_a_suspended_project_can_be_looked_at(world: World, browser: Browser, speak: Speak) -> None:
    admin = browser("admin")
    assert admin.post("/api/v1/admin/projects/shop/suspend", content_type="application/json").json()["status"] == "suspended"
    api = speak("member")
    assert api.get("/instances").status_code == 200
    assert "suspended" in api.post("/networks", {"name": "x"}).json()["detail"]
    admin.post("/api/v1/admin/projects/shop/resume", content_type="application/json")
    assert api.post("/networks", {"name": "x"}).status_code == 201
