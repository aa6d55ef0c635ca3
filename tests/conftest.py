"""Fixtures of all tests. An app's own stand in the conftest of its folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def box_home() -> Path:
    """The home of this test run: PostgreSQL and Redis answer on its sockets, box.json says drivers "fake"."""
    return Path(os.environ["CLOUDBOX_HOME"])


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The database goes with its home: dropping it first waits five seconds for whoever is still connected."""
    return True


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty folder for homes with sockets in them, whose paths have at most 107 bytes: `tmp_path` is named after its test."""
    with tempfile.TemporaryDirectory(prefix="cbx-") as folder:
        yield Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: Playwright keeps an event loop running in this thread, in which no other test can run its own."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
