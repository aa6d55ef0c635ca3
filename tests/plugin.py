"""Gives a test run its home before Django reads its settings: PostgreSQL and Redis, real, in a temporary folder.

Loaded by `-p tests.plugin` (pyproject.toml), which is earlier than any conftest. `bin/cloudbox test` makes the home itself;
run by hand (`python -m pytest`, as root), this does. Workers of pytest-xdist inherit the environment, and so the home.
"""

from __future__ import annotations

import atexit
import contextlib
import os

from cloudbox.box import test_home

os.environ["CLOUDBOX_TEST"] = "1"
if "CLOUDBOX_HOME" not in os.environ:
    _stack = contextlib.ExitStack()
    _box = _stack.enter_context(test_home.running())
    os.environ["CLOUDBOX_HOME"] = str(_box.home)
    _owner = os.getpid()
    atexit.register(lambda: _stack.close() if os.getpid() == _owner else None)
