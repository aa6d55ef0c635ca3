"""Snippets of user data: kept, checked, copied, launched with; and how a first boot is read from the console."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.test import Client

from cloudbox.common.errors import AlreadyExists, CloudError, Conflict, Forbidden, Invalid, NotFound, TooLarge
from cloudbox.common.models import Event
from compute import first_boot, snippets
from compute.models import Instance, Snippet
from compute.shipped_snippets import SNIPPETS
from tests.world import World

WRONG = "#cloud-config\npackage_updates: true\n"
RIGHT = "#cloud-config\npackages: [nginx]\n"


def test_the_life_of_one(world: World) -> None:
    """Made, found, changed, deleted, each written down; a stranger sees none of it, a reader changes none of it."""
    ctx = world.ctx("member")
    row = snippets.create(ctx, name="web", content="#!/bin/sh\r\necho\r\n", description="d")
    assert row.content == "#!/bin/sh\necho\n"
    assert [each.id for each in snippets.list(ctx)] == [row.id]
    snippets.update(ctx, row.id, content=RIGHT)
    snippets.update(ctx, row.id, content=RIGHT)
    found = snippets.get(ctx, row.id)
    assert (found.content, found.description) == (RIGHT, "d")
    assert isinstance(snippets.get(world.ctx("reader"), row.id), Snippet)
    stranger = world.ctx("stranger", world.other)
    for act, error in (
        (lambda: snippets.get(stranger, row.id), NotFound),
        (lambda: snippets.delete(stranger, row.id), NotFound),
        (lambda: snippets.create(world.ctx("reader"), name="x", content=RIGHT), Forbidden),
        (lambda: snippets.delete(world.ctx("reader"), row.id), Forbidden),
        (lambda: snippets.create(ctx, name="WEB", content=RIGHT), AlreadyExists),
        (lambda: snippets.get(ctx, uuid4()), NotFound),
    ):
        with pytest.raises(error):
            act()
    snippets.delete(ctx, row.id)
    assert [event.verb for event in Event.objects.filter(noun="snippet").exclude(outcome="denied").order_by("at")] == [
        "create",
        "update",
        "delete",
    ]


@pytest.mark.parametrize(
    ("content", "error"), [("", Invalid), (" \n", Invalid), ("#!/bin/sh\x00", Invalid), (WRONG, Invalid), ("#!" + "x" * 65534, TooLarge)]
)
def test_what_is_not_kept(world: World, content: str, error: type[CloudError]) -> None:
    """Nothing, no text, too much, and what cloud-init would not do; the last, if it is meant."""
    with pytest.raises(error) as caught:
        snippets.create(world.ctx("member"), name="x", content=content)
    assert caught.value.field == "content"
    if content == WRONG:
        assert "Line 2" in caught.value.message
        assert snippets.create(world.ctx("member"), name="x", content=content, anyway=True).content == WRONG


def test_there_is_a_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snippets, "PER_PROJECT_MAX", 1)
    snippets.create(world.ctx("member"), name="a", content=RIGHT)
    with pytest.raises(Conflict):
        snippets.create(world.ctx("member"), name="b", content=RIGHT)


def test_those_of_the_box(world: World) -> None:
    """Everybody of a project finds them by the same ids; nobody changes or deletes them."""
    ctx, shipped = world.ctx("member"), SNIPPETS[0]
    assert snippets.get(ctx, shipped.id) is shipped
    assert len({each.id for each in SNIPPETS}) == len(SNIPPETS)
    for act in (lambda: snippets.update(ctx, shipped.id, name="x"), lambda: snippets.delete(ctx, shipped.id)):
        with pytest.raises(Conflict):
            act()


def test_by_rest(world: World) -> None:
    """All of it, with the check, over the wire."""
    client = Client(headers={"Authorization": f"Bearer {world.token('member', 'member')}"})
    base, json = f"/api/v1/projects/{world.project.slug}", "application/json"
    refused = client.post(f"{base}/snippets", {"name": "w", "content": WRONG}, content_type=json)
    assert refused.status_code in (400, 422)
    assert "package_update meant" in refused.content.decode()
    made = client.post(f"{base}/snippets", {"name": "w", "content": WRONG, "anyway": True}, content_type=json)
    assert made.status_code == 201, made.content
    at = f"{base}/snippets/{made.json()['id']}"
    assert client.patch(at, {"content": RIGHT}, content_type=json).json()["content"] == RIGHT
    assert [row["name"] for row in client.get(f"{base}/snippets").json()["items"]] == ["w"]
    assert len(client.get(f"{base}/snippets/shipped").json()["items"]) == len(SNIPPETS)
    told = client.post(f"{base}/user-data/check", {"content": WRONG}, content_type=json).json()
    assert (told["kind"], told["findings"][0]["line"], told["findings"][0]["is_error"]) == ("cloud-config", 2, True)
    assert client.delete(at).status_code == 204
    assert client.get(at).status_code == 404


def test_by_the_portal(world: World) -> None:
    """Written with a mistake it is not kept and says the line; then it is. Copied, and launched with: a wrong text asks once more."""
    client = Client()
    client.force_login(world.users["member"])
    base = f"/p/{world.project.slug}"
    answer = client.post(f"{base}/snippets/new", {"name": "web", "description": "", "content": WRONG.replace("\n", "\r\n")})
    assert answer.status_code == 400
    assert "Line 2" in answer.content.decode()
    assert 'name="anyway"' in answer.content.decode()
    assert client.post(f"{base}/snippets/new", {"name": "web", "description": "", "content": WRONG, "anyway": "on"}).status_code == 302
    row = Snippet.objects.get()
    assert client.get(f"{base}/snippets/{row.id}/text").content.decode() == WRONG
    assert "nginx" in client.get(f"{base}/snippets/new?from={SNIPPETS[1].id}").content.decode()
    checked = client.post(f"{base}/user-data/check", {"content": WRONG.replace("\n", "\r\n")}).json()
    assert [each["line"] for each in checked["findings"]] == [2]

    page = client.get(f"{base}/instances/new?snippet={row.id}").content.decode()
    assert "package_updates: true" in page
    form = {"name": "p", "image": str(world.image.id), "size": str(world.flavor.id), "network": str(world.network.id), "user_data": WRONG}
    refused = client.post(f"{base}/instances/new", form)
    assert refused.status_code == 422
    assert not Instance.objects.exists()
    assert client.post(f"{base}/instances/new", form | {"anyway": "on"}).status_code == 302
    instance = Instance.objects.get()
    assert bytes(instance.user_data).decode() == WRONG
    shown = client.get(f"{base}/instances/{instance.id}/first-boot").content.decode()
    assert "package_updates: true" in shown
    client.force_login(world.users["reader"])
    assert "package_updates: true" not in client.get(f"{base}/instances/{instance.id}/first-boot").content.decode()
    client.force_login(world.users["member"])
    assert client.post(f"{base}/snippets/{row.id}/delete").status_code == 302
    assert not Snippet.objects.exists()
    assert isinstance(row.id, UUID)


LOG = """[    0.000000] Linux version 6.1.0
[    3.1] cloud-init[301]: Cloud-init v. 22.4.2 running 'init-local' at Mon, 23 Nov 2026 16:00:00 +0000. Up 3.10 seconds.
ci-info: | eth0 | True | 10.0.0.5 |
\x1b[0;32m  OK  \x1b[0m] Finished \x1b[0;1;39mcloud-init.service\x1b[0m
[    9.1] cloud-init[402]: hello from the script
login: [12.0] cloud-init[402]: Cloud-init v. 22.4.2 finished at Mon. Datasource DataSourceNoCloud [seed=/dev/vdb].  Up 12.34 seconds
"""


def test_how_a_first_boot_went() -> None:
    """Only what cloud-init said, since the last start; done with its source and time, at work with its stage, and trouble as trouble."""
    assert first_boot.read("").status == "silent"
    assert first_boot.read("Linux version 6\nlogin:").status == "silent"
    done = first_boot.read(LOG.replace("\n", "\r\n"))
    assert (done.status, done.version, done.datasource, done.seconds) == ("done", "22.4.2", "DataSourceNoCloud", 12.34)
    assert done.sentence == "cloud-init was done 12 seconds after the start. It had read NoCloud."
    assert [("Linux" in line.text, "\x1b" in line.text) for line in done.lines] == [(False, False)] * 5
    half = first_boot.read("\n".join(LOG.split("\n")[:3]))
    assert (half.status, half.sentence) == ("running", "cloud-init is at work, at its stage init-local.")
    trouble = first_boot.read(LOG.replace("hello from the script", "2026 - util.py[WARNING]: Failed running /var/lib/cloud/x"))
    assert trouble.status == "trouble"
    assert "1 line tells of trouble." in trouble.sentence
    again = first_boot.read(LOG + "--- Started Mon 23 Nov 2026 ---\n")
    assert again.status == "silent"
    long = first_boot.read("\n".join(f"cloud-init[1]: {n}" for n in range(2000)))
    assert len(long.lines) == first_boot.LINES_MAX
