"""Office hours: when they begin and end, across nights, weekends and clocks that are set; and what is done then."""

from __future__ import annotations

import datetime as dt

import pytest

from cloudbox.common import clock
from cloudbox.common.errors import Conflict, Forbidden, Invalid, NotFound
from cloudbox.common.models import Event
from compute import instances, office_hours
from compute.models import OfficeHours
from tests.world import World, work

WORKDAYS = [0, 1, 2, 3, 4]


def row(days: list[int], starts: str, stops: str, zone: str = "UTC") -> OfficeHours:
    times = (dt.time.fromisoformat(each) for each in (starts, stops))
    return OfficeHours(days=sum(1 << day for day in days), starts=next(times), stops=next(times), zone=zone)


def told(hours: OfficeHours, after: str, until: str) -> list[str]:
    found = office_hours.boundaries(hours, dt.datetime.fromisoformat(after), dt.datetime.fromisoformat(until))
    return [f"{each.at:%a %d %H:%M} {'on' if each.starts else 'off'}" for each in found]


def test_a_week() -> None:
    """Monday 5 January 2026 to the Tuesday after."""
    assert told(row(WORKDAYS, "08:00", "18:00"), "2026-01-08T12:00+00:00", "2026-01-13T08:00+00:00") == [
        "Thu 08 18:00 off", "Fri 09 08:00 on", "Fri 09 18:00 off", "Mon 12 08:00 on", "Mon 12 18:00 off", "Tue 13 08:00 on",
    ]  # fmt: skip


def test_over_midnight() -> None:
    assert told(row([4], "22:00", "06:00"), "2026-01-09T00:00+00:00", "2026-01-10T23:00+00:00") == ["Fri 09 22:00 on", "Sat 10 06:00 off"]


def test_around_the_clock() -> None:
    """Where one day's end is the next one's beginning nothing is switched."""
    assert told(row([0, 1], "00:00", "00:00"), "2026-01-04T12:00+00:00", "2026-01-09T00:00+00:00") == [
        "Mon 05 00:00 on",
        "Wed 07 00:00 off",
    ]


@pytest.mark.parametrize(("date", "expected"), [("2026-03-27", "07:00"), ("2026-03-30", "06:00"), ("2026-10-26", "07:00")])
def test_clocks_that_are_set(date: str, expected: str) -> None:
    """Eight in Oslo is seven or six of UTC, as the time of the year has it."""
    found = told(row([0, 4], "08:00", "09:00", "Europe/Oslo"), f"{date}T00:00+00:00", f"{date}T12:00+00:00")
    assert found[0].split()[2] == expected


def test_an_hour_that_is_not_there() -> None:
    """On 29 March 2026 Oslo has no half past two: it begins all the same, once, and ends later."""
    found = told(row([6], "02:30", "04:00", "Europe/Oslo"), "2026-03-29T00:00+00:00", "2026-03-29T12:00+00:00")
    assert [each.split()[-1] for each in found] == ["on", "off"]


def test_sentences() -> None:
    assert office_hours.sentence(row(WORKDAYS, "08:00", "18:00")) == "Monday to Friday, 08:00 to 18:00 (UTC)"
    assert office_hours.sentence(row([0, 2], "08:00", "18:00")) == "Monday, Wednesday, 08:00 to 18:00 (UTC)"
    assert office_hours.sentence(row([*range(7)], "08:00", "18:00")) == "every day, 08:00 to 18:00 (UTC)"


def at(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    monkeypatch.setattr(clock, "now", lambda: dt.datetime.fromisoformat(moment))


def test_it_is_stopped_and_started(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each end and each beginning once; a person who starts it in the evening is left alone until the morning."""
    ctx, instance = world.ctx("member"), world.running()
    at(monkeypatch, "2026-01-08T12:00+00:00")
    office_hours.set(ctx, instance.id, days=WORKDAYS, starts=dt.time(8), stops=dt.time(18), zone="UTC")
    coming = office_hours.next_boundary(OfficeHours.objects.get())
    assert coming is not None
    assert (coming.at.hour, coming.starts) == (18, False)

    def round() -> str:
        office_hours.apply()
        work()
        instance.refresh_from_db()
        return instance.status

    assert round() == "running"
    at(monkeypatch, "2026-01-08T18:00:05+00:00")
    assert round() == "stopped"
    instances.start(ctx, instance.id)
    work()
    at(monkeypatch, "2026-01-08T19:00+00:00")
    assert round() == "running"
    at(monkeypatch, "2026-01-11T19:00+00:00")  # the box was off meanwhile: of six moments the last counts
    assert round() == "stopped"
    at(monkeypatch, "2026-01-12T08:00+00:00")
    assert round() == "running"
    assert Event.objects.filter(verb="start", actor="Office hours").count() == 1


def test_a_locked_one_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, instance = world.ctx("member"), world.running()
    at(monkeypatch, "2026-01-08T12:00+00:00")
    office_hours.set(ctx, instance.id, days=WORKDAYS, starts=dt.time(8), stops=dt.time(18), zone="UTC")
    instances.lock(ctx, instance.id)
    at(monkeypatch, "2026-01-08T18:00+00:00")
    office_hours.apply()
    work()
    instance.refresh_from_db()
    assert instance.status == "running"
    assert "locked" in Event.objects.get(verb="skip-stop").detail
    with pytest.raises(Conflict, match="locked"):
        office_hours.clear(ctx, instance.id)


def test_what_is_refused(world: World) -> None:
    ctx, instance = world.ctx("member"), world.running()
    good = {"days": [0], "starts": dt.time(8), "stops": dt.time(9), "zone": "UTC"}
    for wrong in ({"days": []}, {"days": [7]}, {"stops": dt.time(8)}, {"zone": "Mars/Olympus"}, {"zone": "../../etc/passwd"}):
        with pytest.raises(Invalid):
            office_hours.set(ctx, instance.id, **(good | wrong))  # type: ignore[arg-type]
    with pytest.raises(Forbidden):
        office_hours.set(world.ctx("reader"), instance.id, **good)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        office_hours.get(world.ctx("stranger", world.other), instance.id)
    office_hours.set(ctx, instance.id, **good)  # type: ignore[arg-type]
    office_hours.clear(ctx, instance.id)
    assert office_hours.get(ctx, instance.id) is None
