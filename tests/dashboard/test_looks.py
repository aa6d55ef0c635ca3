"""How somebody looks at the list of instances: columns, the wall, and saved views, each person's own."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

from django.core.cache import cache
from django.test import Client

from compute.agent import screens
from compute.models import Instance
from identity import saved_views
from identity.models import SavedView
from tests.world import World

Browse = Callable[..., Client]
LIST = "/p/shop/instances"


def test_columns_are_chosen_and_kept(browse: Browse, world: World) -> None:
    """For the person who chose them only; an address that names columns wins."""
    world.running()
    client = browse("reader")
    assert 'class="cb-table cb-tall in-t "' in client.get(LIST).content.decode()
    answer = client.post(f"{LIST}/views", {"columns": "1", "column": ["size", "nonsense"], "query": "q=web&cols=cpu&evil=1"})
    assert answer["Location"] == f"{LIST}?q=web"
    assert "in-t no-addresses no-cpu no-created" in client.get(LIST).content.decode()
    assert "in-t no-size" in client.get(f"{LIST}?cols=name,addresses,cpu,created").content.decode()
    assert "no-addresses" not in browse("member").get(LIST).content.decode()
    client.post(f"{LIST}/views", {"columns": "1"})
    assert "in-t no-addresses no-size no-cpu no-created" in client.get(LIST).content.decode()
    assert SavedView.objects.count() == 1


def test_a_view_is_saved_found_replaced_and_deleted(browse: Browse, world: World) -> None:
    world.running()
    client = browse("reader")
    saved = client.post(f"{LIST}/views", {"name": " Mine <b> ", "query": "state=running&sort=-created&after=x&evil=1"})
    assert saved["Location"] == f"{LIST}?state=running&sort=-created"
    page = client.get(saved["Location"]).content.decode()
    assert re.search(r'sort=-created" aria-current="true">Mine &lt;b&gt;</a>', page)
    assert "Mine" not in browse("member").get(LIST).content.decode()
    client.post(f"{LIST}/views", {"name": "Mine <b>", "query": "state=error"})
    row = SavedView.objects.get()
    assert row.query == "state=error"
    assert browse("member").post(f"{LIST}/views/{row.id}/delete").status_code == 302
    assert SavedView.objects.count() == 1
    client.post(f"{LIST}/views/{row.id}/delete")
    assert not SavedView.objects.exists()


def test_a_view_that_cannot_be_kept_says_why(browse: Browse, world: World) -> None:
    client = browse("reader")
    for data in ({"name": ""}, {"name": "x" * 41}, {"name": "a\x00b"}, {}):
        assert client.post(f"{LIST}/views", data).status_code == 302
    assert not SavedView.objects.exists()
    for n in range(saved_views.VIEWS_MAX + 2):
        client.post(f"{LIST}/views", {"name": f"view {n}", "query": f"q={n}"})
    assert SavedView.objects.count() == saved_views.VIEWS_MAX
    assert "are the most" in client.get(LIST).content.decode()


def test_the_wall_shows_screens_and_has_them_taken_often(browse: Browse, world: World) -> None:
    """Looking at it makes the pictures of what it shows due after seconds; those of others stay with their minute."""
    cache.clear()
    web, other = world.running(name="web"), world.running(name="other")
    assert screens.refresh() == 2
    assert screens.refresh() == 0
    page = browse("reader").get(f"{LIST}?view=wall&q=web").content.decode()
    assert f'id="wall-{web.id}"' in page
    assert 'aria-current="true"' in page.partition("in-look")[2].partition("</div>")[0]
    assert f"screen.png?at={int(_taken(web).timestamp())}" in page
    for one in (web, other):
        Instance.objects.filter(id=one.id).update(screen_at=_taken(one) - screens.WATCHED_AGE_MAX)
    assert screens.refresh() == 1
    assert _taken(web) > _taken(other)


def _taken(one: Instance) -> dt.datetime:
    at = Instance.objects.get(id=one.id).screen_at
    assert at is not None
    return at
