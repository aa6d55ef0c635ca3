"""Fixtures of all tests. An app's own stand in the conftest of its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def box_home() -> Path:
    """The home of this test run: PostgreSQL and Redis answer on its sockets, box.json says drivers "fake"."""
    return Path(os.environ["CLOUDBOX_HOME"])
