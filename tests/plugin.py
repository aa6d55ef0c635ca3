"""Gives a test run its homes before Django reads its settings: PostgreSQL and Redis, real, in a temporary folder.

Loaded by `-p tests.plugin` (pyproject.toml), which is earlier than any conftest. Each worker of pytest-xdist gets a home of its own,
so that tests that run at the same time share nothing: no database, no cache, no channel, no socket.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import settings

from cloudbox.box import test_home

# `--hypothesis-profile fast`, as `bin/cloudbox test --fast` says it: a quarter of Hypothesis' hundred.
# No deadlines: a machine that is busy with something else is no fault of what is tested.
settings.register_profile("fast", max_examples=25, deadline=None)
settings.register_profile("whole", deadline=None)
settings.load_profile("whole")

# What goes deep into one part is left to the full run, and to whoever works at that part: the everyday loop has three minutes.
DEEP = (
    "api/test_hostile.py",
    "api/test_schemathesis.py",
    "box/test_bodies.py",
    "box/test_home_of_tests.py",
    "clients/",
    "compute/test_jobs.py",
    "engine/",
    "identity/keystone/test_routes.py",
    "openstack/",
    "server/test_limits.py",
    "server/test_soak.py",
    "server/test_tls.py",
    "server/test_workers.py",
    "storage/test_drives.py",
    "storage/test_forms.py",
    "storage/test_offline.py",
    "storage/test_removal.py",
    "storage/test_sites.py",
    "swift/",
)
DEEP_PERSONS = ("test_a_reader", "test_support", "test_who_may", "test_who_may_write", "test_malformed_ids", "test_unlisted_methods")
DEEP_SWEEPS = {  # Each page, step or shape in turn: of most there is a test by itself as well.
    "test_a_page_says_what_it_does",
    "test_after_a_storm_all_tabs_show_the_truth",
    "test_each_step_twice",
    "test_every_step",
    "test_every_step_of_restores",
    "test_failed_at_each_step",
    "test_fails_at_each_step",
    "test_hostile_text_is_refused_or_kept_as_text",
    "test_pauses_grow",
    "test_sockets_are_closed_when_the_server_ends",
    "test_uploads_in_parts_keep_their_checksums",
    "test_what_an_address_may_answer",
}

_homes = contextlib.ExitStack()


def _new_home() -> str:
    return str(_homes.enter_context(test_home.running()).home)


os.environ["CLOUDBOX_TEST"] = "1"
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["CLOUDBOX_HOME"] = _new_home()
    _owner = os.getpid()
    atexit.register(lambda: _homes.close() if os.getpid() == _owner else None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` chooses: mark as slow what is."""
    for item in items:
        place = item.nodeid.removeprefix("tests/")
        name = place.partition("::")[2].partition("[")[0]
        persons = place.startswith("test_routes.py") and name in DEEP_PERSONS
        if place.startswith(DEEP) or persons or name in DEEP_SWEEPS:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """The first worker takes over the home of this process, which runs no test itself; a worker that replaces a dead one, its home."""
    with ThreadPoolExecutor() as pool:
        others = pool.map(lambda _: _new_home(), specs[1:])
        for spec, home in zip(specs, [os.environ["CLOUDBOX_HOME"], *others], strict=True):
            spec.env["CLOUDBOX_HOME"] = home
