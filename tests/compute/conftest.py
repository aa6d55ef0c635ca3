"""The small cloud of tests/world.py."""

from tests.fixtures import machine_home, plain_static, world

__all__ = ["machine_home", "plain_static", "world"]
