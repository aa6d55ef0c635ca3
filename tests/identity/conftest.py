"""The small cloud of tests/world.py."""

from tests.fixtures import machine_home, world

__all__ = ["machine_home", "world"]
