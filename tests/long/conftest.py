"""Tests that take many minutes: run by nobody who does not name this folder (`bin/cloudbox test tests/long`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machines import real_box, real_libvirt

__all__ = ["real_box", "real_libvirt"]

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = (Path(str(word).partition("::")[0]).resolve() for word in config.args)
    return None if any(each == HERE or HERE in each.parents for each in asked) else True
