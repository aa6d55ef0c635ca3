"""The audit log: sealed after the commit, one chain, and every tampering shows."""

from __future__ import annotations

import pytest
from django.db import connection

from cloudbox.common import events
from cloudbox.common.errors import Forbidden
from cloudbox.common.models import Event
from identity import activity, projects
from tests.world import World


@pytest.fixture
def sealed(world: World) -> World:
    while events.seal():
        pass
    assert events.verify().ok
    return world


def test_seal_is_one_chain(sealed: World) -> None:
    """Numbers from 1 without a gap; sealing again changes nothing; new rows continue."""
    count = Event.objects.count()
    assert count > 5
    assert list(Event.objects.order_by("id").values_list("chain", flat=True)) == list(range(1, count + 1))
    assert events.seal() == 0
    projects.update(sealed.ctx("owner"), sealed.project, name="Shop 2")
    assert events.verify().checked == count
    assert events.seal() == 1
    assert activity.verify(sealed.box("support")).checked == count + 1


@pytest.mark.parametrize("column", ["actor", "verb", "detail", "subject", "outcome", "api", "request_id", "digest", "noun"])
def test_a_changed_field_shows(sealed: World, column: str) -> None:
    victim = Event.objects.order_by("chain")[3]
    Event.objects.filter(id=victim.id).update(**{column: "failed" if column == "outcome" else "x"})
    report = events.verify()
    assert (report.ok, report.broken_at, report.checked) == (False, victim.id, 3)


def test_a_changed_time_or_address_shows(sealed: World) -> None:
    victim = Event.objects.order_by("chain")[2]
    Event.objects.filter(id=victim.id).update(address="203.0.113.9")
    assert events.verify().broken_at == victim.id
    Event.objects.filter(id=victim.id).update(address=victim.address, at=victim.at.replace(year=2001))
    assert events.verify().broken_at == victim.id


def test_a_removed_row_shows(sealed: World) -> None:
    rows = list(Event.objects.order_by("chain")[:5])
    rows[2].delete()
    assert events.verify().broken_at == rows[3].id


def test_swapped_rows_show(sealed: World) -> None:
    one, two = Event.objects.order_by("chain")[1:3]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE common_event SET chain = -1 WHERE id = %s", [one.id])
        cursor.execute("UPDATE common_event SET chain = %s WHERE id = %s", [one.chain, two.id])
        cursor.execute("UPDATE common_event SET chain = %s WHERE id = %s", [two.chain, one.id])
    assert not events.verify().ok


def test_who_may_read(sealed: World) -> None:
    """A member reads the project's; the box's is for those who look after it. No row of another project is told."""
    mine = activity.list(sealed.ctx("reader"))
    assert {row.project_id for row in mine} == {sealed.project.id}
    with pytest.raises(Forbidden):
        activity.list(sealed.ctx("owner"), all_projects=True)
    assert activity.list(sealed.box("support"), all_projects=True).count() > mine.count()


def test_filters(sealed: World) -> None:
    ctx = sealed.box()
    created = activity.list(ctx, all_projects=True, verb="create", outcome="ok")
    assert {row.verb for row in created} == {"create"}
    assert activity.list(ctx, all_projects=True, actor="OWNER@example.org").exists()
    assert activity.list(ctx, all_projects=True, q="private").get(verb="create").noun == "network"
    assert not activity.list(ctx, all_projects=True, api="cli").exists()
