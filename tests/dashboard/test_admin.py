"""Shows the admin console: who reaches it, what it says, and that what it does goes through the verbs and their refusals."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cloudbox.common import events
from cloudbox.common.models import Event, Job
from compute.health import Component
from compute.models import Flavor, Image, Instance
from dashboard.admin.home import tiles, verdict
from dashboard.admin.hosts import room
from identity.models import Project, Quota, User
from tests.world import World, work

PAGES = (
    "/admin", "/admin/hosts", "/admin/projects", "/admin/projects/new", "/admin/projects/shop", "/admin/projects/shop/quota",
    "/admin/projects/shop/members", "/admin/projects/shop/activity", "/admin/users", "/admin/users/new", "/admin/instances",
    "/admin/flavors", "/admin/flavors/new", "/admin/images", "/admin/audit", "/admin/health",
)  # fmt: skip
QUERIES_MAX = 12
Browse = Callable[..., Client]


def _said(response: Any) -> str:
    """The text of a page, without markup."""
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text).replace("&#x27;", "'").replace("&quot;", '"')


def _toast(client: Client, response: Any) -> str:
    found = re.search(r'id="toasts".*?</div></div>', client.get(response["Location"]).content.decode(), re.S)
    return re.sub(r"<[^>]+>", "", found.group(0).partition(">")[2]).strip(" ×") if found else ""


# --- who


@pytest.mark.parametrize("path", PAGES)
def test_it_does_not_exist_for_tenants(browse: Browse, path: str) -> None:
    assert browse("owner").get(path).status_code == 404
    assert browse("member").get(path).status_code == 404


@pytest.mark.parametrize("path", PAGES)
def test_strangers_are_sent_to_sign_in(browse: Browse, path: str) -> None:
    response = browse("").get(path)
    assert (response.status_code, response["Location"]) == (302, f"/sign-in?next={path}")


@pytest.mark.parametrize("path", PAGES)
def test_support_sees_everything_and_every_button_is_off(browse: Browse, world: World, path: str) -> None:
    world.running()
    response = browse("support").get(path)
    assert response.status_code == 200
    main = response.content.decode().partition("<main")[2].partition("</main>")[0]
    buttons = re.findall(r"<button([^>]*)>(.*?)</button>", main, re.S)
    for attributes, inside in buttons:
        harmless = (
            "data-copy" in attributes
            or 'popovertarget="commands"' in attributes
            or inside.strip() in ("Filter",)
            or "Verify the chain" in inside
        )
        assert harmless or ('aria-disabled="true"' in attributes and "Your role may look only." in attributes), inside
    assert "/admin/projects/new" not in main
    assert "<dialog" not in main


@pytest.mark.parametrize(
    "path",
    ["/admin/projects/new", "/admin/projects/shop/suspend", "/admin/projects/shop/quota", "/admin/users/new", "/admin/flavors/new"],
)
def test_support_is_refused_and_the_refusal_is_written_down(browse: Browse, path: str) -> None:
    body = {"name": "X", "email": "x@example.org", "vcpus": 1, "memory_mib": 512, "disk_gib": 5, "instances": 3}
    response = browse("support").post(path, body)
    assert "Your role may look only." in (_said(response) if response.status_code != 302 else "Your role may look only.")
    assert Event.objects.filter(actor="support@example.org", outcome="refused").count() == 1
    assert not Project.objects.filter(name="X").exists()
    assert not User.objects.filter(email="x@example.org").exists()
    assert Project.objects.get(slug="shop").status == "active"
    assert Quota.objects.get(project__slug="shop", resource="instances").limit == 10


@pytest.mark.parametrize(
    "path",
    [
        "/admin/projects/shop/suspend", "/admin/projects/shop/resume", "/admin/users/{user}/suspend", "/admin/users/{user}/resume",
        "/admin/users/{user}/password", "/admin/instances/{instance}/stop", "/admin/instances/{instance}/delete",
        "/admin/flavors/{flavor}/retire", "/admin/flavors/{flavor}/restore", "/admin/images/{image}/deactivate",
        "/admin/images/{image}/delete", "/admin/audit/verify",
    ],
)  # fmt: skip
def test_a_link_changes_nothing(browse: Browse, world: World, path: str) -> None:
    ids = {"user": world.users["member"].id, "instance": world.running().id, "flavor": world.flavor.id, "image": world.image.id}
    before = Event.objects.count()
    assert browse("admin").get(path.format(**ids)).status_code == 405
    assert browse("admin", csrf=True).post(path.format(**ids)).status_code == 403
    assert Event.objects.count() == before


def test_queries_do_not_grow_with_the_rows(browse: Browse, world: World) -> None:
    client = browse("admin")
    for number in range(3):
        world.launch(name=f"web-{number}")
    work()
    for path in PAGES[1:]:
        with CaptureQueriesContext(connection, ) as queries:  # fmt: skip
            assert client.get(path).status_code == 200
        # Session, user, and the savepoints of tests are not the page's.
        own = [query for query in queries if "django_session" not in query["sql"] and "SAVEPOINT" not in query["sql"]]
        assert len(own) <= QUERIES_MAX + 1, (path, [query["sql"][:120] for query in own])


# --- home


def test_verdict() -> None:
    good, bad, worse = Component("Redis", "ok", "."), Component("Worker", "bad", "."), Component("Disk", "bad", ".")
    assert verdict([good], 0) == "Healthy"
    assert verdict([good], 1) == "Healthy, with one thing to watch"
    assert verdict([good], 2) == "Healthy, with two things to watch"
    assert verdict([good], 12) == "Healthy, with 12 things to watch"
    assert verdict([good, bad], 1) == "Not healthy: Worker needs a person"
    assert verdict([bad, worse], 2) == "Not healthy: Worker and Disk need a person"


def test_reconcilers_in_step_share_a_tile() -> None:
    calm, late = Component("Reconciler powers", "ok", "."), Component("Reconciler images", "warn", "Failed.")
    assert [part.name for part in tiles([calm, late, calm])] == ["Reconciler images", "Reconcilers"]


def _alive(settings: Any) -> None:
    """A worker that has just told that it lives."""
    import time

    from compute.health import HEARTBEAT

    beat = {"at": time.time(), "up": 60, "libvirt": True, "hypervisor": "fake 1.0", "rounds": {}, "hostname": "box-1"}
    cache.set(HEARTBEAT, beat, 60)


def test_home_says_what_needs_a_person(browse: Browse, world: World, settings: Any) -> None:
    settings.STORE_URL = ""
    _alive(settings)
    client = browse("admin")
    assert "Healthy" in _said(client.get("/admin"))
    instance = world.running()
    Instance.objects.filter(id=instance.id).update(status="error", error="The disk is full.")
    Quota.objects.filter(project=world.project, resource="vcpus").update(limit=1)
    text = _said(client.get("/admin"))
    assert "Healthy, with two things to watch" in text
    assert "web in Shop: The disk is full." in text
    assert "Shop uses 1 of 1 vCPUs." in text
    cache.clear()
    assert "Not healthy: Worker needs a person" in _said(client.get("/admin"))


def test_a_failed_job_of_nothing_that_is_left_is_told(browse: Browse, settings: Any) -> None:
    _alive(settings)
    Job.objects.create(kind="delete-instance", subject_id=uuid4(), state="failed", error="The tap could not be removed.", steps=4, step=2)
    text = _said(browse("admin").get("/admin"))
    assert "The latest: The tap could not be removed." in text
    assert "The tap could not be removed." in _said(browse("admin").get("/admin/health"))


def test_what_moves(browse: Browse, world: World) -> None:
    world.launch(name="slow")
    text = _said(browse("admin").get("/admin"))
    assert "Launch instance slow in Shop" in text
    assert "0 percent done" in browse("admin").get("/admin/health").content.decode()


def test_room_ends_with_what_is_scarcer() -> None:
    from compute.health import HostLine

    host = HostLine("h", "kvm", "", 4, 0, 8192, 2048, 100, 30, 10, 1, 1, 0.1)
    assert (room(host, name="s", vcpus=1, memory_mib=1024, disk_gib=4).count) == 6
    assert room(host, name="s", vcpus=1, memory_mib=1024, disk_gib=10).first == "disk"


# --- projects


def test_create_a_project(browse: Browse) -> None:
    client = browse("admin")
    response = client.post(
        "/admin/projects/new", {"name": "Havn Studio", "slug": "", "owner_email": "member@example.org", "description": ""}
    )
    assert (response.status_code, response["Location"]) == (302, "/admin/projects/havn-studio")
    assert "Havn Studio is there" in _toast(client, response)
    assert Project.objects.get(slug="havn-studio").memberships.get().role == "admin"


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({"name": "Shop"}, "name", "is taken by another project"),
        ({"name": ""}, "name", "Give it a name."),
        ({"name": "Ny", "owner_email": "who@example.org"}, "owner_email", "Nobody here has the e-mail"),
        ({"name": "a\0b"}, "name", "characters that are not text"),
    ],
)
def test_errors_stand_at_their_field_and_values_are_kept(browse: Browse, body: dict[str, str], field: str, sentence: str) -> None:
    response = browse("admin").post("/admin/projects/new", {"description": "kept <b>", **body})
    page = response.content.decode()
    assert 400 <= response.status_code < 500
    assert sentence in page.partition(f'name="{field}"')[2].partition("form-label")[0]
    assert 'value="kept &lt;b&gt;"' in page


def test_the_list_of_projects(browse: Browse, world: World) -> None:
    client = browse("admin")
    text = _said(client.get("/admin/projects"))
    assert "Shop" in text
    assert "Elsewhere" in text
    assert "0 of 10" in text
    assert "Elsewhere" not in _said(client.get("/admin/projects?q=sho")).partition("Projects table")[0].partition("Filter")[2]
    assert "Nothing matches." in _said(client.get("/admin/projects?q=none-such"))
    assert "Clear filters" in _said(client.get("/admin/projects?status=suspended"))


def test_suspend_and_resume_a_project(browse: Browse, world: World) -> None:
    client = browse("admin")
    assert "Suspend Shop?" in _said(client.get("/admin/projects/shop"))
    client.post("/admin/projects/shop/suspend")
    world.project.refresh_from_db()
    assert world.project.status == "suspended"
    assert "nothing can be changed until you resume it" in _said(client.get("/admin/projects/shop"))
    client.post("/admin/projects/shop/resume")
    world.project.refresh_from_db()
    assert world.project.status == "active"


def test_set_a_quota(browse: Browse, world: World) -> None:
    client = browse("admin")
    response = client.post("/admin/projects/shop/quota", {"instances": "25", "ports": ""})
    assert response.status_code == 302
    limits = dict(Quota.objects.filter(project=world.project).values_list("resource", "limit"))
    assert (limits["instances"], limits["ports"], limits["vcpus"]) == (25, None, 20)
    wrong = client.post("/admin/projects/shop/quota", {"instances": "many"})
    assert "Write a whole number." in _said(wrong)
    assert 'value="many"' in wrong.content.decode()
    assert "A limit is a number from 0 up" in _said(client.post("/admin/projects/shop/quota", {"instances": "-1"}))


def test_members(browse: Browse, world: World) -> None:
    client, path = browse("admin"), "/admin/projects/shop/members"
    assert client.post(path, {"email": "stranger@example.org", "role": "reader"}).status_code == 302
    assert world.project.memberships.get(user=world.users["stranger"]).role == "reader"
    assert "is a member already" in _said(client.post(path, {"email": "stranger@example.org", "role": "reader"}))
    client.post(f"{path}/{world.users['stranger'].id}", {"role": "member"})
    assert world.project.memberships.get(user=world.users["stranger"]).role == "member"
    client.post(f"{path}/{world.users['stranger'].id}")
    assert not world.project.memberships.filter(user=world.users["stranger"]).exists()
    assert "is the last admin" in _toast(client, client.post(f"{path}/{world.users['owner'].id}"))


# --- users


def test_a_new_user_s_password_is_shown_once(browse: Browse) -> None:
    client = browse("admin")
    response = client.post("/admin/users/new", {"email": "New@Example.org", "name": "Ny", "box_role": "support"})
    user = User.objects.get(email="new@example.org")
    shown = re.findall(r"<code>([a-z0-9-]{27})</code>", response.content.decode())
    assert response.status_code == 201
    assert user.check_password(shown[0])
    assert user.box_role == "support"
    assert "no-store" in response["Cache-Control"]
    assert shown[0] not in client.get(f"/admin/users/{user.id}").content.decode()
    again = client.post("/admin/users/new", {"email": "new@example.org", "name": "Ny"})
    assert "has an account already" in _said(again)
    assert 'value="Ny"' in again.content.decode()


def test_reset_a_password(browse: Browse, world: World) -> None:
    there, user = browse("member"), world.users["member"]
    assert there.get("/p/shop").status_code == 200
    response = browse("admin").post(f"/admin/users/{user.id}/password")
    user.refresh_from_db()
    assert user.check_password(re.findall(r"<code>([a-z0-9-]{27})</code>", response.content.decode())[0])
    assert "no-store" in response["Cache-Control"]
    assert there.get("/p/shop").status_code == 302, "the session went on"
    assert browse("support").post(f"/admin/users/{user.id}/password").status_code == 403


def test_suspend_and_resume_a_user(browse: Browse, world: World) -> None:
    client, there, user = browse("admin"), browse("member"), world.users["member"]
    client.post(f"/admin/users/{user.id}/suspend")
    assert there.get("/p/shop").status_code == 302
    assert "Suspended" in _said(client.get(f"/admin/users/{user.id}"))
    client.post(f"/admin/users/{user.id}/resume")
    user.refresh_from_db()
    assert user.is_active


def test_nobody_suspends_themselves(browse: Browse, world: World) -> None:
    client, me = browse("admin"), world.users["admin"]
    page = client.get(f"/admin/users/{me.id}").content.decode()
    assert "You cannot suspend yourself." in page
    assert 'id="suspend"' not in page
    assert "You cannot suspend yourself." in _toast(client, client.post(f"/admin/users/{me.id}/suspend"))


def test_users_are_found(browse: Browse) -> None:
    client = browse("admin")
    assert "stranger@example.org" in _said(client.get("/admin/users?q=strang"))
    assert "stranger@example.org" not in _said(client.get("/admin/users?role=support"))
    assert "Nothing matches." in _said(client.get("/admin/users?state=suspended"))
    assert client.get(f"/admin/users/{uuid4()}").status_code == 404


# --- instances


def test_instances_of_all_projects(browse: Browse, world: World) -> None:
    instance, client = world.running(), browse("admin")
    page = client.get("/admin/instances").content.decode()
    assert f"/p/shop/instances/{instance.id}" in page
    assert "Type <b>web</b> to go on" in page
    assert "Nothing matches." in _said(client.get("/admin/instances?status=error"))
    assert "Nothing matches." in _said(client.get("/admin/instances?project=none-such"))
    text = _said(client.get("/admin/instances?project=shop&status=running"))
    assert instance.name in text
    assert "1 of 1" in text


def test_stop_and_delete_by_the_project_s_own_verbs(browse: Browse, world: World) -> None:
    instance, client = world.running(), browse("admin")
    response = client.post(f"/admin/instances/{instance.id}/stop", {"back": "/admin/instances?q=web"})
    assert response["Location"] == "/admin/instances?q=web"
    work()
    instance.refresh_from_db()
    assert instance.status == "stopped"
    assert Event.objects.filter(verb="stop", actor="admin@example.org", project_id=world.project.id).exists()
    response = client.post(f"/admin/instances/{instance.id}/delete", {"back": "https://elsewhere.example/admin/instances"})
    assert response["Location"] == "/admin/instances"
    work()
    assert Instance.objects.get(id=instance.id).status == "deleted"


def test_a_protected_instance_says_why_it_stays(browse: Browse, world: World) -> None:
    instance, client = world.running(), browse("admin")
    Instance.objects.filter(id=instance.id).update(is_protected=True)
    assert "web is protected from deletion." in client.get("/admin/instances").content.decode()
    assert "is protected from deletion" in _toast(client, client.post(f"/admin/instances/{instance.id}/delete"))


# --- flavors and images


def test_flavors(browse: Browse, world: World) -> None:
    client = browse("admin")
    good = {"name": "m9.big", "vcpus": "4", "memory_mib": "8192", "disk_gib": "80"}
    assert client.post("/admin/flavors/new", good).status_code == 302
    assert "There is a size m9.big already." in _said(client.post("/admin/flavors/new", good))
    assert "A size has 1 to 256 vCPUs." in _said(client.post("/admin/flavors/new", good | {"name": "x", "vcpus": "0"}))
    assert "The memory is missing." in _said(client.post("/admin/flavors/new", good | {"name": "x", "memory_mib": ""}))
    client.post(f"/admin/flavors/{world.flavor.id}/retire")
    assert not Flavor.objects.get(id=world.flavor.id).is_active
    assert "Retired" in _said(client.get("/admin/flavors"))
    client.post(f"/admin/flavors/{world.flavor.id}/restore")
    assert Flavor.objects.get(id=world.flavor.id).is_active


def test_images(browse: Browse, world: World) -> None:
    client, id = browse("admin"), world.image.id
    instance = world.running()
    assert "1 instance stands on Debian. Deactivate it instead." in client.get("/admin/images").content.decode()
    assert "Deactivate it instead" in _toast(client, client.post(f"/admin/images/{id}/delete"))
    client.post(f"/admin/images/{id}/deactivate")
    assert Image.objects.get(id=id).status == "deactivated"
    client.post(f"/admin/images/{id}/reactivate")
    client.post(f"/admin/instances/{instance.id}/delete")
    work()
    client.post(f"/admin/images/{id}/delete")
    assert Image.objects.get(id=id).status == "deleted"
    assert "The catalogue is empty" in _said(client.get("/admin/images"))


# --- audit


def test_the_log_is_filtered_by_its_url(browse: Browse, world: World) -> None:
    world.launch(name="findme")
    client = browse("admin")
    text = _said(client.get("/admin/audit?verb=launch&actor=member@example.org"))
    assert "findme" in text
    assert "Verb: launch" in text
    assert "create" not in text.partition("Seal")[2]
    assert "Nothing matches." in _said(client.get("/admin/audit?verb=launch&outcome=failed"))


def test_the_log_goes_on_by_cursor(browse: Browse, world: World) -> None:
    client = browse("admin")
    for number in range(120):
        events.publish(events.SYSTEM, "tick", "test", detail=f"number {number}")
    seen: list[str] = []
    url: str | None = "/admin/audit?verb=tick"
    while url:
        page = client.get(url).content.decode()
        seen += re.findall(r"number (\d+)", page)
        found = re.search(r'href="([^"]+)" rel="next"', page)
        url = found.group(1).replace("&amp;", "&") if found else None
        events.publish(events.SYSTEM, "tick", "test", detail="meanwhile")
    assert [int(number) for number in seen] == [*reversed(range(120))]
    assert client.get("/admin/audit?after=rubbish").status_code == 400


def test_tampering_shows(browse: Browse, world: World) -> None:
    client = browse("admin")
    while events.seal():
        pass
    assert "The log is whole." in _said(client.post("/admin/audit/verify"))
    row = Event.objects.filter(chain=2).get()
    Event.objects.filter(id=row.id).update(actor="somebody.else@example.org")
    assert f"the chain breaks at row {row.id}" in _said(client.post("/admin/audit/verify"))


def test_csv(browse: Browse, world: World) -> None:
    events.publish(events.SYSTEM, "tick", "test", detail="=HYPERLINK(1)")
    response = browse("admin").get("/admin/audit.csv?verb=tick")
    rows = [*csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode()))]
    assert [row["detail"] for row in rows] == ["'=HYPERLINK(1)"]
    assert response["Content-Type"].startswith("text/csv")


def test_health_names_every_part(browse: Browse, world: World, settings: Any) -> None:
    _alive(settings)
    text = _said(browse("support").get("/admin/health"))
    for part in ("PostgreSQL", "Redis", "Worker", "Hypervisor", "Jobs", "Disk"):
        assert part in text
    assert "No job has failed." in text
