"""Charts mark the moments at which an instance's power changed, once each, with the sentence that the activity tells."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client

from compute import host, instances
from compute.drivers.specs import Power
from compute.lifecycle import observe
from dashboard.portal import instance_marks
from identity import activity
from tests.world import World, work

Browse = Callable[..., Client]


def _words(world: World, id: object) -> list[str]:
    return [instance_marks.word(event) for event in instance_marks.of(world.ctx("reader"), id, "1h")]  # type: ignore[arg-type]


def test_what_people_ask_for_is_marked_once(world: World) -> None:
    """A stop is a move to stopping, a job and a move to stopped; the chart has one line for it. A tag leaves none."""
    instance = world.running()
    for act in (instances.stop, instances.start, instances.reboot):
        act(world.ctx("member"), instance.id)
        work(instance.id)
    instances.stop(world.ctx("member"), instance.id)
    host.hypervisor().guest_poweroff(instance.id)  # type: ignore[attr-defined]
    observe(instance.id, Power.POWERED_OFF)  # the box hears of it before the job has looked
    work(instance.id)
    instances.update(world.ctx("member"), instance.id, tags={"a": "b"})
    assert _words(world, instance.id) == ["stop", "reboot", "start", "stop", "launch"]


def test_what_nobody_asked_for_is_marked_too(world: World) -> None:
    instance = world.running()
    host.hypervisor().guest_poweroff(instance.id)  # type: ignore[attr-defined]
    observe(instance.id, Power.POWERED_OFF)
    assert _words(world, instance.id) == ["off", "launch"]


def test_pages_carry_the_marks(world: World, browse: Browse) -> None:
    """The metrics tab lists them in words; the live card of the latest events carries them for charts that run."""
    instance = world.running()
    instances.stop(world.ctx("member"), instance.id)
    base = f"/p/shop/instances/{instance.id}"
    page = browse("reader").get(f"{base}/metrics?range=1h").content.decode()
    assert "2 events marked in the charts" in page
    assert re.search(r'data-mark="\d+" data-word="stop" data-told="member stopped web"', page)
    assert 'data-word="stop"' in browse("reader").get(base).content.decode()


@pytest.mark.parametrize("range", ["5m", "1h", "24h", "7d", "30d"])
def test_a_range_without_events_says_so(world: World, browse: Browse, range: str) -> None:
    instance = world.running()
    activity.list(world.ctx("owner")).update(at="2020-01-01T00:00:00Z")
    page = browse("reader").get(f"/p/shop/instances/{instance.id}/metrics?range={range}").content.decode()
    assert "No event in this range" in page
