"""The pages of instances: what they show, what they refuse, how they fail, and what they cost."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compute import instances
from compute.models import Instance, Network, Port
from identity import quotas
from tests.fixtures import machine_home, plain_static, world  # noqa: F401
from tests.world import World, work

LIST = "/p/shop/instances"
QUERIES_MAX = 12


def _as(world: World, who: str) -> Client:  # noqa: F811
    client = Client()
    client.force_login(world.users[who])
    return client


def _form(world: World, **changes: Any) -> dict[str, Any]:  # noqa: F811
    network = Network.objects.get(project=world.project)
    return {"name": "web", "image": world.image.id, "size": world.flavor.id, "network": network.id, "count": "1"} | changes


def _many(world: World, count: int) -> None:  # noqa: F811
    """Rows as launching leaves them, without the launching."""
    same = {"project": world.project, "flavor": world.flavor, "image": world.image, "vcpus": 1, "memory_mib": 512, "disk_gib": 5}
    rows = [
        Instance(name=f"vm-{n:04}", hostname=f"vm-{n}", status="running" if n % 3 else "stopped", tags={"role": "web"}, **same)
        for n in range(count)
    ]
    Instance.objects.bulk_create(rows)
    network = Network.objects.get(project=world.project)
    Port.objects.bulk_create(
        [
            Port(
                project=world.project,
                network=network,
                instance=row,
                mac=f"52:54:00:00:{n // 256:02x}:{n % 256:02x}",
                ip=f"10.99.{n // 250}.{n % 250 + 1}",
            )
            for n, row in enumerate(rows)
        ]
    )


def test_a_long_list_is_cheap(world: World) -> None:  # noqa: F811
    """1,000 instances: fifty in the page, by a handful of queries, and the next page goes on where this ends."""
    _many(world, 1000)
    client = _as(world, "reader")
    client.get(LIST)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(LIST)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert text.count('id="row-') == 50
    assert "50 of 1000" in text
    assert len(queries) <= QUERIES_MAX, "\n".join(query["sql"][:150] for query in queries)
    with CaptureQueriesContext(connection) as queries:
        second = client.get(answer.context["next"])
    assert len(queries) <= QUERIES_MAX
    assert "vm-0050" in second.content.decode()
    assert "vm-0049" not in second.content.decode()


def test_filters_and_order_are_in_the_address(world: World) -> None:  # noqa: F811
    _many(world, 9)
    client = _as(world, "reader")
    text = client.get(f"{LIST}?state=stopped&sort=-name&tag=role:web").content.decode()
    assert text.count('id="row-') == 3
    assert text.index("vm-0006") < text.index("vm-0003") < text.index("vm-0000")
    assert "Tag: role = web" in text
    assert "vm-0007" in client.get(f"{LIST}?q=vm-0007").content.decode()
    assert "Nothing matches." in client.get(f"{LIST}?q=none-such").content.decode()
    assert client.get(f"{LIST}?after=nonsense&sort=rubbish").status_code == 302


def test_launch_from_the_form(world: World) -> None:  # noqa: F811
    """The form as the browser sends it; pressing twice launches once; the page then shows it building."""
    client = _as(world, "member")
    page = client.get(f"{LIST}/new?name=db&image=debian&size=m1.tiny&tags=role=db").content.decode()
    assert 'value="db"' in page
    assert str(world.image.id) in page
    form = _form(world, tags="env=prod, lonely", user_data="#!/bin/sh\r\necho hi\r\n", token="form-once")
    answer = client.post(f"{LIST}/new", form)
    again = client.post(f"{LIST}/new", form)
    (instance,) = Instance.objects.all()
    assert answer["Location"] == again["Location"] == f"{LIST}/{instance.id}"
    assert instance.tags == {"env": "prod", "lonely": ""}
    assert bytes(instance.user_data) == b"#!/bin/sh\necho hi\n"
    assert "Building" in client.get(answer["Location"]).content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 80}, "name"),
        ({"count": "many"}, "count"),
        ({"count": "21"}, "count"),
        ({"disk": "1"}, "disk"),
        ({"disk": "-5"}, "disk"),
        ({"image": "nonsense"}, "image"),
        ({"size": ""}, "size"),
        ({"network": "nonsense"}, "network"),
        ({"hostname": "no spaces here"}, "hostname"),
        ({"tags": "a:b=c"}, "tags"),
        ({"user_data": "x" * 70000}, "user_data"),
    ],
)
def test_errors_stand_at_their_field_and_values_stay(world: World, changes: dict[str, str], field: str) -> None:  # noqa: F811
    answer = _as(world, "member").post(f"{LIST}/new", _form(world, description="kept", tags="keep=this") | changes)
    assert answer.status_code == 422
    assert list(answer.context["errors"]) == [field]
    assert not Instance.objects.exists()
    if "tags" not in changes:
        assert "keep=this" in answer.content.decode()


def test_a_used_up_quota_is_said_above_the_button(world: World) -> None:  # noqa: F811
    quotas.set_limits(world.box(), world.project, {"instances": 0})
    answer = _as(world, "member").post(f"{LIST}/new", _form(world))
    assert answer.status_code == 422
    assert "Your quota has 0 of instances left" in answer.context["errors"]["form"]


def test_every_tab_opens(world: World) -> None:  # noqa: F811
    instance = world.running(tags={"role": "web"})
    client = _as(world, "reader")
    client.get(LIST)
    tabs = ("", "/console", "/log", "/metrics", "/metrics?range=30d", "/metrics?range=x", "/networking", "/change", "/guest", "/hours")
    for tab in (*tabs, "/activity", "/settings"):
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(f"{LIST}/{instance.id}{tab}")
        assert answer.status_code == 200, tab
        assert len(queries) <= 18, "\n".join(query["sql"][:150] for query in queries)
    assert client.get(f"{LIST}/web")["Location"] == f"{LIST}/{instance.id}"
    assert client.get(f"{LIST}/{instance.id}/screen.png").status_code == 404


def test_disabled_with_a_reason(world: World) -> None:  # noqa: F811
    """A reader sees the buttons and why they do not work; pressing them anyway changes nothing."""
    instance = world.running()
    client = _as(world, "reader")
    page = client.get(f"{LIST}/{instance.id}").content.decode()
    assert "This needs the role member; yours is reader." in page
    assert "web is running already." in _as(world, "member").get(f"{LIST}/{instance.id}/menu").content.decode()
    assert client.post(f"{LIST}/{instance.id}/do/stop").status_code == 302
    instance.refresh_from_db()
    assert instance.status == "running"


def test_bulk_says_how_each_went(world: World) -> None:  # noqa: F811
    free, locked = world.running(name="free"), world.running(name="legacy-erp")
    instances.lock(world.ctx("member"), locked.id)
    client = _as(world, "member")
    data = {"action": "stop", "id": [free.id, locked.id, uuid4(), "nonsense"]}
    answer = client.post(f"{LIST}/bulk", data, headers={"Accept": "application/json"}).json()
    assert [result["ok"] for result in answer["results"]] == [True, False]
    assert answer["sum"].startswith("Stopping free; legacy-erp was skipped. legacy-erp is locked by")
    assert client.post(f"{LIST}/bulk", data).status_code == 302


def test_deleting_needs_the_name(world: World) -> None:  # noqa: F811
    instance, other = world.running(name="one"), world.running(name="two")
    client = _as(world, "member")
    assert client.post(f"{LIST}/{instance.id}/do/delete", {"typed": "wrong"})["Location"].endswith("#delete")
    instance.refresh_from_db()
    assert instance.status == "running"
    assert client.post(f"{LIST}/{instance.id}/do/delete", {"typed": "one"})["Location"] == LIST
    ask = client.post(f"{LIST}/bulk", {"action": "delete", "id": [other.id]})
    assert "Type <b>delete</b>" in ask.content.decode()
    client.post(f"{LIST}/bulk", {"action": "delete", "id": [other.id], "typed": "delete"})
    work()
    assert not Instance.objects.exclude(status="deleted").exists()


def test_settings_are_saved_or_say_why_not(world: World) -> None:  # noqa: F811
    instance, _ = world.running(name="one"), world.running(name="two")
    client = _as(world, "member")
    here = f"{LIST}/{instance.id}/settings"
    assert client.post(here, {"form": "name", "name": "first", "description": "The first"}).status_code == 302
    assert client.post(here, {"form": "tags", "tags": "a=1"}).status_code == 302
    assert client.post(here, {"form": "metadata", "metadata": "role=db\r\n\r\nurl = http://a/?b=c, d\r\n"}).status_code == 302
    instance.refresh_from_db()
    assert (instance.name, instance.description, instance.tags) == ("first", "The first", {"a": "1"})
    assert instance.metadata == {"role": "db", "url": "http://a/?b=c, d"}
    assert "url=http://a/?b=c, d" in client.get(here).content.decode()
    answer = client.post(here, {"form": "metadata", "metadata": "lonely"})
    assert (answer.status_code, answer.context["errors"]["metadata"]) == (422, "The line lonely has no “=” between key and value.")
    answer = client.post(here, {"form": "name", "name": "TWO", "description": ""})
    assert answer.status_code == 422
    assert "taken" in answer.context["errors"]["name"]
    assert _as(world, "reader").post(here, {"form": "name", "name": "mine"}).status_code in (403, 422)


def test_the_console_asks_for_a_key(world: World) -> None:  # noqa: F811
    instance = world.running()
    address = f"{LIST}/{instance.id}/open-console"
    answer = _as(world, "member").post(address, {"kind": "serial"})
    assert answer.status_code == 201
    assert answer.json()["path"].startswith("/console/")
    assert _as(world, "member").post(address, {"kind": "x"}).status_code == 400
    reader = _as(world, "reader")
    assert reader.post(address, {"kind": "serial"}).status_code == 403
    assert reader.post(address, {"kind": "serial", "watch": "1"}).status_code == 201
    assert reader.post(address, {"kind": "vnc", "watch": "1"}).status_code == 400
    assert _as(world, "stranger").post(address, {"kind": "serial", "watch": "1"}).status_code == 404


def test_a_console_can_be_watched(world: World) -> None:  # noqa: F811
    """A link that any member may follow, to look only; a reader has no other way, and the page says why."""
    instance = world.running()
    address = f"{LIST}/{instance.id}/console"
    page = _as(world, "member").get(address).content.decode()
    assert "data-watch" not in page
    assert f'data-copy="http://testserver{address}?view=watch"' in page
    assert "data-watch" in _as(world, "member").get(f"{address}?view=watch").content.decode()
    page = _as(world, "reader").get(f"{address}?view=screen").content.decode()
    assert "data-watch" in page
    assert 'data-reason=""' in page
    assert "This needs the role member; yours is reader." in page


@pytest.mark.parametrize("who", ["stranger", None])
def test_strangers_see_what_never_was(world: World, who: str | None) -> None:  # noqa: F811
    instance = world.running()
    client = _as(world, who) if who else Client()
    for address in (LIST, f"{LIST}/new", f"{LIST}/{instance.id}", f"{LIST}/{instance.id}/screen.png", f"{LIST}/{instance.id}/menu"):
        answer = client.get(address)
        assert answer.status_code == (404 if who else 302), address
    if who:
        assert client.get(f"/p/elsewhere/instances/{instance.id}").status_code == 404


def test_no_page_needs_anything_inline(world: World) -> None:  # noqa: F811
    """The policy of the pages forbids inline styles and scripts; data in script elements is data."""
    instance = world.running()
    client = _as(world, "owner")
    for address in (LIST, f"{LIST}/new", *(f"{LIST}/{instance.id}/{tab}" for tab in ("console", "metrics", "settings", "networking"))):
        answer = client.get(address)
        text = answer.content.decode()
        assert " style=" not in text, address
        assert "<style" not in text, address
        assert "unsafe-inline" not in answer["Content-Security-Policy"]
