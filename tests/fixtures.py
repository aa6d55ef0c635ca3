"""Fixtures that the folders of tests share: `world`, and fake drivers in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute import host
from tests import world as worlds


@pytest.fixture
def machine_home(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """New fake drivers on an empty folder: what a test leaves behind can be seen, and no other test sees it."""
    settings.HOME, settings.DRIVERS = tmp_path, "fake"
    host.reset()
    yield tmp_path
    host.reset()


@pytest.fixture
def plain_static(settings: Any) -> None:
    """Pages name static files as they lie in the source: nothing is collected for a test."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.fixture
def world(db: None, machine_home: Path, plain_static: None) -> worlds.World:
    return worlds.build()
