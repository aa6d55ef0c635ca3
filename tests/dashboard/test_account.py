"""Signing in, the pages about oneself, and the palette."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core.cache import cache
from django.test import Client

from identity.models import Project, User
from tests.world import World

Browse = Callable[..., Client]
PAGES = (
    "/account/profile",
    "/account/appearance",
    "/account/security",
    "/account/sessions",
    "/account/security/password",
    "/account/confirm",
)
PASSWORD = "three-words-of-mine-2"


@pytest.fixture
def member(world: World) -> User:
    cache.clear()
    user = world.users["member"]
    user.set_password(PASSWORD)
    user.save()
    return user


def _sign_in(client: Client, user: User, password: str = PASSWORD, to: str = "/sign-in") -> str:
    return str(client.post(to, {"login": user.email, "password": password}).get("Location", ""))


def test_signing_in_leads_to_the_project_and_out_again(member: User) -> None:
    client = Client()
    assert "That e-mail and password do not match." in client.post("/sign-in", {"login": member.email, "password": "x"}).content.decode()
    assert _sign_in(client, member) == "/"
    assert client.get("/")["Location"] == "/p/shop"
    client.post("/sign-out")
    assert client.get("/")["Location"] == "/sign-in?next=/"


def test_where_one_came_from_is_kept_but_not_another_site(member: User) -> None:
    there = {"login": member.email, "password": PASSWORD}
    assert Client().post("/sign-in", there | {"next": "/p/shop/networks"})["Location"] == "/p/shop/networks"
    assert Client().post("/sign-in", there | {"next": "https://evil.example/"})["Location"] == "/"


@pytest.mark.parametrize("exists", [True, False])
def test_five_wrong_tries_bring_a_pause(member: User, exists: bool) -> None:
    """From the third on it is said how many are left, in the same words whether there is such an account or not."""
    client = Client()
    login = member.email if exists else "nobody-here@example.org"
    told = []
    for password in ["wrong"] * 5 + [PASSWORD]:
        page = client.post("/sign-in", {"login": login, "password": password}).content.decode()
        told.append(re.search(r'id="password-error">(.*?)</p>', page)[1])  # type: ignore[index]
    no = "That e-mail and password do not match."
    assert told == [
        no,
        no,
        f"{no} 2 tries left before a 15 minute pause.",
        f"{no} 1 try left before a 15 minute pause.",
        f"{no} Wait 15 minutes before you try again.",
        "Five tries were wrong. Wait 15 minutes, or ask the administrator of the box for a new password.",
    ]


def test_nobody_signs_up_and_a_suspended_account_stays_out(member: User) -> None:
    assert Client().post("/sign-up", {"email": "me@example.org", "password1": PASSWORD, "password2": PASSWORD}).status_code == 403
    assert not User.objects.filter(email="me@example.org").exists()
    assert "reset-password" in Client().get("/reset").content.decode()
    member.is_active = False
    member.save()
    client = Client()
    _sign_in(client, member)
    assert client.get("/p/shop").status_code == 302


def test_a_second_factor_is_asked_for_and_a_recovery_code_does(member: User) -> None:
    Authenticator.objects.create(user=member, type=Authenticator.Type.TOTP, data={"secret": "JBSWY3DPEHPK3PXP"})
    codes = RecoveryCodes.activate(member).get_unused_codes()
    client = Client()
    assert _sign_in(client, member) == "/sign-in/second-factor"
    assert client.get("/p/shop").status_code == 302
    wrong = client.post("/sign-in/second-factor", {"code": "000000"})
    assert wrong.status_code == 200
    assert "That code does not fit. Take the newest of your app" in wrong.content.decode()
    assert client.post("/sign-in/second-factor", {"code": codes[0]})["Location"] == "/"
    assert client.get("/p/shop").status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_pages_about_oneself(browse: Browse, path: str) -> None:
    assert browse("stranger").get(path).status_code == 200
    assert browse("").get(path)["Location"] == f"/sign-in?next={path}"


def test_what_changes_the_way_in_asks_for_the_password_again(browse: Browse) -> None:
    for path in ("app", "passkeys/new", "codes/new"):
        assert browse("member").get(f"/account/security/{path}")["Location"].startswith("/account/confirm?next=")


def test_profile_and_appearance_are_kept(browse: Browse, world: World) -> None:
    client, user = browse("member"), world.users["member"]
    assert client.post("/account/profile", {"name": "Ada Kerr"}).status_code == 302
    assert client.post("/account/profile", {"name": "x" * 500}).status_code == 400
    client.post("/account/appearance", {"whole": "1", "theme": "dark"})
    user.refresh_from_db()
    assert (user.name, user.theme, user.single_keys) == ("Ada Kerr", "dark", False)
    assert 'data-theme="dark"' in client.get("/account/appearance").content.decode()
    client.post("/account/appearance", {"theme": "light", "quiet": "1"})  # the palette, which leaves the keys alone
    user.refresh_from_db()
    assert (user.theme, user.single_keys) == ("light", False)
    client.post("/account/appearance", {"theme": "puce"})
    user.refresh_from_db()
    assert user.theme == "light"


def test_other_sessions_are_listed_and_ended(member: User) -> None:
    here, there = Client(HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64) Firefox/131.0"), Client(HTTP_USER_AGENT="curl/8.5")
    for client in (here, there):
        _sign_in(client, member)
        client.get("/p/shop")
    page = here.get("/account/sessions").content.decode()
    assert "Firefox on Linux" in page
    assert "curl" in page
    here.post("/account/sessions", {"end": "nonsense"})
    assert there.get("/p/shop").status_code == 200
    here.post("/account/sessions", {"end": "others"})
    assert there.get("/p/shop").status_code == 302
    assert here.get("/p/shop").status_code == 200


def test_without_a_project_one_is_told_whom_to_ask(browse: Browse, world: World) -> None:
    world.users["member"].memberships.all().delete()
    page = browse("member").get("/").content.decode()
    assert "You are in no project yet" in page
    assert "/admin/projects" not in page


def test_the_last_project_is_remembered_until_one_is_out_of_it(browse: Browse, world: World) -> None:
    client = browse("stranger")
    assert client.get("/")["Location"] == "/p/elsewhere"
    client.get("/p/shop")  # a stranger's, which does not exist
    assert client.get("/")["Location"] == "/p/elsewhere"
    Project.objects.filter(slug="elsewhere").update(status="deleted")
    assert client.get("/").status_code == 200


# --- the palette


def _titles(client: Client, query: str) -> dict[str, list[str]]:
    return {group["title"]: [item["title"] for item in group["items"]] for group in client.get(f"/palette?{query}").json()["groups"]}


def test_the_palette_finds_things_pages_and_what_to_create(browse: Browse, world: World) -> None:
    one = world.running()
    client, at = browse("member"), "at=/p/shop"
    assert _titles(client, f"q=web&{at}")["Things"] == ["web"]
    assert _titles(client, f"q={one.id}&{at}")["Things"] == ["web"]
    assert _titles(client, f"q={str(world.network.id)[:8]}&{at}")["Things"] == ["private"]
    assert _titles(client, f"q={one.ports.get().ip}&{at}")["Things"] == ["web"]
    assert "Networks" in _titles(client, f"q=netw&{at}")["Pages"]
    assert "Create a network" in _titles(client, f"q=netw&{at}")["Create"]
    assert _titles(client, f"q=sign+out&{at}")["More"] == ["Sign out"]


def test_the_palette_says_why_an_action_is_not_possible(browse: Browse, world: World) -> None:
    one = world.running()
    group = browse("reader").get(f"/palette?at=/p/shop/instances/{one.id}").json()["groups"][0]
    assert group["title"] == "On web"
    assert all("This needs the role member" in item["why"] for item in group["items"])
    group = browse("member").get(f"/palette?at=/p/shop/instances/{one.id}&q=start").json()["groups"][0]
    assert [item["why"] for item in group["items"] if item["title"] == "Start web"] == ["web is running already."]


def test_the_palette_keeps_the_noun_and_shows_strangers_nothing(browse: Browse, world: World) -> None:
    admin = browse("admin")
    assert admin.get("/palette?q=shop&at=/admin").json()["groups"][0]["items"][0]["url"] == "/admin/projects/shop"
    world.users["member"].memberships.create(project=world.other, role="reader")
    found = browse("member").get("/palette?mode=project&at=/p/shop/networks").json()["groups"][0]["items"]
    assert [item["url"] for item in found] == ["/p/elsewhere/networks"]
    assert "Things" not in _titles(browse("stranger"), "q=private&at=/p/shop")
    assert browse("").get("/palette").status_code == 302
    for query in ("q=%25%27%22", f"q={'x' * 3000}", "at=/p/shop/instances/nonsense", "mode=nonsense", "q=00000000-", "q=ffffffff"):
        assert browse("member").get(f"/palette?{query}").status_code == 200


def test_every_icon_of_the_palette_is_in_the_sprite(browse: Browse, world: World) -> None:
    from django.conf import settings

    sprite = {*re.findall(r'id="([a-z]+)"', (settings.BASE_DIR / "static" / "img" / "icons.svg").read_text())}
    one = world.running()
    for query in ("at=/p/shop", f"at=/p/shop/instances/{one.id}", "q=e&at=/p/shop", "q=theme&at=/p/shop", "q=ex&at=/admin"):
        for group in browse("admin").get(f"/palette?{query}").json()["groups"]:
            assert {item["icon"] for item in group["items"]} <= sprite
