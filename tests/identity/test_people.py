"""Users, projects, members, credentials and names, through the verbs."""

from __future__ import annotations

from uuid import uuid4

import pytest

from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from identity import credentials, names, projects, users
from identity.authn.session import context_of
from identity.models import AccessKey, ApiToken, Membership
from tests.world import World


def test_the_last_admin_stays(world: World) -> None:
    ctx, owner = world.ctx("owner"), world.users["owner"]
    with pytest.raises(Conflict, match="last admin"):
        projects.remove_member(ctx, owner.id)
    with pytest.raises(Conflict, match="last admin"):
        projects.set_role(ctx, owner.id, "reader")
    projects.set_role(ctx, world.users["member"].id, "admin")
    projects.remove_member(ctx, owner.id)
    assert not Membership.objects.filter(user=owner).exists()


def test_members(world: World) -> None:
    ctx = world.ctx("owner")
    with pytest.raises(AlreadyExists):
        projects.add_member(ctx, email="READER@example.org")
    with pytest.raises(NotFound):
        projects.add_member(ctx, email="nobody@example.org")
    with pytest.raises(Invalid):
        projects.add_member(ctx, email="stranger@example.org", role="king")
    with pytest.raises(NotFound):
        projects.set_role(ctx, uuid4(), "reader")
    with pytest.raises(Forbidden):
        projects.add_member(world.ctx("member"), email="stranger@example.org")
    assert [row.user.email for row in projects.members(world.ctx("reader"))] == [
        f"{who}@example.org" for who in ("member", "owner", "reader")
    ]


def test_projects(world: World) -> None:
    admin = world.box()
    assert projects.create(admin, name="Café №1").slug == "cafe-no1"
    with pytest.raises(AlreadyExists):
        projects.create(admin, name="Shop")
    with pytest.raises(AlreadyExists):
        projects.create(admin, name="Another", slug="shop")
    with pytest.raises(Invalid):
        projects.create(admin, name="商店")
    with pytest.raises(Forbidden):
        projects.create(world.box("support"), name="x")
    with pytest.raises(NotFound):
        projects.get(world.ctx("stranger", world.other), "shop")
    assert projects.get(world.box("support"), str(world.project.id)) == world.project
    assert [row.slug for row in projects.list(world.ctx("owner"))] == ["shop"]
    assert projects.list(admin, all=True).count() == 3


@pytest.mark.parametrize("email", ["", "x", "a@b", "a" * 250 + "@b.example", "a\nb@example.org", "a@exa mple.org"])
def test_bad_addresses(world: World, email: str) -> None:
    with pytest.raises(Invalid):
        users.create(world.box(), email=email)


def test_users(world: World) -> None:
    user, password = users.create(world.box(), email=" Ada@Example.org ")
    assert user.email == "ada@example.org"
    assert user.check_password(password)
    with pytest.raises(AlreadyExists):
        users.create(world.box(), email="ADA@example.org")
    for weak in ("short", "password123", "ada@example.org"):
        with pytest.raises(Invalid):
            users.create(world.box(), email="b@example.org", password=weak)
    with pytest.raises(Forbidden):
        users.create(world.box("support"), email="c@example.org")
    with pytest.raises(Conflict):
        users.suspend(world.box(), world.users["admin"])
    fresh = users.reset_password(world.box(), user)
    user.refresh_from_db()
    assert user.check_password(fresh)
    with pytest.raises(Invalid):
        users.update_me(world.ctx("reader"), theme="pink")


def test_tokens(world: World) -> None:
    """Kept as a hash, one of a name, at most the maker's role, revoked by their owner only."""
    ctx = world.ctx("member")
    token, text = credentials.create_token(ctx, name="deploy", role="reader", days=1)
    assert text.rpartition("_")[2] not in token.digest
    with pytest.raises(AlreadyExists):
        credentials.create_token(ctx, name="deploy")
    with pytest.raises(Forbidden):
        credentials.create_token(ctx, name="big", role="admin")
    for days in (0, 3651):
        with pytest.raises(Invalid):
            credentials.create_token(ctx, name="d", days=days)
    with pytest.raises(NotFound):
        credentials.revoke_token(world.ctx("owner"), token.id)
    credentials.revoke_token(ctx, token.id)
    assert not ApiToken.objects.exists()


def test_access_keys(world: World) -> None:
    key, secret = credentials.create_access_key(world.ctx("member"), name="backup")
    assert len(key.id) == 20
    assert secret.encode() not in bytes(key.sealed_secret)
    assert credentials.secret_of(AccessKey.objects.get()) == secret
    with pytest.raises(NotFound):
        credentials.delete_access_key(world.ctx("owner"), key.id)
    with pytest.raises(Forbidden):
        credentials.create_access_key(world.ctx("support"), name="x")


def test_contexts(world: World) -> None:
    assert context_of(world.users["support"], "shop", api="portal").role is None
    for slug in ("elsewhere", "nowhere"):
        with pytest.raises(NotFound):
            context_of(world.users["member"], slug, api="portal")


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "a\nb", "\u202eevil", "\ud800", "\u2028", "x" * 65, 5, None, "\x1b[31m", "\ue000"])
def test_refused_names(name: object) -> None:
    with pytest.raises(Invalid):
        names.clean_name(name)


@pytest.mark.parametrize(
    "name", ["web-1", "Ünïcode", "商店", "<script>alert(1)</script>", "'; DROP TABLE x; --", "🚀", "a" * 64, "{{ 7*7 }}"]
)
def test_kept_names(name: str) -> None:
    assert names.clean_name(f"  {name} ") == name


@pytest.mark.parametrize(
    ("text", "slug"), [("Web Shop!", "web-shop"), (" --a-- ", "a"), ("Ärger", "arger"), ("商店", ""), ("x" * 99, "x" * 40)]
)
def test_slugs(text: str, slug: str) -> None:
    assert names.slug_of(text) == slug


@pytest.mark.parametrize("name", ["-a", "a-", "A", "a.b", "a" * 64, "", "a_b"])
def test_refused_host_names(name: str) -> None:
    with pytest.raises(Invalid):
        names.clean_hostname(name)
