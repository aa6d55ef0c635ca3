"""Retention: whatever times backups have, each rule keeps the newest of as many periods as it names, and nothing else is kept."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from compute.retention import Rules, kept, next_run

MOMENTS = st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2026, 3, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
TIMES = st.lists(MOMENTS, max_size=60, unique=True)
COUNTS = st.integers(0, 12)
RULES = st.builds(Rules, last=st.integers(1, 9), hourly=COUNTS, daily=COUNTS, weekly=COUNTS, monthly=COUNTS)
PERIODS = {
    "hourly": lambda at: at.replace(minute=0, second=0, microsecond=0),
    "daily": lambda at: at.date(),
    "weekly": lambda at: at.date() - dt.timedelta(days=at.weekday()),
    "monthly": lambda at: (at.year, at.month),
}


@given(TIMES, RULES)
def test_each_rule_keeps_the_newest_of_its_periods(times: list[dt.datetime], rules: Rules) -> None:
    found = kept([(at, at) for at in times], rules)
    assert {at for at, why in found.items() if "last" in why} == set(sorted(times)[-rules.last :])
    for name, period in PERIODS.items():
        newest: dict[object, dt.datetime] = {}
        for at in sorted(times):
            newest[period(at)] = at
        wanted = sorted(newest.values())[-getattr(rules, name) :] if getattr(rules, name) else []
        assert {at for at, why in found.items() if name in why} == set(wanted)
    assert all(found.values())


@given(TIMES, RULES)
def test_asking_again_ends_nothing_more(times: list[dt.datetime], rules: Rules) -> None:
    """What is kept is kept when only that is left."""
    found = kept([(at, at) for at in times], rules)
    assert kept([(at, at) for at in found], rules).keys() == found.keys()


@given(
    MOMENTS,
    st.sampled_from(["hour", "day", "week", "month"]),
    st.integers(0, 59),
    st.integers(0, 23),
    st.integers(0, 6),
    st.integers(1, 31),
)
def test_the_next_run(after: dt.datetime, every: str, minute: int, hour: int, weekday: int, day: int) -> None:
    """It lies behind, within one period, at the minute, hour and day that were asked for."""
    at = next_run(every, after, minute=minute, hour=hour, weekday=weekday, day=day)
    longest = {"hour": dt.timedelta(hours=1), "day": dt.timedelta(days=1), "week": dt.timedelta(days=7), "month": dt.timedelta(days=62)}
    assert after < at <= after + longest[every]
    assert (at.minute, at.second) == (minute, 0)
    if every != "hour":
        assert at.hour == hour
    if every == "week":
        assert at.weekday() == weekday
    if every == "month":
        last = ((at.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)).day
        assert at.day == min(day, last)
        again = next_run(every, at, minute=minute, hour=hour, weekday=weekday, day=day)
        assert (again.year * 12 + again.month) - (at.year * 12 + at.month) == 1
