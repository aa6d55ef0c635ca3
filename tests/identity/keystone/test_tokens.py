"""Signing in and out by Keystone's API: every method, every scope, and every way a token ends."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value, yield_hotp_counters_from_time
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudbox.common import clock
from cloudbox.common.models import Event
from identity import credentials, projects, token_format, tokens, users
from identity.token_format import METHODS, Scope, ScopeKind, Token
from tests.identity.keystone.conftest import PASSWORD, Keystone
from tests.world import World

KEY = token_format.key_of(b"a master key of a test")


@given(
    methods=st.lists(st.sampled_from(METHODS), min_size=1, unique=True),
    scope=st.sampled_from(ScopeKind),
    seconds=st.integers(0, 2**34),
    micros=st.integers(0, 999_999),
    credential=st.booleans(),
    rescoped=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_a_token_holds_what_was_put_in(
    methods: list[str], scope: ScopeKind, seconds: int, micros: int, credential: bool, rescoped: bool
) -> None:
    at = dt.datetime(1990, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds, microseconds=micros)
    token = Token(
        user=uuid4(),
        methods=tuple(sorted(methods, key=METHODS.index)),
        scope=Scope(scope, uuid4()),
        issued_at=at,
        expires_at=at + dt.timedelta(hours=1),
        application_credential=uuid4() if credential else None,
        parent_audit_id=token_format.new_audit_id() if rescoped else "",
    )
    text = token_format.seal(token, KEY)
    assert len(text) <= 255
    assert token_format.unseal(text, KEY) == token
    assert token_format.unseal(text, token_format.key_of(b"another box")) is None


@given(st.text(max_size=300))
def test_other_text_is_no_token(text: str) -> None:
    assert token_format.unseal(text, KEY) is None


def test_a_changed_token_is_none(keystone: Keystone) -> None:
    text = keystone.token("member")
    for place in range(0, len(text), 7):
        wrong = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        answer = keystone.client.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": wrong})
        assert answer.status_code == 401


def test_versions(keystone: Keystone) -> None:
    for path, status in (("/identity", 300), ("/identity/", 300), ("/identity/v3", 200), ("/identity/v3/", 200)):
        answer = Client().get(path)
        assert answer.status_code == status
        assert "v3.14" in answer.content.decode()
        assert answer["X-Openstack-Request-Id"].startswith("req-")


def test_password_and_scopes(keystone: Keystone, world: World) -> None:
    answer = keystone.sign_in("member", {"project": {"name": "Shop", "domain": {"name": "default"}}})
    body = answer.json()["token"]
    assert answer.status_code == 201
    assert body["methods"] == ["password"]
    assert body["user"]["name"] == "member@example.org"
    assert body["user"]["domain"] == {"id": "default", "name": "Default"}
    assert body["project"]["id"] == world.project.id.hex
    assert [role["name"] for role in body["roles"]] == ["member", "reader"]
    assert {service["type"] for service in body["catalog"]} == {
        "identity", "compute", "image", "network", "placement", "block-storage", "volumev3", "object-store",
    }  # fmt: skip
    store = next(service for service in body["catalog"] if service["type"] == "object-store")
    assert all(each["url"].endswith(f"/v1/AUTH_{world.project.id.hex}") for each in store["endpoints"])
    assert body["issued_at"].endswith("Z")
    assert len(body["issued_at"]) == len("2026-01-01T00:00:00.000000Z")
    unscoped = keystone.sign_in("member").json()["token"]
    assert not {"project", "roles", "catalog"} & set(unscoped)
    for scope, status in (
        ({"system": {"all": True}}, 401),
        ({"domain": {"id": "default"}}, 401),
        ({"project": {"id": world.other.id.hex}}, 401),
        ({"project": {"id": "nonsense"}}, 401),
        ({"project": {}}, 400),
        ({"galaxy": {}}, 400),
        ({"system": {"all": False}}, 400),
        ("nowhere", 400),
        (["project"], 400),
    ):
        assert keystone.sign_in("member", scope).status_code == status, scope
    for scope in ({"system": {"all": True}}, {"domain": {"name": "Default"}}, {"project": {"id": world.other.id.hex}}):
        roles = [role["name"] for role in keystone.sign_in("admin", scope).json()["token"]["roles"]]
        assert roles == ["admin", "member", "reader"]
        roles = [role["name"] for role in keystone.sign_in("support", scope).json()["token"]["roles"]]
        assert roles == ["reader"]


def test_by_id_and_default_project(keystone: Keystone, world: World) -> None:
    member = world.users["member"]
    users.update(world.box(), member, default_project=world.project)
    user = {"id": member.id.hex, "password": PASSWORD}
    answer = keystone.post({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}})
    assert answer.json()["token"]["project"]["name"] == "Shop"
    answer = keystone.post({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": "unscoped"}})
    assert "project" not in answer.json()["token"]
    world.users["stranger"].refresh_from_db()
    users.update(world.box(), world.users["stranger"], default_project=world.project)
    assert "project" not in keystone.sign_in("stranger").json()["token"]


def test_wrong_passwords_lock_out(keystone: Keystone, world: World) -> None:
    """Five wrong ones, and the right one does not help for a while; for a name that nobody has it looks the same."""
    for who in ("member", "nobody"):
        said = {keystone.sign_in(who, password="wrong").json()["error"]["message"] for _ in range(5)}
        assert said == {"That user, name or password is not right."}
        locked = keystone.sign_in(who)
        assert locked.status_code == 401
        assert "Too many" in locked.json()["error"]["message"]
        assert locked["WWW-Authenticate"].startswith('Keystone uri="http')
    refused = Event.objects.filter(verb="sign-in", outcome="refused", api="keystone")
    assert refused.count() == 10
    # The counter is the portal's too.
    page = Client().post("/sign-in", {"login": "member@example.org", "password": PASSWORD})
    assert "Five tries were wrong" in page.content.decode()
    # Another host name is the same account.
    assert Client().post("/sign-in", {"login": "member@example.org", "password": PASSWORD}, headers={"host": "other"}).status_code == 200
    assert keystone.sign_in("owner").status_code == 201


def test_rescoping(keystone: Keystone, world: World) -> None:
    first = keystone.sign_in("owner")
    body = {
        "auth": {
            "identity": {"methods": ["token"], "token": {"id": first["X-Subject-Token"]}},
            "scope": {"project": {"id": world.project.id.hex}},
        }
    }
    second = keystone.post(body)
    assert second.status_code == 201
    one, two = first.json()["token"], second.json()["token"]
    assert set(two["methods"]) == {"password", "token"}
    assert two["expires_at"] == one["expires_at"]
    assert two["audit_ids"][1] == one["audit_ids"][0]
    # Giving back the first ends what was made with it.
    headers = {"X-Auth-Token": first["X-Subject-Token"], "X-Subject-Token": first["X-Subject-Token"]}
    assert keystone.client.delete("/identity/v3/auth/tokens", headers=headers).status_code == 204
    for text in (first["X-Subject-Token"], second["X-Subject-Token"]):
        assert keystone.client.get("/identity/v3/auth/projects", headers={"X-Auth-Token": text}).status_code == 401
    assert keystone.post(body).status_code == 401


def test_looking_at_tokens(keystone: Keystone) -> None:
    mine = keystone.token("member")
    body = keystone.ok("member", "GET", "auth/tokens", **{"X-Subject-Token": mine})["token"]
    assert body["project"]["name"] == "Shop"
    assert "catalog" not in keystone.ok("member", "GET", "auth/tokens?nocatalog", **{"X-Subject-Token": mine})["token"]
    head = keystone.call("member", "HEAD", "auth/tokens", **{"X-Subject-Token": mine})
    assert (head.status_code, head.content) == (200, b"")
    assert keystone.call("owner", "GET", "auth/tokens", **{"X-Subject-Token": mine}).status_code == 403
    assert keystone.call("owner", "DELETE", "auth/tokens", **{"X-Subject-Token": mine}).status_code == 403
    assert keystone.call("support", "GET", "auth/tokens", **{"X-Subject-Token": mine}).status_code == 200
    assert keystone.call("support", "DELETE", "auth/tokens", **{"X-Subject-Token": mine}).status_code == 403
    assert keystone.call("admin", "DELETE", "auth/tokens", **{"X-Subject-Token": mine}).status_code == 204
    assert keystone.call("admin", "GET", "auth/tokens", **{"X-Subject-Token": mine}).status_code == 404
    assert keystone.call("admin", "GET", "auth/tokens", **{"X-Subject-Token": "x"}).status_code == 404
    assert keystone.call("admin", "GET", "auth/tokens").status_code == 404


def test_what_ends_tokens(keystone: Keystone, world: World) -> None:
    """Suspension, a new password by any door, lost membership, a deleted project, time."""

    def works(text: str) -> bool:
        return bool(keystone.client.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": text}).status_code == 200)

    text = keystone.token("member")
    assert works(text)
    projects.set_role(world.ctx("owner"), world.users["member"].id, "reader")
    body = keystone.ok("member", "GET", "auth/tokens", **{"X-Subject-Token": text})["token"]
    assert [role["name"] for role in body["roles"]] == ["reader"]
    projects.remove_member(world.ctx("owner"), world.users["member"].id)
    assert not works(text)

    text = keystone.token("reader")
    users.suspend(world.box(), world.users["reader"])
    assert not works(text)
    users.resume(world.box(), world.users["reader"])
    assert not works(text), "resuming does not bring tokens back"

    text, stale = keystone.token("owner"), world.users["owner"]
    stale.refresh_from_db()
    users.reset_password(world.box(), type(stale).objects.get(id=stale.id), PASSWORD + "!")
    assert not works(text)
    stale.save(update_fields=["name", "tokens_since"])
    assert not works(text), "a row that was read before must not bring tokens back"
    fresh = keystone.sign_in("owner", password=PASSWORD + "!")["X-Subject-Token"]
    assert works(fresh)

    text = keystone.token("stranger")
    projects.delete(world.box(), world.other)
    assert not works(text)


def test_time_ends_tokens(keystone: Keystone, monkeypatch: pytest.MonkeyPatch) -> None:
    text = keystone.token("member")
    later = clock.now() + tokens.LIFETIME + dt.timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    answer = keystone.client.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": text})
    assert "expired" in answer.json()["error"]["message"]
    tokens.prune()


def _passcode(secret: str, at: int = 1) -> str:
    return format_hotp_value(hotp_value(secret, [*yield_hotp_counters_from_time()][min(at, len([*yield_hotp_counters_from_time()]) - 1)]))


def test_second_factor(keystone: Keystone, world: World) -> None:
    """Password alone gives a receipt; with the code, at once or by the receipt, a token. A code works once; an API token needs none."""
    member, secret = world.users["member"], generate_totp_secret()
    TOTP.activate(member, secret)
    half = keystone.sign_in("member")
    assert half.status_code == 401
    assert half.json()["required_auth_methods"] == [["password", "totp"]]
    receipt = half["Openstack-Auth-Receipt"]
    user = {"name": "member@example.org", "domain": {"id": "default"}}

    def totp(code: str, receipt: str) -> Any:
        body = {"auth": {"identity": {"methods": ["totp"], "totp": {"user": user | {"passcode": code}}}}}
        return keystone.post(body, **({"Openstack-Auth-Receipt": receipt} if receipt else {}))

    assert totp("000000", receipt).status_code == 401
    assert totp(_passcode(secret), "").status_code == 401, "the code alone is not enough"
    assert totp(_passcode(secret), "nonsense").status_code == 401
    good = totp(_passcode(secret), receipt)
    assert good.status_code == 201
    assert set(good.json()["token"]["methods"]) == {"password", "totp"}
    assert totp(_passcode(secret), receipt).status_code == 401, "a code works once"
    assert keystone.client.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": receipt}).status_code == 401
    assert Client().get("/auth/v1.0", headers={"X-Auth-User": "shop:member@example.org", "X-Auth-Key": PASSWORD}).status_code == 401
    key = credentials.create_token(world.ctx("member"), name="swift")[1]
    assert Client().get("/auth/v1.0", headers={"X-Auth-User": "shop:member@example.org", "X-Auth-Key": key}).status_code == 200


def test_both_factors_at_once(keystone: Keystone, world: World) -> None:
    secret = generate_totp_secret()
    TOTP.activate(world.users["owner"], secret)
    user = {"name": "owner@example.org", "domain": {"id": "default"}}
    identity = {
        "methods": ["password", "totp"],
        "password": {"user": user | {"password": PASSWORD}},
        "totp": {"user": user | {"passcode": _passcode(secret)}},
    }
    assert keystone.post({"auth": {"identity": identity}}).status_code == 201
    identity["totp"] = {"user": {"name": "member@example.org", "domain": {"id": "default"}, "passcode": "123456"}}
    assert keystone.post({"auth": {"identity": identity}}).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (None, 400),
        ([], 400),
        ({}, 400),
        ({"auth": []}, 400),
        ({"auth": {"identity": {}}}, 400),
        ({"auth": {"identity": {"methods": []}}}, 400),
        ({"auth": {"identity": {"methods": ["password"]}}}, 400),
        ({"auth": {"identity": {"methods": [{}], "password": {}}}}, 400),
        ({"auth": {"identity": {"methods": ["saml2"], "saml2": {}}}}, 401),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a\u0000b", "password": "x"}}}}}, 400),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "x" * 10_000, "password": "x"}}}}}, 400),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "\ud800", "password": "x"}}}}}, 400),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "'; --", "password": "x"}}}}}, 401),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "member@example.org", "password": None}}}}}, 401),
        ({"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}}}, 401),
        ({"auth": {"identity": {"methods": ["token", "password"], "token": {"id": "x"}, "password": {}}}}, 400),
        ({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "x", "secret": "y"}}}}, 401),
        ({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "x"}}}}, 400),
    ],
)
def test_hostile_bodies(keystone: Keystone, body: Any, status: int) -> None:
    answer = keystone.post(body)
    assert answer.status_code == status, answer.content
    assert set(answer.json()["error"]) == {"code", "title", "message"}


def test_deep_and_broken_bodies(keystone: Keystone) -> None:
    for raw in (b"[" * 100_000, b"{", b"\xff", b'{"auth": NaN}', b'{"auth":' * 50_000):
        answer = keystone.client.post("/identity/v3/auth/tokens", raw, content_type="application/json")
        assert answer.status_code == 400


def test_application_credentials(keystone: Keystone, world: World) -> None:
    me, path = world.users["member"], f"users/{world.users['member'].id.hex}/application_credentials"
    made = keystone.ok("member", "POST", path, {"application_credential": {"name": "deploy", "roles": [{"name": "reader"}]}})[
        "application_credential"
    ]
    assert [role["name"] for role in made["roles"]] == ["reader"]
    listed = keystone.ok("member", "GET", path)["application_credentials"]
    assert [row["name"] for row in listed] == ["deploy"]
    assert "secret" not in listed[0]

    def by(**about: Any) -> Any:
        return keystone.post({"auth": {"identity": {"methods": ["application_credential"], "application_credential": about}}})

    answer = by(id=made["id"], secret=made["secret"])
    assert answer.status_code == 201
    assert answer.json()["token"]["application_credential"]["restricted"] is True
    assert [role["name"] for role in answer.json()["token"]["roles"]] == ["reader"]
    named = {"name": "member@example.org", "domain": {"id": "default"}}
    assert by(name="deploy", user=named, secret=made["secret"]).status_code == 201
    assert by(id=made["id"], secret="wrong").status_code == 401
    # It is an API token of the portal, and the other way round.
    bearer = Client().get("/api/v1/me", headers={"Authorization": f"Bearer cbx_{made['id']}_{made['secret']}"})
    assert bearer.status_code == 200
    # It makes no others, is not exchanged, and takes no other scope.
    token = answer["X-Subject-Token"]
    refused = keystone.client.post(
        f"/identity/v3/{path}", {"application_credential": {"name": "x"}}, content_type="application/json", headers={"X-Auth-Token": token}
    )
    assert refused.status_code == 403
    assert keystone.post({"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}}).status_code == 403
    # Others neither see nor make mine.
    for who in ("owner", "admin", "stranger"):
        assert keystone.call(who, "GET", path).status_code == 403
        assert keystone.call(who, "POST", path, {"application_credential": {"name": "x"}}).status_code == 403
        assert keystone.call(who, "DELETE", f"{path}/{made['id']}").status_code == 403
    assert keystone.call("member", "POST", path, {"application_credential": {"name": "deploy"}}).status_code == 409
    for wrong in (
        {"name": "a", "secret": "short"},
        {"name": "a", "expires_at": "2001-01-01T00:00:00"},
        {"name": "a", "expires_at": "soon"},
        {},
    ):
        assert keystone.call("member", "POST", path, {"application_credential": wrong}).status_code == 400
    assert keystone.call("member", "POST", path, {"application_credential": {"name": "a", "access_rules": [{}]}}).status_code == 501
    assert keystone.call("member", "POST", path, {"application_credential": {"name": "a", "roles": [{"name": "admin"}]}}).status_code == 403
    own = keystone.ok(
        "member", "POST", path, {"application_credential": {"name": "own", "secret": "a secret of mine 12", "unrestricted": True}}
    )
    answer = by(id=own["application_credential"]["id"], secret="a secret of mine 12")
    assert answer.status_code == 201
    more = keystone.client.post(
        f"/identity/v3/{path}",
        {"application_credential": {"name": "more"}},
        content_type="application/json",
        headers={"X-Auth-Token": answer["X-Subject-Token"]},
    )
    assert more.status_code == 201
    keystone.ok("member", "DELETE", f"{path}/{made['id']}")
    assert by(id=made["id"], secret=made["secret"]).status_code == 401
    assert keystone.client.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": token}).status_code == 401
    assert me.api_tokens.count() == 2


def test_own_password(keystone: Keystone, world: World) -> None:
    id, old = world.users["reader"].id.hex, keystone.token("reader")

    def change(present: str, wanted: str) -> int:
        return keystone.call(
            "reader", "POST", f"users/{id}/password", {"user": {"original_password": present, "password": wanted}}
        ).status_code  # type: ignore[no-any-return]

    assert change("wrong", "another horse 18") == 401
    assert change(PASSWORD, "short") == 400
    assert change(PASSWORD, PASSWORD) == 400
    assert change(PASSWORD, "another horse 18") == 204
    assert keystone.client.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": old}).status_code == 401
    assert keystone.sign_in("reader", password="another horse 18").status_code == 201


def test_swifts_first_way(keystone: Keystone, world: World) -> None:
    def ask(**headers: str) -> Any:
        return Client().get("/auth/v1.0", headers={name.replace("_", "-"): value for name, value in headers.items()})

    good = ask(X_Auth_User="shop:member@example.org", X_Auth_Key=PASSWORD)
    assert good.status_code == 200
    assert good["X-Auth-Token"] == good["X-Storage-Token"]
    assert good["X-Storage-Url"].endswith(f"/v1/AUTH_{world.project.id.hex}")
    assert keystone.client.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": good["X-Auth-Token"]}).status_code == 200
    assert ask(X_Storage_User="Shop:member@example.org", X_Storage_Pass=PASSWORD).status_code == 200
    for user, key in (
        ("shop:member@example.org", "wrong"),
        ("elsewhere:member@example.org", PASSWORD),
        ("nowhere:x", "y"),
        ("shop", ""),
        ("", ""),
    ):
        assert ask(X_Auth_User=user, X_Auth_Key=key).status_code == 401
